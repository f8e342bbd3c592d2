"""Reads PyTorch's .pth and .pt files without PyTorch, and without running any code.

Two formats exist. Since PyTorch 1.6 a file is an uncompressed zip archive: a pickle and one member
a storage. Before, it was a row of pickles followed by the storages. In both, the pickle says how
each tensor views its storage: offset, size and stride.
"""

import io
import math
import os
import pathlib
import struct
import zipfile
from typing import NamedTuple

import numpy as np

from danceflax.errors import UserError
from danceflax.weights.readers import files, safe_pickle

LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
MAX_PICKLE_BYTES, MAX_DIMS = 64 << 20, 32

# Storage classes by element type. numpy has no bfloat16: its bits are read as uint16.
STORAGES = {
    "Double": "<f8", "Float": "<f4", "Half": "<f2", "BFloat16": "bfloat16",
    "Long": "<i8", "Int": "<i4", "Short": "<i2", "Char": "|i1", "Byte": "|u1", "Bool": "|b1",
}  # fmt: skip

# Where training scripts put the state dict beside an optimizer's; the first found is taken.
STATE_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")


class _Tensor(NamedTuple):
    storage: "_Storage"
    offset: int
    size: tuple
    stride: tuple


class _Storage(NamedTuple):
    key: str
    dtype: str
    numel: int
    offset: int  # of a view into a larger storage, in elements


def _rebuild_tensor(storage, offset, size, stride, *_):
    return _Tensor(storage, offset, tuple(size), tuple(stride))


def _first(value, *_):
    return value


