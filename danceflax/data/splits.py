"""Split files: which frames and clips belong to train, val and test.

  frames  one row a frame: its path and its dance ("data/frames/tap/a_000_0001.jpg", "tap")
  clips   one row a clip: its name, its dance, and its frames ("['0001', '0002', ...]") or how many
          they are

Both are CSV or TSV, with or without a header; `tables.find_columns` tells the columns apart. A
frame is known by `<dance>/<file>`, the last two parts of its path, so that a data root may lie
anywhere. A clip is `<video>_<start>`; a YouTube id, 11 characters, may itself hold _ and -.
"""

import logging
import os
import pathlib
import re
import typing
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int32, Shaped

from danceflax.data.tables import SAMPLE, find_columns, read_table
from danceflax.errors import UserError

# Where a root keeps its lists; {} is the split's name.
FRAME_LISTS, CLIP_LISTS = "pose_training_split/{}.csv", "videos_split/{}_videos.csv"


class Frames(typing.NamedTuple):
    """Frames of a split, as two flat arrays: 400,000 of them take some 20 MB.

    Attributes:
      files: bytes (dtype S), `<dance>/<file>`.
      rows: each frame's line in the split file, 1 the first; 0 if it has none.
    """

    files: Shaped[np.ndarray, " N"]
    rows: Int32[np.ndarray, " N"]


class Clip(typing.NamedTuple):
    """One row of a clip list. `frames` holds the frame numbers as written, bytes, or is None
    where the list only counts them."""

    dance: str
    name: str
    num_frames: int
    frames: Shaped[np.ndarray, " T"] | None
    row: int


def split_clip(clip: str) -> tuple[str, str]:
    """'-2W1PfHleRM_033' -> ('-2W1PfHleRM', '033'): the video's id and the start second."""
    video, _, start = clip.rpartition("_")
    return video, start


def find_split(root: str | os.PathLike, split: str, first: str = FRAME_LISTS) -> pathlib.Path:
    """The split file of that name under a root, or at that path under it or anywhere.

    Args:
      root: the data root.
      split: a split's name, or the path of a split file.
      first: FRAME_LISTS or CLIP_LISTS, which is taken where a root has both.

    Raises:
      UserError: there is none.
    """
    second = CLIP_LISTS if first == FRAME_LISTS else FRAME_LISTS
    names = [pathlib.Path(root) / kind.format(split) for kind in (first, second)]
    for path in (*names, pathlib.Path(root) / split, pathlib.Path(split)):
        if path.is_file():
            return path
    raise UserError(
        f"{root}: no split {split!r}: neither {names[0]} nor {names[1]} is there; make one with "
        "prepare_data.py split"
    )


def is_clip_list(path: str | os.PathLike) -> bool:
    """Whether that split file lists clips; else it lists frames. Raises UserError: neither."""
    return find_columns(read_table(path, rows=SAMPLE), path).frames is not None


def read_frames(path: str | os.PathLike) -> Frames:
    """Reads a frame list. Rows that repeat an earlier one are dropped, with a warning.

    Raises:
      UserError: the file is missing, empty or no table; a path holds '..', has no <dance>/<file>,
        or lies in another dance's folder than its dance.
    """
    files, rows, repeated = [], [], []
    for row, file, fault, message in _frame_rows(path):
        if fault == "repeated":
            repeated.append(row)
        elif fault:
            raise UserError(f"{path}, row {row}: {message}")
        else:
            files.append(file)
            rows.append(row)
    if repeated:
        row = repeated[0]
        logging.warning(
            "%s: %d rows repeat an earlier one and are left out; the first is row %d",
            path, len(repeated), row,
        )  # fmt: skip
    return Frames(_as_bytes(files), np.array(rows, np.int32))


