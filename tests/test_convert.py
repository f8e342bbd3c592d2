"""Conversion against the engines the weights come from: OpenCV's Caffe importer and PyTorch."""

import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import caffe_files
import convert_weights
from danceflax import api
from danceflax.errors import UserError
from danceflax.normalisation import normalise
from danceflax.training import checkpoints
from danceflax.weights import caffe, convert, keys

LAYERS = {
    "openpose_coco": caffe_files.coco_layers,
    "openpose_body25": caffe_files.body25_layers,
    "vgg19": caffe_files.vgg19_layers,
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


@pytest.fixture(scope="module")
def weights():
    """Random weights of each network, {model: {layer: arrays}}; made once."""
    made = {}

    def get(model):
        if model not in made:
            made[model] = caffe_files.random_weights(LAYERS[model]())
        return made[model]

    return get


def picture(height, width, seed=0):
    """A smooth random BGR picture, uint8 [H, W, 3]."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (height // 8, width // 8, 3))
    return coarse.repeat(8, 0).repeat(8, 1).astype(np.uint8)


def difference(ours, theirs):
    """The largest difference as a fraction of the reference's range."""
    return float(np.abs(ours - theirs).max() / (theirs.max() - theirs.min()))


@pytest.mark.parametrize("model", ["openpose_coco", "openpose_body25"])
def test_caffe_weights_give_what_opencv_gives(model, weights, tmp_path):
    python = os.environ.get("DANCEFLAX_OPENCV4_PYTHON")
    if not python:
        pytest.skip("set DANCEFLAX_OPENCV4_PYTHON to a Python with opencv-python-headless<5")
    layers = LAYERS[model]()
    kinds = {layer.name: layer.kind for layer in layers}
    caffemodel = tmp_path / "net.caffemodel"
    caffemodel.write_bytes(caffe_files.caffemodel(weights(model), kinds=kinds))
    convert_weights.convert_file("caffe", model, str(caffemodel), str(tmp_path / "checkpoint"))
    network, variables, config = api.load_checkpoint(tmp_path / "checkpoint")

    @jax.jit
    def forward(rgb):
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
        ours = np.concatenate(forward(bgr[..., ::-1]), -1)
        assert ours.shape == theirs.shape
        found = difference(ours, theirs)
        print(f"{model} {height}x{width}: {found:.2e} of the range {np.ptp(theirs):.3g}")
        assert found < 1e-3


def targets(model):
    return convert_weights.target_shapes(model, convert_weights.describe_model(model, {}, "", ""))


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


def key_styles(model, weights):
    """{style: {name: array}} of the same weights under every naming in use."""
    flat = caffe_files.tensors(weights(model))
    styles = {"flat": flat, "module": {f"module.{name}": array for name, array in flat.items()}}
    if model == "openpose_coco":

        def module(name):
            layer = name.split(".")[0]
            stage = re.search(r"stage(\d)", layer)
            branch = re.search(r"_L([12])$", layer)
            number = stage[1] if stage else "1"
            return f"model{number}_{branch[1]}" if branch else "model0"

        styles["prefixed"] = {f"{module(name)}.{name}": array for name, array in flat.items()}
        torch_openpose = pytest.importorskip("torch_openpose")
        numbered = [*torch_openpose.COCO(named=False).state_dict()]
        named = [*torch_openpose.COCO(named=True).state_dict()]
        styles["numbered"] = {
            new: styles["prefixed"][old] for new, old in zip(numbered, named, strict=True)
        }
        styles["module and numbered"] = {f"module.{k}": v for k, v in styles["numbered"].items()}
    else:
        styles["in a ModuleDict"] = {
            f"models.{name.split('.')[0][:-2]}.0.{name}": array for name, array in flat.items()
        }
    return styles


@pytest.mark.parametrize("model, count", [("openpose_coco", 184), ("openpose_body25", 327)])
def test_every_naming_of_the_same_weights_gives_the_same_parameters(model, count, weights):
    expected = None
    for style, tensors in key_styles(model, weights).items():
        variables, rows = convert.convert(tensors, model, targets(model), "file")
        assert len([row for row in rows if row.target]) == count, style
        variables = convert.flatten(variables)
        expected = expected or variables
        assert variables.keys() == expected.keys() == targets(model).keys(), style
        for path, array in expected.items():
            assert np.array_equal(variables[path], array), (style, path)


def test_every_layout_of_a_caffemodel_is_read_alike(tmp_path):
    rng = np.random.default_rng(1)
    arrays = {
        "conv": [rng.standard_normal(shape, np.float32) for shape in ((4, 3, 3, 3), (4,))],
        "prelu": [rng.standard_normal(4, np.float32)],
    }
    expected = caffe_files.tensors(arrays)
    path = tmp_path / "net.caffemodel"
    for layout in ("layer", "layers"):
        for packed in (True, False):
            for double in (True, False):
                for legacy in (True, False):
                    path.write_bytes(caffe_files.caffemodel(arrays, layout, packed, double, legacy))
                    found = caffe.read(path)
                    assert found.keys() == expected.keys()
                    for name, array in expected.items():
                        assert found[name].size == array.size
                        assert np.array_equal(found[name].reshape(array.shape), array)
                        assert found[name].ndim == (4 if legacy else array.ndim)
