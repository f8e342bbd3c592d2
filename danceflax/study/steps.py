"""A step of a study: a command, what it is made from and what it makes; done once.

OUTPUT/study.json keeps, of each step, the command, and the state of what it read and of what it
wrote. A step is done if all three are still so: whatever else has changed, it runs again, and its
command does what is lacking.
"""

import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time
import typing
from collections.abc import Sequence

from danceflax.errors import UserError
from danceflax.io.console import console
from danceflax.io.files import sha256, write_json

NAME = "study.json"
TABLES = (".csv", ".json")  # which a command may write again as they were
GRACE = 5.0  # seconds that a command which Ctrl-C reached as well has to end
SIGINT_STATUS = 130
STOPPED = (SIGINT_STATUS, 143)  # statuses of a command that SIGINT or SIGTERM has ended


class Step(typing.NamedTuple):
    """What is to be done once.

    Attributes:
      name, about: one word, and what the step does.
      words: the script, and its flags.
      needs: what it reads: files, and folders with their folders.
      makes: what it writes, likewise.
      seconds: that it takes, about.
      lenient: status 1 means that something was left out, and the rest is there.
      refuses: what to do where `makes` came from other `needs`, which its command would not notice.
    """

    name: str
    about: str
    words: tuple[str, ...]
    needs: tuple[pathlib.Path, ...]
    makes: tuple[pathlib.Path, ...]
    seconds: float
    lenient: bool = False
    refuses: str = ""


def is_done(step: Step, output: pathlib.Path) -> bool:
    """Whether the step's command has run to its end, on what is there now, and left what is there.

    Raises:
      UserError: it has begun on something else, and does not bear that.
    """
    note = read_notes(output).get(step.name)
    if note is None or not all(map(_holds_something, step.makes)):
        return False
    same = note["command"] == list(step.words) and note["needs"] == _state(step.needs)
    if not same and step.refuses:
        raise UserError(
            f"{step.makes[0]}: was made from other data or with other settings; {step.refuses}"
        )
    return same and note["makes"] == _state(step.makes)


def run_step(step: Step, output: pathlib.Path, scripts: pathlib.Path | None) -> None:
    """Runs a step's command and notes what it read and wrote.

    Args:
      step: to be run.
      output: the study's folder.
      scripts: the folder of the scripts; None: the command `danceflax` is used instead.

    Raises:
      UserError: it has failed.
      SystemExit: it was stopped, with its status.
    """
    needs, begin = _state(step.needs), time.monotonic()
    note = {"command": list(step.words), "needs": needs, "makes": None}
    _take_note(output, step, note)
    program = ["-m", "danceflax", _name(step)] if scripts is None else [scripts / step.words[0]]
    status = _call([sys.executable, *map(str, program), *step.words[1:]])
    status = status if status >= 0 else 128 - status  # a signal that it did not look at
    if status in STOPPED:
        raise SystemExit(status)
    if status > step.lenient or not all(map(_holds_something, step.makes)):
        raise UserError(
            f"the step {step.name} has failed (status {status}): mend what the lines above say, "
            "and give the same command again"
        )
    note |= {"makes": _state(step.makes), "seconds": round(time.monotonic() - begin, 1)}
    _take_note(output, step, note)


def show_command(step: Step, scripts: pathlib.Path | None) -> str:
    """The command as a person types it here; `scripts` as of `run_step`."""
    if scripts is None:
        return shlex.join(["danceflax", _name(step), *step.words[1:]])
    script = os.path.relpath(scripts / step.words[0])
    return f"python {shlex.join([script, *step.words[1:]])}"


def _name(step):
    """What `danceflax` calls the step's script."""
    return pathlib.Path(step.words[0]).stem.replace("_", "-")


def read_notes(output: pathlib.Path) -> dict[str, dict]:
    """{step: note} of a study; none before it has begun. Raises UserError: the file is damaged."""
    path = output / NAME
    try:
        notes = json.loads(path.read_text()) if path.exists() else {}
        if not all({"command", "needs", "makes"} <= set(note) for note in notes.values()):
            raise ValueError("keys are missing")
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); remove it, and every step looks for itself what is "
            "left to do"
        ) from None
    return notes


def _take_note(output, step, note):
    write_json(output / NAME, read_notes(output) | {step.name: note})


def _holds_something(path):
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _call(command: Sequence[str]) -> int:
    """The exit status of a process. If this one is ended, so is that, and it is waited for."""
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except SystemExit as end:
        if end.code == SIGINT_STATUS:  # of a terminal, that process has it too
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                console.print("waiting for the command to end")
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _state(paths):
    """A digest of names, of what tables hold, of other files' sizes and times, and of the times at
    which folders, and those in them, last changed."""
    lines = []
    for path in paths:
        if path.is_dir():
            folders = [path, *sorted(p for p in path.iterdir() if p.is_dir())]
            lines += [f"{folder} {folder.stat().st_mtime_ns}" for folder in folders]
        elif path.exists():
            stat = path.stat()
            is_table = path.suffix in TABLES
            lines.append(f"{path} {sha256(path) if is_table else (stat.st_size, stat.st_mtime_ns)}")
        else:
            lines.append(f"{path} is absent")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
