"""The fields of a config file: their values, and the comments that explain them."""

import ast
import contextlib
import functools
import importlib.util
import inspect
import io
import pathlib
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import ml_collections
from ml_collections import ConfigDict

from danceflax.config_checks import walk

PACKAGED = pathlib.Path(__file__).parents[1] / "configs"  # what the repository has as configs/


def locate_config(argv: Sequence[str]) -> list[str]:
    """A command line with the file that --config means: the one of that path, else the packaged one
    of that name, `configs/i3d.py:rgb` or `i3d:rgb`."""
    word = find_flag(argv)
    path, colon, variant = (word or "").partition(":")
    packaged = PACKAGED / f"{pathlib.Path(path).stem}.py"
    short = str(pathlib.Path(path).parent) in (".", "configs")
    if pathlib.Path(path).is_file() or not (short and packaged.is_file()):
        return list(argv)
    found = f"{packaged}{colon}{variant}"
    flags = [f"--config={word}", f"-config={word}"]
    return [f"--config={found}" if w in flags else found if w == word else w for w in argv]


def find_flag(argv: Sequence[str]) -> str | None:
    """What a command line gives as --config, "FILE.py:variant"; None if it does not."""
    for i, word in enumerate(argv):
        match = re.fullmatch(r"--?config(=(.*))?", word)
        if match:
            return match[2] if match[1] else argv[i + 1] if i + 1 < len(argv) else ""
    return None


def find_config(argv: Sequence[str]) -> tuple[pathlib.Path, str] | None:
    """(path, variant) of the config file named on a command line; None if there is none."""
    path, _, variant = (find_flag(argv) or "").partition(":")
    return (pathlib.Path(path), variant) if pathlib.Path(path).is_file() else None


def load_config(path: pathlib.Path, variant: str = "") -> ConfigDict:
    """The config of a file and variant, without overrides."""
    spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    get = module.get_config
    if not variant:
        return get()
    if not inspect.signature(get).parameters:
        raise ValueError(f"{path.name} has no variants")
    return get(variant)


def flatten(config: ConfigDict | dict) -> dict[str, Any]:
    """{"optimizer.groups.paf.lr": value, ...} of a nested config."""
    return dict(walk(config))


def describe_fields(path: pathlib.Path, variant: str = "") -> dict[str, tuple[Any, str]]:
    """{field: (value, text)} of a config file.

    The text is the comment at the statement that sets the field, or right above it: in the file
    itself, in the configs it is based on or in a function of theirs; of several the last that has
    one.
    """
    with _recording() as places:
        config = load_config(path, variant)

    def walk(node, prefix):
        for key, value in node.items():
            if isinstance(value, ConfigDict):
                yield from walk(value, f"{prefix}{key}.")
            else:
                texts = [read_comment(*place) for place in places.get((id(node), key), ())]
                yield prefix + key, (value, next(filter(None, reversed(texts)), ""))

    return dict(walk(config, ""))


@contextlib.contextmanager
def _recording() -> Iterator[dict]:
    """A context whose value fills with {(id of a ConfigDict, key): [(file, line), ...]}: where each
    was set while the block ran."""
    places, kept = {}, []
    own = pathlib.Path(ml_collections.__file__).parent
    original = ConfigDict.__setattr__

    def set_and_note(node, key, value, frame):
        while own in pathlib.Path(frame.f_code.co_filename).parents:
            frame = frame.f_back
        place = (frame.f_code.co_filename, frame.f_lineno)
        places.setdefault((id(node), key), []).append(place)
        kept.append(node)  # no other object may take its id
        original(node, key, value)

    record = lambda node, key, value: set_and_note(node, key, value, sys._getframe(1))  # noqa: E731
    with mock.patch.object(ConfigDict, "__setattr__", record):
        yield places


def read_comment(path: str, line: int) -> str:
    """The comment of the statement at a line of a file: in it, or in the lines right above it."""
    statements, comments = _parse(path)
    around = [(end - start, start, end) for start, end in statements if start <= line <= end]
    _, start, end = min(around, default=(0, line, line))
    inside = [comments[k][1] for k in range(start, end + 1) if k in comments]
    above = []
    while (start := start - 1) in comments and comments[start][0]:
        above.insert(0, comments[start][1])
    return " ".join(inside or above)


@functools.cache
def _parse(path):
    """([(first line, last line) of each simple statement], {line: (stands alone, comment)})."""
    text = pathlib.Path(path).read_text()
    statements = [
        (node.lineno, node.end_lineno)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Assign, ast.Expr, ast.AugAssign))
    ]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = {
        token.start[0]: (not token.line[: token.start[1]].strip(), token.string.lstrip("# "))
        for token in tokens
        if token.type == tokenize.COMMENT and not token.string.startswith(("# noqa", "# fmt"))
    }
    return statements, comments
