"""Exported files: read by torch and by safetensors' rules, and converted back to the same bits."""

import json
import struct
import zipfile

import jax
import numpy as np
import pytest

from danceflax import skeleton
from danceflax.errors import UserError
from danceflax.models.c3d import C3D
from danceflax.models.i3d import I3D
from danceflax.scripts import convert_weights
from danceflax.training import checkpoints
from danceflax.weights import convert, export, keys
from danceflax.weights.readers import torch as torch_file

# A skeleton of three joints and two limbs: the export is not only for the published ones.
TINY = {"name": "tiny", "joints": ["nose", "neck", "head"], "limbs": [[0, 1], [1, 2]]}


@pytest.fixture(scope="module")
def skeleton_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("skeleton") / "tiny.json"
    path.write_text(json.dumps(TINY))
    return str(path)


@pytest.fixture(scope="module", params=["openpose_coco", "openpose_body25"])
def checkpoint(request, tmp_path_factory, skeleton_file):
    """(directory, variables) of a network with random weights on the tiny skeleton."""
    model = request.param
    config = {
        "model": {"name": model, "options": {}},
        "skeleton": skeleton.load(skeleton_file).to_dict(),
        "normalisation": {"mean": [128] * 3, "std": [256] * 3},
    }
    rng = np.random.default_rng(0)
    shapes = convert_weights.target_shapes(model, config)
    flat = {path: rng.standard_normal(shape, np.float32) for path, shape in shapes.items()}
    directory = tmp_path_factory.mktemp("checkpoints") / model
    checkpoints.save_model(directory, convert.unflatten(flat), config)
    return directory, flat, config


def test_torch_reads_the_export_and_it_converts_back(checkpoint, skeleton_file, tmp_path):
    directory, flat, config = checkpoint
    model, path = config["model"]["name"], str(tmp_path / "net.pth")
    convert_weights.export_checkpoint(str(directory), path, "pytorch")
    ours = torch_file.read(path)
    assert len(ours) == {"openpose_coco": 184, "openpose_body25": 327}[model]
    convert_weights.convert_file(
        "pytorch", model, path, str(tmp_path / "back"), pose_skeleton=skeleton_file
    )
    variables, back = checkpoints.load_model(tmp_path / "back")
    assert back["skeleton"]["name"] == "tiny"
    variables = convert.flatten(variables)
    assert variables.keys() == flat.keys()
    assert all(np.array_equal(variables[key], array) for key, array in flat.items())
    torch = pytest.importorskip("torch")
    theirs = torch.load(path, weights_only=True)
    assert list(theirs) == list(ours) and next(iter(theirs)) == "conv1_1.weight"
    assert all(np.array_equal(theirs[name].numpy(), ours[name]) for name in ours)
    kernel = flat["params/feature/conv1_1/kernel"]  # blue first in the file, red first here
    assert np.array_equal(ours["conv1_1.weight"][5, 0], kernel[:, :, 2, 5])


def test_safetensors_holds_the_same(checkpoint, tmp_path):
    directory, _, _ = checkpoint
    paths = {kind: tmp_path / f"net.{kind}" for kind in export.FORMATS}
    for kind, path in paths.items():
        lines = convert_weights.export_checkpoint(str(directory), str(path), kind)
        assert "BGR" in lines[-2]
    data = paths["safetensors"].read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header.pop("__metadata__")["danceflax"])
    assert about["channels"] == "BGR" and about["normalisation"]["mean"] == [128] * 3
    with zipfile.ZipFile(paths["pytorch"]) as archive:
        assert json.loads(archive.read("archive/danceflax.json")) == about
    expected, end = torch_file.read(paths["pytorch"]), 0
    assert header.keys() == expected.keys()
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        assert (first, entry["dtype"]) == (end, "F32")
        values = np.frombuffer(data[8 + length + first : 8 + length + last], "<f4")
        assert np.array_equal(values.reshape(entry["shape"]), expected[name])
        end = last
    assert 8 + length + end == len(data) and length % 8 == 0


def test_a_network_normalised_otherwise_keeps_red_first(tmp_path):
    variables = {"params": {"feature": {"conv1_1": {"kernel": np.zeros((3, 3, 3, 2))}}}}
    variables["params"]["feature"]["conv1_1"]["kernel"][:, :, 0] = 1
    config = {"model": {"name": "openpose_coco"}, "normalisation": keys.NORMALISATIONS["imagenet"]}
    _, note = export.export(variables, config, tmp_path / "net.pth", "pytorch")
    assert "RGB" in note and "123.675" in note
    assert torch_file.read(tmp_path / "net.pth")["conv1_1.weight"][:, 0].all()