ALLOWED = {
    "collections.OrderedDict": safe_pickle.Call(safe_pickle.Dict),
    "torch.Size": safe_pickle.Call(tuple),
    "torch._utils._rebuild_tensor": safe_pickle.Call(_rebuild_tensor),
    "torch._utils._rebuild_tensor_v2": safe_pickle.Call(_rebuild_tensor),
    "torch._utils._rebuild_parameter": safe_pickle.Call(_first),
    "torch._utils._rebuild_parameter_with_state": safe_pickle.Call(_first),
} | {f"torch.{name}Storage": dtype for name, dtype in STORAGES.items()}


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch file's state dict.

    Returns:
      float16 and bfloat16 widened to float32; views of the file's storages, not contiguous where
      the saved tensor was not.

    Raises:
      UserError: the file is damaged, would run code, or holds no state dict.
    """
    head = files.check_weight_file(path)
    try:
        if head.startswith(b"PK"):
            found, storages = _read_zip(path)
        else:
            found, storages = _read_legacy(path)
    except (
        zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, RuntimeError, struct.error,
        OverflowError, MemoryError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path} is damaged: {reason}; download it again") from None
    return {
        key: _view(tensor, storages, f"{path}: {key}")
        for key, tensor in _state_dict(found, path).items()
    }


def _read_zip(path):
    """(the pickled object, {storage key: array}) of a zip file."""
    limit = pathlib.Path(path).stat().st_size
    with zipfile.ZipFile(path) as archive:
        names = set()
        for info in archive.infolist():
            parts = info.filename.replace("\\", "/").split("/")
            if ".." in parts or not parts[0] or ":" in parts[0]:
                raise UserError(
                    f"{path}: refused, because a member is called {info.filename!r}; a PyTorch "
                    "file has no such paths"
                )
            limit -= info.file_size
            if info.compress_type != zipfile.ZIP_STORED or limit < 0:
                raise UserError(
                    f"{path}: refused, because member {info.filename!r} is compressed or larger "
                    "than the file; PyTorch never compresses, save the weights again"
                )
            names.add(info.filename)
        pickled = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickled) != 1:
            raise UserError(f"{path} is a zip archive but not a PyTorch file: it has no data.pkl")
        folder = pickled[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in names:
            raise UserError(
                f"{path} is a TorchScript program; save model.state_dict() with torch.save instead"
            )
        order = f"{folder}byteorder"
        if order in names and archive.read(order) != b"little":
            raise UserError(f"{path} was written on a big-endian machine, which is not supported")
        if archive.getinfo(pickled[0]).file_size > MAX_PICKLE_BYTES:
            raise UserError(f"{path}: its data.pkl is too large for a weight file")
        wanted = {}
        stream = io.BytesIO(archive.read(pickled[0]))
        found = safe_pickle.load(stream, ALLOWED, path, lambda pid: _storage(pid, wanted))
        storages = {}
        for key, (dtype, numel) in wanted.items():
            name = f"{folder}data/{key}"
            if archive.getinfo(name).file_size != numel * _numpy_dtype(dtype).itemsize:
                raise UserError(f"{path} is damaged: {name} does not hold {numel} values")
            storages[key] = np.frombuffer(archive.read(name), _numpy_dtype(dtype))
    return found, storages


def _read_legacy(path):
    """(the pickled object, {storage key: array}) of a file from before PyTorch 1.6."""
    with files.map_file(path) as file:
        if file.read(1) != b"\x80":
            raise UserError(f"{path} is not a PyTorch file (neither a zip archive nor a pickle)")
        file.seek(0)
        if safe_pickle.load(file, {}, path) != LEGACY_MAGIC:
            raise UserError(f"{path} is a pickle but not a PyTorch file; save it with torch.save")
        version, system = safe_pickle.load(file, {}, path), safe_pickle.load(file, {}, path)
        if version != LEGACY_PROTOCOL or not isinstance(system, dict):
            raise UserError(f"{path} is a PyTorch file of an unknown version")
        if not system.get("little_endian", True):
            raise UserError(f"{path} was written on a big-endian machine, which is not supported")
        wanted = {}
        found = safe_pickle.load(file, ALLOWED, path, lambda pid: _storage(pid, wanted))
        keys = safe_pickle.load(file, {}, path)
        sound = isinstance(keys, list) and all(isinstance(key, (str, int)) for key in keys)
        if not sound or sorted(map(str, keys)) != sorted(wanted):
            raise UserError(f"{path} is damaged: its list of storages does not fit its tensors")
        storages = {}
        for key in map(str, keys):
            dtype, numel = wanted[key]
            (count,) = struct.unpack("<q", file.read(8))
            length = count * _numpy_dtype(dtype).itemsize
            if count != numel or length > file.size() - file.tell():
                raise UserError(f"{path} is damaged: storage {key} does not hold {numel} values")
            storages[key] = np.frombuffer(file.read(length), _numpy_dtype(dtype))
    return found, storages


def _numpy_dtype(dtype):
    return np.dtype("<u2" if dtype == "bfloat16" else dtype)


def _storage(pid, wanted):
    """A `_Storage` from a persistent id; notes in `wanted` what the file must hold."""
    kind, dtype, key, _, numel, *view = pid
    sound = kind == "storage" and dtype in STORAGES.values() and isinstance(key, str)
    if not sound or not isinstance(numel, int) or numel < 0:
        raise ValueError("a storage is described wrongly")
    if wanted.setdefault(key, (dtype, numel)) != (dtype, numel):
        raise ValueError(f"storage {key} is described in two ways")
    offset = 0
    if view and view[0] is not None:
        _, offset, numel = view[0]
    return _Storage(key, dtype, numel, offset)


def _state_dict(found, path):
    """{key: _Tensor} in the object that the file holds."""

    def is_state(value):
        return (
            isinstance(value, dict)
            and bool(value)
            and all(isinstance(k, str) and isinstance(v, _Tensor) for k, v in value.items())
        )

    if is_state(found):
        return found
    inside = found if isinstance(found, dict) else {}
    candidates = {key: value for key, value in inside.items() if is_state(value)}
    for key in [key for key in STATE_KEYS if key in candidates] or candidates:
        if key in STATE_KEYS or len(candidates) == 1:
            return candidates[key]
    raise UserError(
        f"{path} holds no state dict (a dict of tensors, or one under "
        f"{', '.join(STATE_KEYS[:3])}); it holds {_describe(found)}; save model.state_dict() with "
        "torch.save"
    )


def _describe(found):
    if not isinstance(found, dict):
        return "a tensor" if isinstance(found, _Tensor) else f"a {type(found).__name__}"
    return (
        f"a dict with {', '.join(sorted(repr(key)[:40] for key in list(found)[:5])) or 'no keys'}"
    )


def _view(tensor, storages, where):
    """The array that a tensor shows of its storage; every index is checked first."""
    storage, offset, size, stride = tensor
    numbers = [*size, *stride, offset, *storage[2:]] if isinstance(storage, _Storage) else [None]
    sound = len(size) == len(stride) <= MAX_DIMS
    sound &= all(type(n) is int and 0 <= n <= files.MAX_BYTES for n in numbers)
    if sound:
        empty = 0 in size
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        values = storages[storage.key]
        sound = storage.offset + storage.numel <= values.size
        sound &= empty or (last < storage.numel and math.prod(size) <= max(values.size, 1))
    if not sound:
        raise UserError(f"{where} is damaged: it reaches outside its storage")
    values = values[storage.offset : storage.offset + storage.numel]
    strides = [0 if empty else step * values.itemsize for step in stride]
    start = values[0 if empty else offset :]
    array = np.lib.stride_tricks.as_strided(start, size, strides, writeable=False)
    if storage.dtype == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if storage.dtype == "<f2" else array
