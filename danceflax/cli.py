"""Command lines: flags, configs and errors, the same for every script."""

import difflib
import inspect
import pathlib
import re
import sys

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags
from rich.console import Console

from danceflax.errors import UserError
from danceflax.io.console import errors


def run(main, doc):
    """Runs main(argv) after parsing flags; errors of the user end in one line and status 2."""
    logging.set_verbosity(logging.WARNING)  # orbax tells each file it writes
    app.run(lambda argv: _guard(main, argv), flags_parser=lambda argv: _parse(argv, doc))


def define_config():
    """Declares --config, an ml_collections file that `--config.field=value` overrides."""
    return config_flags.DEFINE_config_file("config", None, "configs/FILE.py or FILE.py:variant")


def flatten(config, prefix=""):
    """{"optimizer.groups.paf.lr": value, ...} of a nested config."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, (dict, ConfigDict)):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def parse_numbers(name, words):
    """The numbers of a list flag, as a tuple of float."""
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        raise UserError(f"--{name}={','.join(words)} is not a list of numbers") from None


def parse_size(name, words, multiple=8):
    """(height, width) of a list flag of one or two numbers, multiples of `multiple`."""
    numbers = parse_numbers(name, words)
    if len(numbers) not in (1, 2) or any(n <= 0 or n % multiple for n in numbers):
        raise UserError(
            f"--{name}={','.join(words)}: expected height,width in multiples of {multiple}"
        )
    return int(numbers[0]), int(numbers[-1])


def fail(message):
    """Prints one line and exits with status 2."""
    errors.print(f"error: {message}")
    sys.exit(2)


def _guard(main, argv):
    try:
        main(argv)
    except UserError as error:
        fail(error)


def _parse(argv, doc):
    if {"--help", "-h", "-help"} & set(argv):
        _print_help(argv, doc)
        sys.exit(0)
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        fail(" ".join(str(error).split()))
    except UserError as error:
        fail(error)
    except (AttributeError, KeyError) as error:
        fail(_unknown_field(argv) or error)
    except (ValueError, OSError, SyntaxError, TypeError) as error:
        fail(f"--config: {str(error).strip().splitlines()[0]}")
    if len(rest) > 1:
        fail(f"{rest[1]!r} is not understood; options are written --name=value")
    for name in flags.FLAGS:
        if flags.FLAGS[name].value is None and name in _required:
            fail(f"--{name} is missing; {flags.FLAGS[name].help}")
    return rest


_required = set()


def require(*names):
    """Flags a script cannot do without."""
    _required.update(names)


def _find_config(argv):
    """(path, variant) of the config file named on the command line; None if there is none."""
    for i, word in enumerate(argv):
        match = re.fullmatch(r"--?config(=(.*))?", word)
        if match:
            value = match[2] if match[1] else argv[i + 1] if i + 1 < len(argv) else ""
            path, _, variant = value.partition(":")
            return (pathlib.Path(path), variant) if pathlib.Path(path).is_file() else None
    return None


def _load_config(path, variant):
    """That config without overrides."""
    scope = {"__name__": "config"}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    get = scope["get_config"]
    return get(variant) if inspect.signature(get).parameters and variant else get()


def _read_comments(path):
    """{field or its last part: comment} of a config file and those it is based on."""
    text = path.read_text()
    for name in re.findall(r"^from configs(?:\.| import )(\w+)", text, re.MULTILINE):
        text += (path.parent / f"{name}.py").read_text()
    pairs = re.findall(r"([\w.]+) = .*?  # (.*)", text)
    return {name.removeprefix("config."): comment for name, comment in reversed(pairs)}


def _unknown_field(argv):
    found = _find_config(argv)
    if found is None:
        return None
    known = list(flatten(_load_config(*found)))
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


def _print_help(argv, doc):
    """The script's text, its flags, and every field of the config with its default and comment."""
    out = Console(soft_wrap=True, highlight=False, markup=False)
    out.print(doc.strip())
    out.print("\nflags:")
    known = flags.FLAGS.flags_by_module_dict()
    # --config is declared here, the others in the script.
    own = [flag for module in (sys.argv[0], __name__) for flag in known.get(module, ())]
    for flag in own:
        default = "" if flag.default in (None, "") else f" (default {flag.default})"
        out.print(f"  --{flag.name}: {flag.help}{default}")
    if not any(flag.name == "config" for flag in own):
        return
    found = _find_config(argv)
    if found is None:
        out.print("\nWith --config=configs/FILE.py --help also lists that config's fields.")
        return
    comments = _read_comments(found[0])
    out.print("\nfields, each overridden by --config.FIELD=VALUE:")
    for field, value in flatten(_load_config(*found)).items():
        comment = comments.get(field) or comments.get(field.rsplit(".", 1)[-1], "")
        out.print(f"  {field} = {value!r}" + (f"  # {comment}" if comment else ""))
