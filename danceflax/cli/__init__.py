"""Command lines: flags, configs and errors, the same for every script."""

import contextlib
import difflib
import os
import pathlib
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags
from rich.console import Console

from danceflax.cli import fields
from danceflax.cli.compilation import choose_convolutions, keep_programs
from danceflax.errors import UserError
from danceflax.io.console import errors

_required: set[str] = set()
_groups: dict[str, tuple[str, ...]] = {}  # title -> names of flags


def run(main: Callable, doc: str) -> None:
    """Runs main(argv) after parsing flags; errors of the user end in one line and status 2."""
    logging.set_verbosity(logging.WARNING)  # orbax tells each file it writes
    keep_programs()
    choose_convolutions()
    app.run(lambda argv: guard(main, argv), flags_parser=lambda argv: parse(argv, main, doc))


def guard(main: Callable, argv: Sequence[str]) -> int | None:
    """main(argv), with errors of the user as one line."""
    try:
        with interruptible("what was finished stays, and nothing half done"):
            return main(argv)
    except UserError as error:
        fail(error)


@contextlib.contextmanager
def interruptible(remark: str) -> Iterator[None]:
    """A block that SIGTERM and SIGINT end, its processes as well, with a line and a status of their
    own: 143 or 130. On the way out what is half written is removed."""

    def end(kind, _):
        signal.signal(kind, signal.SIG_DFL)  # a second one ends at once
        kind = signal.Signals(kind)
        errors.print(f"stopped by {kind.name}; {remark}")
        sys.exit(128 + kind)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGTERM, signal.SIGINT)
    previous = {kind: signal.signal(kind, end) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in previous.items():
            signal.signal(kind, handler)


def define_config() -> None:
    """Declares --config, an ml_collections file that `--config.field=value` overrides."""
    config_flags.DEFINE_config_file("config", None, "configs/FILE.py or FILE.py:variant")


def define_training() -> flags.FlagValues:
    """Declares --config and --workdir, both needed, --lr_test and --replay; returns the flags."""
    define_config()
    flags.DEFINE_string("workdir", None, "where checkpoints and reports go")
    about = "instead of training, find the learning rate that each parameter group bears"
    flags.DEFINE_bool("lr_test", False, about)
    about = "instead of training, repeat a step whose loss was not finite: WORKDIR/nonfinite/STEP"
    flags.DEFINE_string("replay", None, about)
    require("config", "workdir")
    return flags.FLAGS


def require(*names: str) -> None:
    """Flags a script cannot do without."""
    _required.update(names)


def group_flags(title: str, *holders: flags.FlagHolder) -> str:
    """Flags that are for one kind of checkpoint only: --help lists them apart, under the title,
    which is returned; see `refuse_flags`."""
    _groups[title] = tuple(holder.name for holder in holders)
    return title


def refuse_flags(title: str, checkpoint: str) -> None:
    """Raises UserError: a flag of a group was given that is not for this checkpoint."""
    for name in _groups[title]:
        if flags.FLAGS[name].present:
            raise UserError(f"--{name} is for {title}, and {checkpoint} is none; leave it out")


def parse_numbers(name: str, words: Sequence[str]) -> tuple[float, ...]:
    """The numbers of a list flag."""
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        raise UserError(f"--{name}={','.join(words)} is not a list of numbers") from None


def parse_size(name: str, words: Sequence[str], multiple: int = 8) -> tuple[int, int]:
    """(height, width) of a list flag of one or two numbers, multiples of `multiple`."""
    numbers = parse_numbers(name, words)
    if len(numbers) not in (1, 2) or any(n <= 0 or n % multiple for n in numbers):
        raise UserError(
            f"--{name}={','.join(words)}: expected height,width in multiples of {multiple}"
        )
    return int(numbers[0]), int(numbers[-1])


def fail(message: object) -> None:
    """Prints one line and exits with status 2."""
    errors.print(f"error: {message}")
    sys.exit(2)


def parse(argv: Sequence[str], main: Callable, doc: str) -> list[str]:
    """Parses the command line of a script; what is no flag. Ends the process with the help, if that
    is asked for, or if the line is not understood.

    Args:
      argv: with the script's name.
      main: of the script, whose module declares its flags.
      doc: what --help says first.
    """
    argv = fields.locate_config(argv)
    own = sys.argv[0] if main.__module__ == "__main__" else main.__module__
    if {"--help", "-h", "-help"} & set(argv):
        _print_help(argv, own, doc)
        sys.exit(0)
    try:
        rest = read_flags(argv, flags.FLAGS)
    except UserError as error:
        fail(error)
    if len(rest) > 1:
        fail(f"{rest[1]!r} is not understood; options are written --name=value")
    for name in flags.FLAGS:
        if flags.FLAGS[name].value is None and name in _required:
            fail(f"--{name} is missing; {flags.FLAGS[name].help}")
    for flag in flags.FLAGS.flags_by_module_dict().get(own, ()):
        flag.value = expand_home(flag.value)
    if "workdir" in flags.FLAGS:
        flags.FLAGS["workdir"].value = expand_home(flags.FLAGS["workdir"].value)
    if "config" in flags.FLAGS and flags.FLAGS["config"].value is not None:
        expand_fields(flags.FLAGS["config"].value)
    return rest


def read_flags(argv: Sequence[str], values: flags.FlagValues) -> list[str]:
    """Parses a command line; returns what is no flag. Raises UserError: it is not understood."""
    _check_config_file(argv, values)
    try:
        return values(argv)
    except flags.Error as error:
        message = " ".join(str(error).split())
        if isinstance(error, flags.UnrecognizedFlagError):
            message += "; --help lists the flags"
    except (AttributeError, KeyError) as error:
        message = _unknown_field(argv) or error
    except (ValueError, OSError, SyntaxError, TypeError) as error:
        message = f"--config: {str(error).strip().splitlines()[0]}"
    raise UserError(message)


def expand_home(value: Any) -> Any:
    """A path flag's value with ~ as the home folder: after --name= no shell does that."""
    if isinstance(value, list):
        return [expand_home(item) for item in value]
    is_home = isinstance(value, str) and re.match(r"~(/|$)", value)
    return os.path.expanduser(value) if is_home else value


def expand_fields(config: ConfigDict) -> None:
    """`expand_home` of all texts of a config, in place."""
    for key, value in config.items():
        if hasattr(value, "items"):
            expand_fields(value)
        elif isinstance(value, str):
            config[key] = expand_home(value)


def _check_config_file(argv, values):
    """Raises UserError: --config names no file, or no variant of it; with the nearest name."""
    word = fields.find_flag(argv)
    if word is None or "config" not in values:
        return
    name, _, variant = word.partition(":")
    path = pathlib.Path(name)
    if not path.is_file():
        there = [str(other) for other in path.parent.glob("*.py")] if path.parent.is_dir() else []
        near = difflib.get_close_matches(name, there, 1, 0.4)
        message = f"no such file{f'; did you mean {near[0]}?' if near else ''}"
        raise UserError(f"--config={word}: {message}")
    try:
        fields.load_config(path, variant)
    except ValueError as error:
        near = difflib.get_close_matches(variant, re.findall(r"[\w+]+", str(error)), 2)
        near = [word for word in near if word != variant]
        message = f"{error}{f'; did you mean {near[0]}?' if near else ''}"
    except Exception as error:
        message = f"cannot be run: {type(error).__name__}: {' '.join(str(error).split())}"
    else:
        return
    raise UserError(f"--config={word}: {message}")


def _unknown_field(argv):
    found = fields.find_config(argv)
    if found is None:
        return None
    known = list(fields.flatten(fields.load_config(*found)))
    for word in argv:
        match = re.match(r"--(?:no)?config\.([\w.\[\]]+)", word)
        if match and match[1] not in known:
            leaf = match[1].rsplit(".", 1)[-1]
            near = difflib.get_close_matches(match[1], known, 3, 0.6)
            near += [key for key in known if key.rsplit(".", 1)[-1] == leaf and key not in near]
            leaves = {key.rsplit(".", 1)[-1]: key for key in known}
            near += [leaves[k] for k in difflib.get_close_matches(leaf, leaves, 2) if not near]
            hint = f"nearest: {', '.join(near[:4])}" if near else "--help lists the fields"
            return f"--config.{match[1]}: the config has no such field; {hint}"
    return None


def spell_commands(text: str) -> str:
    """A text with `danceflax predict` for `python predict.py`, if that is how this process was
    started."""
    if sys.argv[0] != "danceflax":
        return text
    return re.sub(r"python (\w+)\.py", lambda m: f"danceflax {m[1].replace('_', '-')}", text)


def _print_help(argv, module, doc):
    """The script's text, its flags, and every field of the config with its default and text."""
    out = Console(soft_wrap=True, highlight=False, markup=False)
    out.print(spell_commands(doc.strip()))
    known = flags.FLAGS.flags_by_module_dict()
    # --config and --workdir are declared here, the others in the script.
    own = {flag.name: flag for name in (__name__, module) for flag in known.get(name, ())}
    grouped = {name for names in _groups.values() for name in names}
    sections = {"flags": [name for name in own if name not in grouped]}
    for title, names in (sections | {f"flags for {k}": v for k, v in _groups.items()}).items():
        out.print(f"\n{title}:")
        for name in names:
            default = own[name].default
            shown = "" if default in (None, "", [], False) else f" (default {default})"
            out.print(f"  --{name}: {own[name].help}{shown}")
    if "config" not in own:
        return
    found = fields.find_config(argv)
    if found is None:
        out.print("\nWith --config=configs/FILE.py --help also lists that config's fields.")
        return
    out.print("\nfields, each overridden by --config.FIELD=VALUE:")
    for field, (value, text) in fields.describe_fields(*found).items():
        out.print(f"  {field} = {value!r}  # {text}")