def _frame_rows(path):
    """Yields (row, `<dance>/<file>`, fault or "", message) of each row of a frame list."""
    table = read_table(path)
    columns = find_columns(table, path)
    names = table[columns.name].tolist()
    dances = table[columns.dance].tolist() if columns.dance else [None] * len(names)
    first_rows = {}
    for row, name, dance in zip(table.index.tolist(), names, dances, strict=True):
        parts = name.replace("\\", "/").rsplit("/", 2)
        file = "/".join(parts[-2:])
        fault = message = ""
        if ".." in name and ".." in name.replace("\\", "/").split("/"):
            fault, message = "path", f"{name!r} climbs out of the root with '..'"
        elif len(parts) < 2 or not parts[-1] or not parts[-2]:
            fault, message = "path", f"{name!r} does not end in <dance>/<file>"
        elif dance is not None and parts[-2] != dance:
            fault = "dance"
            message = f"{columns.dance} is {dance!r}, but {name!r} lies in {parts[-2]!r}"
        elif first_rows.setdefault(file, row) != row:
            fault, message = "repeated", f"{file} is listed before, in row {first_rows[file]}"
        yield row, file, fault, message


def read_clips(path: str | os.PathLike, repeated: bool = False) -> list[Clip]:
    """Reads a clip list, in its order.

    Args:
      path: of the file.
      repeated: keep clips that are listed twice; else they are dropped, with a warning.

    Raises:
      UserError: the file is missing, empty, of another form, or a row is at fault.
    """
    clips = []
    for clip, fault, message in _clip_rows(path):
        if fault == "repeated" and not repeated:
            logging.warning("%s, row %d: %s; left out", path, clip.row, message)
        elif fault and fault != "repeated":
            raise UserError(f"{path}, row {clip.row}: {message}")
        else:
            clips.append(clip)
    return clips


def _clip_rows(path):
    """Yields (`Clip`, fault, message) of each row of a clip list; no fault is ""."""
    table = read_table(path)
    columns = find_columns(table, path)
    first_rows = {}
    values = (table[column].tolist() for column in columns)
    for row, name, dance, listed in zip(table.index.tolist(), *values, strict=True):
        frames, count = None, int(listed) if listed.isdecimal() else 0
        if listed.startswith("["):
            frames = np.array(re.findall(r"\d+", listed), "S")
            count = len(frames)
        fault = message = ""
        if not all(split_clip(name)) or "/" in name or "\\" in name:
            fault, message = "clip", f"{name!r} is not a clip, <video>_<start>"
        elif not dance or "/" in dance or ".." in dance:
            fault, message = "dance", f"{dance!r} is not a dance"
        elif not count:
            fault, message = "clip", f"clip {name} has no frames"
        elif first_rows.setdefault((dance, name), row) != row:
            first = first_rows[dance, name]
            fault, message = "repeated", f"clip {name} is listed before, in row {first}"
        yield Clip(dance, name, count, frames, row), fault, message


def find_faults(path: str | os.PathLike) -> Iterator[tuple[int, str, str]]:
    """Yields (row, fault, message) of every row of a split file that `read_*` would not take.

    Raises:
      UserError: the file as a whole cannot be read.
    """
    if is_clip_list(path):
        found = ((clip.row, fault, message) for clip, fault, message in _clip_rows(path))
    else:
        found = ((row, fault, message) for row, _, fault, message in _frame_rows(path))
    yield from (entry for entry in found if entry[1])


def list_clips(path: str | os.PathLike, repeated: bool = False) -> list[Clip]:
    """The clips of a split file of either kind; a frame list's are put together."""
    if is_clip_list(path):
        return read_clips(path, repeated)
    return group_frames(read_frames(path))


def group_frames(frames: Frames) -> list[Clip]:
    """The clips that frames are of, in the order in which they appear."""
    clips = {}
    for file, row in zip(frames.files.tolist(), frames.rows.tolist(), strict=True):
        clip, _, number = file.rpartition(b".")[0].rpartition(b"_")
        clips.setdefault(clip, (row, []))[1].append(number)
    return [
        Clip(*clip.decode().split("/", 1), len(numbers), np.array(numbers, "S"), row)
        for clip, (row, numbers) in clips.items()
    ]


def _as_bytes(names):
    return np.array([name.encode() for name in names], "S")
