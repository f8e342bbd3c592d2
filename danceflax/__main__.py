"""The command `danceflax`, also as `python -m danceflax`: the scripts as its commands."""

import ast
import importlib
import pathlib
import re
import sys

from danceflax import __version__, cli
from danceflax.io.console import console

COMMANDS = (
    "study", "prepare-data", "train-openpose", "train-classifier", "evaluate", "predict", "app",
    "convert-weights",
)  # fmt: skip
HELP = ("--help", "-h", "-help")


def main() -> None:
    """Runs the command that the process's arguments name."""
    _, *words = sys.argv
    if not words or words[0] in HELP:
        console.print(describe())
    elif words[0] == "--version":
        console.print(__version__)
    elif words[0] in COMMANDS:
        sys.argv = ["danceflax", *words[1:]]
        importlib.import_module(f"danceflax.scripts.{_module(words[0])}").run()
    else:
        cli.fail(f"there is no command {words[0]!r}; choose {', '.join(COMMANDS)}")


def describe() -> str:
    """The commands, each with what its script says of itself first; it is not run for that."""
    width = max(map(len, COMMANDS))
    lines = []
    for name in COMMANDS:
        path = pathlib.Path(__file__).parent / "scripts" / f"{_module(name)}.py"
        text = " ".join(ast.get_docstring(ast.parse(path.read_text())).split())
        lines.append(f"  {name:<{width}}  {re.split('[:;.,] ', text)[0]}")
    return "\n".join(["danceflax COMMAND --help shows a command's flags.", "", *lines])


def _module(command):
    return command.replace("-", "_")


if __name__ == "__main__":
    main()
