"""Arrays by name as PyTorch and safetensors files, numpy only.

safetensors: https://github.com/huggingface/safetensors#format
"""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float


def write_safetensors(
    file: io.BufferedIOBase, tensors: Mapping[str, Float[np.ndarray, "..."]], about: str = "{}"
) -> None:
    """Writes float32 arrays by name; the metadata `danceflax` is `about`."""
    header, offset = {"__metadata__": {"format": "pt", "danceflax": about}}, 0
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
    file: io.BufferedIOBase, tensors: Mapping[str, Float[np.ndarray, "..."]], about: str = "{}"
) -> None:
    """Writes float32 arrays by name as `torch.save` would an OrderedDict; the archive, a zip file,
    has `about` as archive/danceflax.json, which PyTorch passes over."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

        def add(name, data):  # with a constant date: the same weights give the same bytes
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)

        add("data.pkl", _state_dict_pickle(tensors))
        add("byteorder", b"little")
        for i, array in enumerate(tensors.values()):
            add(f"data/{i}", array.astype("<f4", copy=False).tobytes())
        add("version", b"3\n")
        add("danceflax.json", about.encode())


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
