"""Conversion: every naming of the weights, strictness both ways, the command line."""

import re

import caffe_files
import numpy as np
import pytest
from conftest import call

from danceflax.errors import UserError
from danceflax.scripts import convert_weights
from danceflax.training import checkpoints
from danceflax.weights import convert, keys

LAYERS = {
    "openpose_coco": caffe_files.coco_layers,
    "openpose_body25": caffe_files.body25_layers,
    "vgg19": caffe_files.vgg19_layers,
}


@pytest.fixture(scope="module")
def weights():
    """Random weights of each network, {model: {layer: arrays}}; made once."""
    made = {}

    def get(model):
        if model not in made:
            made[model] = caffe_files.random_weights(LAYERS[model]())
        return made[model]

    return get


def targets(model):
    return convert_weights.target_shapes(model, convert_weights.describe_model(model, {}, "", ""))


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
        (drop, r"parameters without a tensor: 1 \(params/feature/conv3_1/kernel\)"),
        (add, r"tensors not in that network: 1 \(conv9_9.weight\)"),
        (reshape, r"conv2_1.weight is \(128, 64, 1, 3\), expected \(128, 64, 3, 3\)"),
        (repeat, r"tensors that come a second time: 1 \(module.conv2_1.bias"),
        (poison, r"tensors with NaN.*: 1 \(conv2_1.bias\)"),
        (overflow, r"tensors with NaN.*: 1 \(conv2_1.bias\)"),
        (integers, r"tensors with NaN.*: 1 \(conv2_1.bias\)"),
        (mpi, r"MPI networks \(28 PAF and 16 heatmap channels\)"),
        (other, r"not in that network: 1 \(conv4_3_CPM.bias\)"),
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


def test_a_bad_file_gives_one_line_status_2_and_no_output(tmp_path):
    whole = caffe_files.caffemodel(caffe_files.random_weights(caffe_files.vgg19_layers()))
    path, output = tmp_path / "net.caffemodel", tmp_path / "out"
    path.write_bytes(whole[: len(whole) // 2])
    flags = ["--source=caffe", "--model=vgg19", f"--input={path}", f"--output={output}"]
    status, said, errors = call("convert_weights.py", *flags)
    assert status == 2 and said == ""
    assert len(errors.splitlines()) == 1
    assert "net.caffemodel is not a whole .caffemodel file" in errors
    assert [p.name for p in tmp_path.iterdir()] == ["net.caffemodel"]
    path.write_bytes(whole)
    status, said, errors = call("convert_weights.py", *flags)
    assert status == 0, errors
    assert "20 tensors" in said and errors == ""
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
