"""A script with commands: each is a module's function `run`, whose signature makes the flags."""

import ast
import importlib
import inspect
import pathlib
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence

from absl import flags

from danceflax import cli
from danceflax.errors import UserError

_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}


def run_commands(doc: str, commands: Mapping[str, str], argv: Sequence[str] | None = None) -> int:
    """Runs the command that a command line names.

    Args:
      doc: what --help says.
      commands: {name: module}. The module's `run` has an annotated signature, from which flags are
        made: parameters without a default must be given, tuples are written a,b or, of files, a b.
        Its docstring is the command's help, its section Args the flags'. It returns the exit
        status, or None for 0.
      argv: of the command, without the script; the process's by default.

    Returns:
      The exit status: 2 if the command line was not understood or an input is at fault.

    Raises:
      SystemExit: it was stopped; the status is 143 (SIGTERM) or 130 (SIGINT).
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("--help", "-h", "-help"):
        print(f"{cli.spell_commands(doc.strip())}\n\ncommands:")
        width = max(map(len, commands))
        for name, module in commands.items():
            print(f"  {name:<{width}}  {_summary(module)}")
        return 0
    name, *words = argv
    try:
        if name not in commands:
            raise UserError(f"there is no command {name!r}; choose {', '.join(commands)}")
        function = importlib.import_module(commands[name]).run
        if {"--help", "-h", "-help"} & set(words):
            print(cli.spell_commands(_help(function)))
            return 0
        arguments = parse_flags(function, name, words)
        with cli.interruptible("the same command goes on, or starts clean"):
            return function(**arguments) or 0
    except UserError as error:
        cli.fail(error)


def parse_flags(function: Callable, name: str, words: Sequence[str]) -> dict[str, object]:
    """The keyword arguments of a function, of a command line."""
    values, kinds = flags.FlagValues(), typing.get_type_hints(function)
    kinds.pop("return", None)
    parameters = inspect.signature(function).parameters
    for key, kind in kinds.items():
        default = parameters[key].default
        default = None if default is inspect.Parameter.empty else default
        if _item(kind):
            default = default if default is None else [str(value) for value in default]
            flags.DEFINE_list(key, default, "", flag_values=values)
        else:
            _DEFINE[_plain(kind)](key, default, "", flag_values=values)
    try:
        rest = values([name, *_join_lists(words, [key for key in kinds if _item(kinds[key])])])
    except flags.Error as error:
        raise UserError(f"{' '.join(str(error).split())}; {name} --help lists the flags") from None
    if len(rest) > 1:
        raise UserError(f"{rest[1]!r} is not understood; options are written --name=value")
    arguments = {}
    for key, kind in kinds.items():
        value = cli.expand_home(values[key].value)
        if value is None and parameters[key].default is inspect.Parameter.empty:
            raise UserError(f"--{key} is missing; {name} --help says what it is")
        if value is not None and (item := _item(kind)):
            try:
                value = tuple(item(word) for word in value)
            except ValueError:
                what = {int: "whole numbers", float: "numbers"}[item]
                raise UserError(f"--{key}={','.join(value)}: expected {what}: a,b") from None
        arguments[key] = value
    return arguments


def _join_lists(words, names):
    """Words with "--names a b" as "--names=a,b": what a shell makes of a pattern of files."""
    joined = []
    for word in words:
        flag, given, _ = joined[-1].lstrip("-").partition("=") if joined else ("", "", "")
        if flag in names and not word.startswith("-"):
            joined[-1] += f",{word}" if given else f"={word}"
        else:
            joined.append(word)
    return joined


def _plain(kind):
    """int of `int | None`."""
    if isinstance(kind, types.UnionType):
        (kind,) = (part for part in kind.__args__ if part is not type(None))
    return kind


def _item(kind):
    """int of tuple[int, ...]; None of what is no tuple."""
    kind = _plain(kind)
    return kind.__args__[0] if typing.get_origin(kind) is tuple else None


def _summary(module):
    """The first line of what a module's `run` says of itself, without importing it."""
    path = pathlib.Path(__file__).parents[1].joinpath(*module.split(".")[1:])
    tree = ast.parse(path.with_suffix(".py").read_text())
    (found,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "run")
    return ast.get_docstring(found).split("\n")[0]


def _help(function):
    """A function's docstring, with its arguments as flags and their defaults."""
    text, _, section = inspect.getdoc(function).partition("\nArgs:\n")
    section = section.partition("\n\n")[0]
    lines = [text.strip(), "", "flags:"]
    parameters = inspect.signature(function).parameters
    for line in section.splitlines():
        key = re.match(r"  (\w+): ", line)
        if key:
            default = parameters[key[1]].default
            if isinstance(default, tuple):
                default = ",".join(map(str, default))
            shown = default not in (None, "", False, inspect.Parameter.empty)
            needed = default is inspect.Parameter.empty
            note = " (needed)" if needed else f" (default {default})" if shown else ""
            line = f"  --{line[2:]}{note}"
        lines.append(line)
    return "\n".join(lines)
