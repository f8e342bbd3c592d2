"""OpenPose networks out again: PyTorch and safetensors files with Caffe's layer names, numpy only.

safetensors: https://github.com/huggingface/safetensors#format
"""

import io
import json
import os
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from danceflax.errors import UserError
from danceflax.io.files import write_whole
from danceflax.weights import convert, keys

FORMATS = ("pytorch", "safetensors")
EXPORTED = ("openpose_coco", "openpose_body25")


def export(
    variables: Mapping[str, Any], config: Mapping[str, Any], path: str | os.PathLike, kind: str
) -> tuple[list[convert.Row], str]:
    """Writes a network's weights under their Caffe names, in PyTorch's layout.

    A network normalised as OpenPose does, (x - 128) / 256, is written for BGR images, as the
    published files are; any other for RGB.

    Args:
      variables, config: of a checkpoint.
      path: the new file.
      kind: "pytorch" or "safetensors".

    Returns:
      A row a tensor, and one line that says what the network's input is.

    Raises:
      UserError: the file exists, or the network is not an OpenPose network.
    """
    path = pathlib.Path(path)
    if path.exists():
        raise UserError(f"{path} exists; name a new file or remove it first")
    model = config["model"]["name"]
    if model not in EXPORTED:
        raise UserError(f"cannot export {model}; only {' and '.join(EXPORTED)} have Caffe names")
    mean, std = (list(map(float, config["normalisation"][key])) for key in ("mean", "std"))
    openpose = keys.NORMALISATIONS["openpose"]
    bgr = [mean, std] == [openpose["mean"], openpose["std"]]
    note = f"input: {'BGR' if bgr else 'RGB'} uint8, (x - mean) / std, mean {mean}, std {std}"
    tensors, rows = _tensors(convert.flatten(variables), model, bgr)
    write = {"pytorch": write_pytorch, "safetensors": write_safetensors}[kind]
    with write_whole(path) as temporary, temporary.open("wb") as file:
        write(file, tensors, note)
    return rows, note


def _tensors(flat, model, bgr):
    """({Caffe name: array in PyTorch's layout}, rows) of flattened variables."""
    layers = {path: layer for layer, path in keys.TABLES[model].items()}
    tensors, rows = {}, []
    for path, array in flat.items():
        module, _, leaf = path.partition("/")[2].rpartition("/")
        names = {leaf: name for name, (_, leaf) in keys.LEAVES[convert.module_kind(module)].items()}
        if module not in layers:
            raise UserError(f"cannot export {path}: it has no name in Caffe's {model}")
        array, rule = np.asarray(array, np.float32), "as it is"
        if bgr and path in keys.FIRST_KERNELS:
            array = array[:, :, ::-1]
        if array.ndim == 4:
            array, rule = array.transpose(3, 2, 0, 1), "HWIO -> OIHW"
        name = f"{layers[module]}.{names[leaf]}"
        tensors[name] = np.ascontiguousarray(array)
        rows.append(convert.Row(path, name, rule, array.shape))
    order = [f"{layer}.{leaf}" for layer in keys.TABLES[model] for leaf in ("weight", "bias")]
    return {name: tensors[name] for name in sorted(tensors, key=order.index)}, rows


def write_safetensors(
    file: io.BufferedIOBase, tensors: Mapping[str, Float[np.ndarray, "..."]], note: str = ""
) -> None:
    """Writes float32 arrays by name."""
    header, offset = {"__metadata__": {"format": "pt", "note": note}}, 0
    for name, array in tensors.items():
        end = offset + array.nbytes
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for array in tensors.values():
        file.write(array.astype("<f4", copy=False).tobytes())


def write_pytorch(
    file: io.BufferedIOBase, tensors: Mapping[str, Float[np.ndarray, "..."]], note: str = ""
) -> None:
    """Writes float32 arrays by name as `torch.save` would an OrderedDict."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

        def add(name, data):  # with a constant date: the same weights give the same bytes
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)

        add("data.pkl", _state_dict_pickle(tensors))
        add("byteorder", b"little")
        for i, array in enumerate(tensors.values()):
            add(f"data/{i}", array.astype("<f4", copy=False).tobytes())
        add("version", b"3\n")


def _state_dict_pickle(tensors):
    """The pickle of OrderedDict(name -> torch tensor), opcode by opcode: torch is not here to be
    pickled."""
    out = io.BytesIO()

    def put(value):
        """A string, an int, or a tuple of such, in protocol 2."""
        if isinstance(value, tuple):
            out.write(pickle.MARK)
            for item in value:
                put(item)
            out.write(pickle.TUPLE)
        elif isinstance(value, str):
            data = value.encode()
            out.write(pickle.BINUNICODE + struct.pack("<I", len(data)) + data)
        else:
            out.write(pickle.BININT + struct.pack("<i", value))

    def put_global(module, name):
        out.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())

    def put_ordered_dict():
        put_global("collections", "OrderedDict")
        out.write(pickle.EMPTY_TUPLE + pickle.REDUCE)

    out.write(pickle.PROTO + b"\x02")
    put_ordered_dict()
    out.write(pickle.MARK)
    for i, (name, array) in enumerate(tensors.items()):
        put(name)
        put_global("torch._utils", "_rebuild_tensor_v2")
        out.write(pickle.MARK + pickle.MARK)
        put("storage")
        put_global("torch", "FloatStorage")
        put(str(i))
        put("cpu")
        put(array.size)
        out.write(pickle.TUPLE + pickle.BINPERSID)
        put(0)
        put(array.shape)
        put(tuple(stride // array.itemsize for stride in array.strides))
        out.write(pickle.NEWFALSE)
        put_ordered_dict()
        out.write(pickle.TUPLE + pickle.REDUCE)
    out.write(pickle.SETITEMS + pickle.STOP)
    return out.getvalue()
