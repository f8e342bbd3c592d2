"""A pickle reader that can run no code.

Python's own unpickler does the work, with three fences. Before it starts, the opcodes are counted
and their memo indices checked, so that a small file cannot ask for much time or memory. While it
runs, every global must be on the caller's list, and what the list gives are `Call`s and strings,
never a class or a module's own function: there is nothing whose attributes a pickle could change.
And only text and numbers may be keys: to hash, compare or print a tuple of tuples that share their
parts can take for ever. (So the unpickler is the one written in Python: its steps can be guarded.)
"""

import io
import mmap
import os
import pickle
import pickletools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from danceflax.errors import UserError

MAX_OPCODES = 500_000  # some thousands suffice for the largest published file
MAX_TUPLES = 20_000  # freeing tuples nested deeper than this could overflow the C stack
KEYS = (str, int, float, bytes, type(None))


class Call:
    """A function that a pickle may call; it cannot be changed by one."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("a function has no state")


class Dict(dict):
    """Stands for OrderedDict; attributes that the pickle wants to set are dropped."""

    def __init__(self, pairs: Iterable = ()):
        pairs = [(key, value) for key, value in pairs]
        _check_keys(key for key, _ in pairs)
        super().__init__(pairs)

    def __setstate__(self, state):
        pass


class _Unpickler(pickle._Unpickler):
    def __init__(self, data, allowed, path, persistent_load):
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._allowed, self._path, self._persistent_load = allowed, path, persistent_load

    def find_class(self, module, name):
        if f"{module}.{name}" not in self._allowed:
            raise UserError(
                f"{self._path}: refused, because reading it would run {module}.{name}; save plain "
                "arrays instead (in PyTorch: torch.save(model.state_dict(), path))"
            )
        return self._allowed[f"{module}.{name}"]

    def _load_setitem(self):
        _check_keys(self.stack[-2:-1])
        self.load_setitem()

    def _load_setitems(self):  # the stack is that since the mark
        _check_keys(self.stack[::2])
        self.load_setitems()

    def _load_dict(self):
        _check_keys(self.stack[::2])
        self.load_dict()

    dispatch = pickle._Unpickler.dispatch | {
        pickle.SETITEM[0]: _load_setitem,
        pickle.SETITEMS[0]: _load_setitems,
        pickle.DICT[0]: _load_dict,
    }

    def persistent_load(self, pid):
        if self._persistent_load is None:
            raise pickle.UnpicklingError("it refers to data outside the pickle")
        return self._persistent_load(pid)


def load(
    stream: io.BufferedIOBase | mmap.mmap,
    allowed: Mapping[str, Call | str],
    path: str | os.PathLike,
    persistent_load: Callable | None = None,
) -> Any:
    """Unpickles one object and leaves the stream behind its end.

    Args:
      stream: a seekable binary file.
      allowed: the globals that may occur, by "module.name".
      path: the file's name for messages.
      persistent_load: makes an object from a persistent id.

    Raises:
      UserError: the pickle needs another global, is damaged, or is larger than any weight file's.
    """
    start = stream.tell()
    try:
        _check_opcodes(stream)
        end = stream.tell()
        stream.seek(start)
        return _Unpickler(stream.read(end - start), allowed, path, persistent_load).load()
    except UserError:
        raise
    except Exception as error:  # hostile bytes raise nearly anything, from IndexError to TypeError
        raise UserError(
            f"{path} is damaged or not a weight file: its pickle at byte {start} cannot be read "
            f"({' '.join(str(error).split())[:120] or type(error).__name__})"
        ) from None


def _check_keys(keys):
    for key in keys:
        if not isinstance(key, KEYS):
            raise pickle.UnpicklingError(f"a {type(key).__name__} is a key")


def _check_opcodes(stream):
    tuples = 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream), 1):
        if opcode.name in ("EMPTY_SET", "FROZENSET", "ADDITEMS"):
            raise pickle.UnpicklingError("it holds a set")
        tuples += opcode.name.startswith("TUPLE")
        too_large = opcode.name.endswith("PUT") and argument > MAX_OPCODES
        if count > MAX_OPCODES or tuples > MAX_TUPLES or too_large:
            raise pickle.UnpicklingError("it is larger than a weight file's")
