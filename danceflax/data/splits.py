"""Split files: which frames and clips belong to train, val and test.

  frames  CSV  one row a frame: its path (column 0, any name), dance_type
  clips   CSV  one row a clip: video_id, dance_type, frames ("['0001', '0002', ...]")
          CSV  one row a clip: label, clip, n_frames
          TSV  the same three columns without a header, as public lists have them

A frame is known by `<dance>/<file>`, the last two parts of its path, so that a data root may lie
anywhere. A clip is `<video>_<start>`; a YouTube id, 11 characters, may itself hold _ and -.
"""

import logging
import os
import pathlib
import re
import typing

import numpy as np
import pandas as pd

from danceflax.errors import UserError

CLIP_COLUMNS = ("label", "clip", "n_frames")
VIDEO_COLUMNS = ("video_id", "dance_type", "frames")
# Where a root keeps its lists; {} is the split's name.
FRAME_LISTS, CLIP_LISTS = "pose_training_split/{}.csv", "videos_split/{}_videos.csv"


class Frames(typing.NamedTuple):
    """Frames of a split, as two flat arrays: 400,000 of them take some 20 MB.

    Attributes:
      files: [N] bytes (dtype S), `<dance>/<file>`.
      rows: [N] int32, each frame's line in the split file, 1 the first; 0 if it has none.
    """

    files: np.ndarray
    rows: np.ndarray


class Clip(typing.NamedTuple):
    """One row of a clip list. `frames` holds the frame numbers as written, [T] bytes, or is None
    where the list only counts them."""

    dance: str
    name: str
    num_frames: int
    frames: np.ndarray | None
    row: int


def split_clip(clip):
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


def is_clip_list(path):
    """Whether that split file lists clips; else it lists frames. Raises UserError: unreadable."""
    first = _first_line(path)
    names = {name.strip().strip('"') for name in first.split(",")}
    return "\t" in first or names.issuperset(CLIP_COLUMNS) or names.issuperset(VIDEO_COLUMNS)


def read_frames(path):
    """Reads a frame CSV. Rows that repeat an earlier one are dropped, with a warning.

    Returns:
      `Frames`, in the file's order.

    Raises:
      UserError: the file is missing, empty or not CSV; it lacks dance_type; a path holds '..', has
        no <dance>/<file>, or lies in another dance's folder than its dance_type.
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
    """Yields (row, `<dance>/<file>`, fault, message) of each row of a frame CSV; no fault is ""."""
    table = read_table(path, header=0)
    if "dance_type" not in table.columns[1:]:
        raise UserError(
            f"{path}: columns {', '.join(table.columns)}; expected the frame's path first, and "
            f"dance_type"
        )
    first_rows = {}
    columns = (table.index, table.iloc[:, 0], table["dance_type"])
    for row, name, dance in zip(*(column.tolist() for column in columns), strict=True):
        parts = name.replace("\\", "/").rsplit("/", 2)
        file = "/".join(parts[-2:])
        fault = message = ""
        if ".." in name and ".." in name.replace("\\", "/").split("/"):
            fault, message = "path", f"{name!r} climbs out of the root with '..'"
        elif len(parts) < 2 or not parts[-1] or not parts[-2]:
            fault, message = "path", f"{name!r} does not end in <dance>/<file>"
        elif parts[-2] != dance:
            fault = "dance"
            message = f"dance_type is {dance!r}, but {name!r} lies in {parts[-2]!r}"
        elif first_rows.setdefault(file, row) != row:
            fault, message = "repeated", f"{file} is listed before, in row {first_rows[file]}"
        yield row, file, fault, message


def read_clips(path):
    """Reads a clip list of any of the three forms.

    Returns:
      list of `Clip`, in the file's order; clips listed twice are dropped, with a warning.

    Raises:
      UserError: the file is missing, empty, of another form, or a row is at fault.
    """
    clips = []
    for clip, fault, message in _clip_rows(path):
        if fault == "repeated":
            logging.warning("%s, row %d: %s; left out", path, clip.row, message)
        elif fault:
            raise UserError(f"{path}, row {clip.row}: {message}")
        else:
            clips.append(clip)
    return clips


def _clip_rows(path):
    """Yields (`Clip`, fault, message) of each row of a clip list; no fault is ""."""
    header = None if "\t" in _first_line(path) else 0
    table = read_table(path, header, separator="\t" if header is None else ",")
    if header is None and len(table.columns) == len(CLIP_COLUMNS):
        table.columns = list(CLIP_COLUMNS)
    listed = set(VIDEO_COLUMNS) <= set(table.columns)
    if not listed and not set(CLIP_COLUMNS) <= set(table.columns):
        raise UserError(
            f"{path}: not a clip list; expected the columns {', '.join(VIDEO_COLUMNS)}, or "
            f"{', '.join(CLIP_COLUMNS)}"
        )
    first_rows = {}
    for row, values in zip(table.index.tolist(), table.to_dict("records"), strict=True):
        if listed:
            dance, name = values["dance_type"], values["video_id"]
            frames = np.array(re.findall(r"\d+", values["frames"]), "S")
            count = len(frames)
        else:
            dance, name, frames = values["label"], values["clip"], None
            count = int(values["n_frames"]) if values["n_frames"].isdecimal() else 0
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


def find_faults(path):
    """Yields (row, fault, message) of every row of a split file that `read_*` would not take.

    Raises:
      UserError: the file as a whole cannot be read.
    """
    if is_clip_list(path):
        found = ((clip.row, fault, message) for clip, fault, message in _clip_rows(path))
    else:
        found = ((row, fault, message) for row, _, fault, message in _frame_rows(path))
    yield from (entry for entry in found if entry[1])


def list_clips(path):
    """The clips of a split file of either kind, as `Clip`s; a frame CSV's are put together."""
    if is_clip_list(path):
        return read_clips(path)
    return group_frames(read_frames(path))


def group_frames(frames):
    """The `Clip`s that `Frames` are of, in the order in which they appear."""
    clips = {}
    for file, row in zip(frames.files.tolist(), frames.rows.tolist(), strict=True):
        clip, _, number = file.rpartition(b".")[0].rpartition(b"_")
        clips.setdefault(clip, (row, []))[1].append(number)
    return [
        Clip(*clip.decode().split("/", 1), len(numbers), np.array(numbers, "S"), row)
        for clip, (row, numbers) in clips.items()
    ]


def _first_line(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.readline()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read as a split file: {reason}") from None


def read_table(path, header, separator=","):
    """A CSV as a pandas table of str, indexed by the line each row stands on.

    The byte order mark, Windows line ends, quotes, and blanks about values do not matter.
    """
    if not pathlib.Path(path).is_file():
        raise UserError(f"{path}: no such split file")
    try:
        table = pd.read_csv(
            path,
            sep=separator,
            header=header,
            dtype=str,
            encoding="utf-8-sig",
            keep_default_na=False,
            skip_blank_lines=False,
            skipinitialspace=True,
        )
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as a split file: {reason}") from None
    table.columns = [str(column).strip() for column in table.columns]
    table = table.apply(lambda column: column.str.strip())
    table.index = np.arange(len(table)) + (1 if header is None else 2)
    table = table[(table != "").any(axis=1)]
    if table.empty:
        raise UserError(f"{path}: the split is empty; it lists nothing")
    return table


def _as_bytes(names):
    return np.array([name.encode() for name in names], "S")
