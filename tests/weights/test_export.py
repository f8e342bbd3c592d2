"""Exported files: read by torch and by safetensors' rules, and converted back to the same bits."""

import json
import struct

import numpy as np
import pytest

from danceflax import skeleton
from danceflax.errors import UserError
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
    assert "BGR" in header.pop("__metadata__")["note"]
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


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(tmp_path):
    config = {"model": {"name": "i3d"}, "normalisation": keys.NORMALISATIONS["i3d"]}
    (tmp_path / "there.pth").write_bytes(b"precious")
    with pytest.raises(UserError, match="exists"):
        export.export({}, config, tmp_path / "there.pth", "pytorch")
    with pytest.raises(UserError, match="cannot export i3d"):
        export.export({}, config, tmp_path / "new.pth", "pytorch")
    config["model"]["name"] = "openpose_coco"
    strange = {"params": {"head": {"kernel": np.zeros(3)}}}
    with pytest.raises(UserError, match="params/head/kernel: it has no name"):
        export.export(strange, config, tmp_path / "new.pth", "pytorch")
    assert [path.name for path in tmp_path.iterdir()] == ["there.pth"]
