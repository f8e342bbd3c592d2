"""Digests of a checkpoint's files: damage is noticed before it is trained on or believed.

CHECKPOINT/SHA256SUMS is what `sha256sum` writes and checks. It is written before a checkpoint gets
its name, so one without it is not whole.

python -m danceflax.training.digests runs/a
"""

import os
import pathlib
import re
import shutil
import sys
import tempfile

from danceflax.errors import UserError
from danceflax.io.console import console, errors
from danceflax.io.files import read_bytes, sha256, write_text

NAME = "SHA256SUMS"
FOLDER = "checkpoints"  # of a training's workdir
MAX_BYTES = 10_000_000  # of SHA256SUMS; a line has some 110
ASIDE = "damaged"  # beside it: checkpoints that were found damaged
# What orbax writes after the digests, as it gives a checkpoint its name.
_LATER = {"_CHECKPOINT_METADATA", "commit_success.txt"}


def write_digests(folder: str | os.PathLike) -> None:
    """Writes FOLDER/SHA256SUMS of every file under it. Raises UserError: it cannot be written."""
    folder = pathlib.Path(folder)
    lines = [f"{sha256(folder / file)}  {file}\n" for file in _list_files(folder)]
    write_text(folder / NAME, "".join(lines))


def find_damage(folder: str | os.PathLike) -> str | None:
    """What is wrong with a checkpoint's files, with a count of the rest; None if all are whole."""
    folder = pathlib.Path(folder)
    try:
        text = read_bytes(folder / NAME, MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        empty = folder.is_dir() and not any(folder.iterdir())
        return "it is empty" if empty else f"it has no {NAME}: it never was whole, or is of 0.1"
    lines = [re.fullmatch(r"([0-9a-f]{64})  ([^\0]+)", line) for line in text.splitlines()]
    if not lines or not all(lines):
        return f"its {NAME} is damaged"
    damage = [found for line in lines if (found := _compare(folder, line[2], line[1]))]
    if not damage:
        return None
    return damage[0][:200] + (f" ({len(damage) - 1} more)" if len(damage) > 1 else "")


def list_steps(folder: str | os.PathLike) -> list[int]:
    """The steps of a folder of checkpoints, whole or not, the newest first."""
    folder = pathlib.Path(folder)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    steps = [int(name) for name in names if re.fullmatch(r"0|[1-9]\d{0,17}", name)]
    return sorted(steps, reverse=True)


def find_whole(folder: pathlib.Path) -> int | None:
    """The newest whole step of a training's checkpoints, or None if there is not one checkpoint.

    Makes the folder ready for more: what was never finished is removed, what is damaged is put
    aside, and the screen says why.

    Raises:
      UserError: the folder cannot be written to, or has checkpoints of which none is whole.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written: {error.strerror or error}; name another --workdir"
        ) from None
    remove_unfinished(folder)
    steps = list_steps(folder)
    damage = {step: find_damage(folder / str(step)) for step in steps}
    if steps and all(damage.values()):
        listed = "; ".join(f"{step}: {found}" for step, found in damage.items())
        raise UserError(
            f"{folder}: no checkpoint is whole ({listed}); bring back a copy, or remove the folder "
            "to begin anew"
        )
    for step, found in damage.items():
        if found:
            aside = _put_aside(folder / str(step))
            errors.print(f"checkpoint {step} is damaged: {found}; it lies in {aside} now")
    return next((step for step in steps if not damage[step]), None)


def list_unfinished(folder: pathlib.Path) -> list[pathlib.Path]:
    """Checkpoints that were begun and have no name yet."""
    return [path for path in folder.glob("*.orbax-checkpoint-tmp*") if path.is_dir()]


def remove_unfinished(folder: pathlib.Path) -> None:
    """Removes what a killed or failed save has left."""
    for path in list_unfinished(folder):
        shutil.rmtree(path, ignore_errors=True)


def _put_aside(path):
    target, count = path.parents[1] / ASIDE / path.name, 1
    while target.exists():
        count += 1
        target = target.with_name(f"{path.name}.{count}")
    try:
        target.parent.mkdir(exist_ok=True)
        os.replace(path, target)
    except OSError as error:
        raise UserError(f"{path}: cannot be moved to {target}: {error.strerror}") from None
    return target


def _list_files(folder):
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(file) for file in files if str(file) not in _LATER | {NAME})


def _compare(folder, file, digest):
    if pathlib.PurePath(file).is_absolute() or ".." in pathlib.PurePath(file).parts:
        return f"its {NAME} names {file}, outside it"
    try:
        return None if sha256(folder / file) == digest else f"{file} is damaged"
    except FileNotFoundError:
        return f"{file} is missing"
    except OSError as error:
        return f"{file} cannot be read: {error.strerror or error}"


def main(words: list[str]) -> int:
    """Checks trainings or single checkpoints; prints a line each, and returns the exit status."""
    if not words or words[0].startswith("-"):
        console.print(__doc__.strip())
        return 0 if words else 2
    status = 0
    for word in words:
        path = pathlib.Path(word)
        folder = path / FOLDER if (path / FOLDER).is_dir() else path
        steps = [folder / str(step) for step in list_steps(folder)]
        if not path.is_dir():
            raise UserError(f"{word}: no such folder; name a training's workdir or a checkpoint")
        for checkpoint in steps or [path]:
            damage = find_damage(checkpoint)
            console.print(f"{checkpoint}: {damage or 'whole'}")
            status |= damage is not None
    return int(status)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")