def random_flat(model, clip):
    """Flattened variables of a network, at random."""
    shapes = convert.flatten(dict(jax.eval_shape(model.init, jax.random.key(0), clip)))
    rng = np.random.default_rng(0)
    return {path: rng.uniform(0.1, 1, x.shape).astype("f") for path, x in shapes.items()}


def test_i3d_leaves_under_its_published_names(tmp_path):
    """The tensors load into PyTorch's I3D by name, and come back exactly."""
    torch = pytest.importorskip("torch")
    from torch_i3d import TorchI3D, published_names

    flat = random_flat(I3D(7), np.zeros((1, 9, 32, 32, 2), "f"))
    config = {"model": {"name": "i3d"}, "normalisation": {"mean": [127.5] * 2, "std": [127.5] * 2}}
    config["class_names"] = [*"abcdefg"]
    _, note = export.export(convert.unflatten(flat), config, tmp_path / "i3d.pt", "pytorch")
    assert "RGB" in note
    tensors = torch.load(tmp_path / "i3d.pt", weights_only=True)
    expected = {name: x.shape for name, x in published_names(TorchI3D(7, 2)).items() if x.shape}
    assert {name: tuple(x.shape) for name, x in tensors.items()} == expected
    shapes = {path: x.shape for path, x in flat.items()}
    back, _ = convert.convert(torch_file.read(tmp_path / "i3d.pt"), "i3d_flow", shapes, "file")
    assert all(np.array_equal(x, flat[path]) for path, x in convert.flatten(back).items())


def test_c3d_leaves_for_the_engine_it_came_from(tmp_path):
    """PyTorch's C3D, fed blue first, gives what ours gives."""
    torch = pytest.importorskip("torch")
    from torch_c3d import TorchC3D

    model, clip = C3D(5, width=1 / 16), np.random.default_rng(1).normal(size=(1, 16, 112, 112, 3))
    clip = clip.astype("f")
    flat = random_flat(model, clip)
    flat = {path: (x - 0.55) * 0.2 for path, x in flat.items()}
    config = {"model": {"name": "c3d"}, "normalisation": keys.NORMALISATIONS["c3d"]}
    _, note = export.export(convert.unflatten(flat), config, tmp_path / "c3d.pt", "pytorch")
    assert "BGR" in note
    network = TorchC3D(classes=5, width=16)
    network.load_state_dict(torch.load(tmp_path / "c3d.pt", weights_only=True))
    ours = jax.jit(model.apply)(convert.unflatten(flat), clip)
    theirs = network.logits(clip[..., ::-1].copy())
    np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max())
    shapes = {path: x.shape for path, x in flat.items()}
    back, _ = convert.convert(torch_file.read(tmp_path / "c3d.pt"), "c3d", shapes, "file", bgr=True)
    assert all(np.array_equal(x, flat[path]) for path, x in convert.flatten(back).items())


def test_what_was_never_published_keeps_its_path_and_streams_are_told_apart(tmp_path):
    flat = {
        "params/stream_rgb/Mixed_3b/Branch_0/Conv3d_0a_1x1/conv/kernel": np.ones((1, 1, 1, 2, 3)),
        "params/stream_flow/Mixed_3b/Branch_0/Conv3d_0a_1x1/conv/kernel": np.zeros((1, 1, 1, 2, 3)),
        "batch_stats/stream_flow/Mixed_3b/Branch_0/Conv3d_0a_1x1/bn/mean": np.zeros(3),
        "params/head/linear/kernel": np.ones((3, 2)),
    }
    tensors, _ = export.name_tensors(flat, keys.EXPORTED["streams"], bgr=False)
    assert {name: x.shape for name, x in tensors.items()} == {
        "stream_rgb.Mixed_3b.b0.conv3d.weight": (3, 2, 1, 1, 1),
        "stream_flow.Mixed_3b.b0.conv3d.weight": (3, 2, 1, 1, 1),
        "stream_flow.Mixed_3b.b0.bn.weight": (3,),
        "stream_flow.Mixed_3b.b0.bn.running_mean": (3,),
        "params.head.linear.kernel": (3, 2),
    }
    assert tensors["stream_rgb.Mixed_3b.b0.conv3d.weight"].all()


def test_a_file_that_is_there_stays(tmp_path):
    (tmp_path / "there.pth").write_bytes(b"precious")
    config = {"model": {"name": "rhythm"}, "normalisation": keys.NORMALISATIONS["i3d"]}
    with pytest.raises(UserError, match="exists"):
        export.export({}, config, tmp_path / "there.pth", "pytorch")
    assert (tmp_path / "there.pth").read_bytes() == b"precious"
