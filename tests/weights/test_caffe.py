"""The caffemodel reader: every layout, and every way a file can be broken."""

import time
import tracemalloc

import caffe_files
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from danceflax.errors import UserError
from danceflax.weights.readers import caffe


def small_weights(seed=1):
    rng = np.random.default_rng(seed)
    return {
        "conv": [rng.standard_normal(shape, np.float32) for shape in ((4, 3, 3, 3), (4,))],
        "prelu": [rng.standard_normal(4, np.float32)],
    }


@pytest.mark.parametrize("layout", ["layer", "layers"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_every_layout_is_read_alike(layout, packed, double, legacy, tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffe_files.caffemodel(small_weights(), layout, packed, double, legacy))
    found, expected = caffe.read(path), caffe_files.tensors(small_weights())
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].ndim == (4 if legacy else array.ndim)
        assert np.array_equal(found[name].reshape(array.shape), array)


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_cut_anywhere_is_refused_or_lacks_a_layer(packed, tmp_path):
    data = caffe_files.caffemodel(small_weights(), packed=packed)
    whole = caffe_files.tensors(small_weights())
    path = tmp_path / "net.caffemodel"
    for end in range(len(data)):
        path.write_bytes(data[:end])
        try:
            found = caffe.read(path)
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert len(found) < len(whole)
            assert all(np.array_equal(found[name], whole[name]) for name in found)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer"),
        (b'name: "net"\ninput: "image"\n', "not a whole .caffemodel"),
        (b"\x0a\x03net", "holds no layer with weights"),
        (bytes([0xA2, 6, 255, 255, 255, 255, 255, 255, 255, 255, 127]), "past"),
        (bytes([0x12, 0]) * 600_000, "more than 500,000 fields"),
    ],
    ids=["empty", "html", "lfs", "prototxt", "no weights", "length", "fields"],
)
def test_what_is_no_caffemodel_is_refused(content, message, tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        caffe.read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "dims", [((1 << 63) - 1, 0), ((1 << 64) - 1,), (0,), (1,) * 9, (1 << 40, 0)]
)
@pytest.mark.parametrize("packed", [True, False])
def test_shapes_that_mean_harm_are_refused_or_empty(dims, packed, tmp_path):
    def varint(n):
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)

    def field(number, content):
        return varint(number << 3 | 2) + varint(len(content)) + content

    shape = field(1, b"".join(map(varint, dims)))
    if not packed:
        shape = b"".join(b"\x08" + varint(n) for n in dims)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(field(100, field(1, b"conv") + field(7, field(7, shape))))
    try:
        assert caffe.read(path)["conv.weight"].size == 0
    except UserError as error:
        assert "not a whole .caffemodel" in str(error) and "\n" not in str(error)


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        caffe.read(tmp_path / "none.caffemodel")
    with pytest.raises(UserError, match="is a directory"):
        caffe.read(tmp_path)


DATA = caffe_files.caffemodel(small_weights())
UNPACKED = caffe_files.caffemodel(small_weights(), "layers", packed=False, legacy=True)


@settings(
    max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.sampled_from([DATA, UNPACKED]),
    edits=st.lists(st.tuples(st.integers(0, len(DATA)), st.binary(max_size=6)), max_size=4),
    end=st.integers(0, len(UNPACKED)),
)
def test_mutated_files_are_read_or_refused_within_bounds(data, edits, end, tmp_path):
    mutated = bytearray(data)
    for position, patch in edits:
        mutated[position : position + len(patch)] = patch
    path = tmp_path / "net.caffemodel"
    path.write_bytes(mutated[: max(end, 1)])
    start = time.monotonic()
    tracemalloc.start()
    try:
        caffe.read(path)
    except UserError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 20 and time.monotonic() - start < 5
