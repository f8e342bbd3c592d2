"""Reads .caffemodel files: the protocol buffer wire format by hand, with numpy alone.

Only the handful of fields that carry weights are read (field numbers of caffe.proto); all else is
skipped. Layers come in the present layout (`layer`) or that of 2014 (`layers`), values packed or
not, as float or double, shapes as `shape` or as the four legacy dimensions.
Wire format: https://protobuf.dev/programming-guides/encoding/
"""

import math
import os
import pathlib

import numpy as np

from danceflax.errors import UserError
from danceflax.weights.readers import files

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
LAYER_FIELDS = {100: (1, 7), 2: (4, 6)}  # of the net: layer, layers -> of the layer: name, blobs
SHAPE, LEGACY_DIMS = 7, (1, 2, 3, 4)  # of a blob; num, channels, height, width
VALUES = {5: (FIXED32, np.dtype("<f4")), 8: (FIXED64, np.dtype("<f8"))}  # data, double_data
MAX_FIELDS = 500_000  # bounds the time; the largest published file has a few thousand
MAX_DIMS = 8


class _Malformed(Exception):
    """The bytes are not what the wire format allows."""


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The weights of a .caffemodel file.

    Returns:
      "layer.weight" and "layer.bias" in Caffe's own shapes (convolution: out, in, height, width).
      A third blob and later ones are called "layer.blob2" and so on.

    Raises:
      UserError: the file is not a Caffe model, is damaged, or holds no weights.
    """
    files.check_weight_file(path)
    data = np.frombuffer(pathlib.Path(path).read_bytes(), np.uint8)
    budget = iter(range(MAX_FIELDS))
    tensors = {}
    try:
        for number, wire, value in _fields(data, 0, len(data), budget):
            if number not in LAYER_FIELDS or wire != BYTES:
                continue
            name, blobs = _layer(data, *value, LAYER_FIELDS[number], budget)
            for i, blob in enumerate(blobs):
                key = f"{name}.{('weight', 'bias')[i] if i < 2 else f'blob{i}'}"
                if key in tensors:
                    raise _Malformed(f"layer {name!r} appears twice")
                tensors[key] = blob
    except _Malformed as error:
        raise UserError(
            f"{path} is not a whole .caffemodel file: {error}; download it again, and name the "
            ".caffemodel, not the .prototxt"
        ) from None
    if not tensors:
        raise UserError(f"{path} holds no layer with weights; name a .caffemodel file")
    return tensors


def _layer(data, start, end, fields, budget):
    """(name, [blob arrays]) of one layer message."""
    name_field, blobs_field = fields
    name, blobs = "", []
    for number, wire, value in _fields(data, start, end, budget):
        if number == name_field and wire == BYTES:
            try:
                name = data[slice(*value)].tobytes().decode()
            except UnicodeDecodeError:
                raise _Malformed(f"a layer's name at byte {value[0]} is not text") from None
        elif number == blobs_field and wire == BYTES:
            blobs.append(_blob(data, *value, budget))
    return name, blobs


def _blob(data, start, end, budget):
    """The array of one blob message, in the file's own type and shape."""
    shape, legacy, chunks = None, {}, {number: [] for number in VALUES}
    fields = _fields(data, start, end, budget, runs=True)
    for number, wire, value in fields:
        if number == SHAPE and wire == BYTES:
            shape = _dims(data, *value, budget)
        elif number in LEGACY_DIMS and wire == VARINT:
            legacy[number] = value
        elif number in VALUES:
            expected, dtype = VALUES[number]
            if wire == expected:
                chunks[number].append(value.view(dtype))
            elif wire == BYTES:
                first, last = value
                if (last - first) % dtype.itemsize:
                    raise _Malformed(f"the values at byte {first} are cut off")
                chunks[number].append(data[first:last].view(dtype))
    parts = next((found for found in chunks.values() if found), [])
    values = parts[0] if len(parts) == 1 else np.concatenate([*parts, np.zeros(0, "<f4")])
    if shape is None:
        shape = [legacy.get(i, 1) for i in LEGACY_DIMS] if legacy else [values.size]
    sound = len(shape) <= MAX_DIMS and all(0 <= n <= values.size for n in shape)
    if not sound or math.prod(shape) != values.size:
        raise _Malformed(
            f"the blob at byte {start} has {values.size} values for the shape {tuple(shape)}"
        )
    return values.reshape(shape)


def _dims(data, start, end, budget):
    """The dimensions of a shape message, packed or not."""
    dims = []
    for number, wire, value in _fields(data, start, end, budget):
        if number == 1 and wire == VARINT:
            dims.append(value)
        elif number == 1 and wire == BYTES:
            position, last = value
            while position < last and len(dims) <= MAX_DIMS:
                dim, position = _varint(data, position, last)
                dims.append(dim)
    if len(dims) > MAX_DIMS:
        raise _Malformed(f"the shape at byte {start} has more than {MAX_DIMS} dimensions")
    return dims


def _fields(data, position, end, budget, runs=False):
    """Yields (field number, wire type, value) of the message in data[position:end].

    The value is an int (varint), the (start, end) of a length-delimited field, or the bytes of a
    fixed-width one. With `runs`, neighbouring fixed-width fields of one number come as one: an
    unpacked array of a million floats is a million fields.
    """
    while position < end:
        if next(budget, None) is None:
            raise _Malformed(f"it has more than {MAX_FIELDS:,} fields")
        start = position
        tag, position = _varint(data, position, end)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, position = _varint(data, position, end)
        elif wire == BYTES:
            length, position = _varint(data, position, end)
            value = (position, position + length)
            position += length
        elif wire in (FIXED32, FIXED64):
            width, header = (4 if wire == FIXED32 else 8), position - start
            count = _run(data, start, end, header, width) if runs and header == 1 else 1
            if position + width > end:
                raise _Malformed(f"it ends inside the field at byte {start}")
            position = start + count * (header + width)
            value = data[start:position].reshape(count, header + width)[:, header:].copy()
            value = value.reshape(-1)
        else:
            raise _Malformed(f"no protocol buffer field starts at byte {start}")
        if position > end:
            raise _Malformed(f"the field at byte {start} ends at {position}, past {end}")
        if number == 0:
            raise _Malformed(f"no protocol buffer field starts at byte {start}")
        yield number, wire, value


def _run(data, start, end, header, width):
    """How many fields in a row begin with the tag at `start`; looks at ever longer stretches, so
    that the time is in proportion to the answer."""
    rows = data[start : start + (end - start) // (header + width) * (header + width)]
    tags = rows.reshape(-1, header + width)[:, 0]
    count, stretch = 1, 1
    while True:
        same = tags[count : count + stretch] == data[start]
        if len(same) < stretch or not same.all():
            return count + (len(same) if same.all() else int(same.argmin()))
        count, stretch = count + stretch, stretch * 2


def _varint(data, position, end):
    """(value, the position behind it) of a base-128 integer."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise _Malformed(f"it ends inside a number at byte {position}")
        byte = int(data[position])
        value |= (byte & 127) << shift
        position += 1
        if byte < 128:
            return value, position
    raise _Malformed(f"the number at byte {position - 10} has more than ten bytes")
