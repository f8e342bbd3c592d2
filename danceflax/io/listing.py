"""What lies in folders: names in the order in which people count, without those of the system."""

import glob
import os
import pathlib
import re

from danceflax.errors import UserError
from danceflax.io.images import IMAGE_SUFFIXES
from danceflax.io.videos import VIDEO_SUFFIXES

# What operating systems, storage boxes, archives and notebooks leave behind beside hidden names.
SYSTEM_NAMES = frozenset(
    ("thumbs.db", "desktop.ini", "@eadir", "__macosx", "$recycle.bin", "system volume information",
     "lost+found", "#recycle", "__pycache__")
)  # fmt: skip


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is none of the user's data."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def list_folder(folder: str | os.PathLike) -> list[str]:
    """The names in a folder, in no order, without hidden ones; none if there is no such folder."""
    try:
        return [name for name in os.listdir(folder) if not is_hidden(name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def count_key(name: str) -> list:
    """Sorts names as people count: clip_2, clip_10; a file's digits by their value."""
    parts = re.split(r"(\d+)", name)
    parts[1::2] = [(int(digits), digits) for digits in parts[1::2]]
    return parts


def list_inputs(path: str | os.PathLike) -> tuple[list[tuple[pathlib.Path, str]], list[str]]:
    """The images and videos of a path that a person gave.

    Args:
      path: an image, a video, a folder, or a pattern, "folder/clip_*.jpg".

    Returns:
      [(path, "image" or "video")] as people count, by the files' suffixes; a GIF is a video. And
      the names of a folder's other files and folders, which are passed over.

    Raises:
      UserError: nothing is there, the folder holds neither, or the file is neither.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        files = [path / name for name in list_folder(path)]
    elif path.exists():
        files = [path]
    else:
        files = [
            file for file in map(pathlib.Path, glob.glob(str(path))) if not is_hidden(file.name)
        ]
    if not files and not path.exists():
        raise UserError(f"{path}: no such file or folder")
    inputs, others = [], []
    for file in sorted(files, key=lambda file: count_key(str(file))):
        suffix = file.suffix.lower()
        if file.is_file() and suffix in IMAGE_SUFFIXES:
            inputs.append((file, "image"))
        elif file.is_file() and suffix in VIDEO_SUFFIXES:
            inputs.append((file, "video"))
        else:
            others.append(f"{file.name}/" if file.is_dir() else file.name)
    if not inputs:
        what = "holds no" if path.is_dir() else "is not an"
        known = " ".join(IMAGE_SUFFIXES + VIDEO_SUFFIXES)
        raise UserError(f"{path}: {what} image or video; give one ending in {known}")
    return inputs, others


def require_apart(inputs: list[tuple[pathlib.Path, str]], output: pathlib.Path) -> None:
    """Raises UserError: the output is no folder, results would be written among the inputs, or
    those of two inputs to one file. Names that differ by capital letters are one on some disks."""
    if output.exists() and not output.is_dir():
        raise UserError(f"--output={output}: is a file; name a folder")
    names = {}
    for path, kind in inputs:
        other = names.setdefault((kind, path.stem.casefold()), path)
        if other is not path:
            raise UserError(f"{path}: another input is called {other.name}; rename one of them")
    folders = {path.parent: path for path, _ in inputs}
    folders |= {path.resolve().parent: path for path, _ in inputs if path.is_symlink()}
    for folder, path in folders.items():
        if output.exists() and os.path.samefile(folder, output):
            raise UserError(
                f"--output={output}: holds the input {path}; name another folder, as "
                f"{output / 'out'}, so that no input is written over or results read again"
            )
