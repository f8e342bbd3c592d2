"""Split files: which frames and clips belong to train, val and test.

  frames  CSV  one row a frame: its path (column 0, any name), dance_type
  clips   CSV  one row a clip: video_id, dance_type, frames ("['0001', '0002', ...]")
          CSV  one row a clip: label, clip, n_frames
          TSV  the same three columns without a header, as public lists have them

A frame is known by `<dance>/<file>`, the last two parts of its path, so that a data root may lie
anywhere. A clip is `<video>_<start>`; a YouTube id, 11 characters, may itself hold _ and -.
"""

import logging
import pathlib
import re
import typing

import numpy as np
import pandas as pd

from danceflax.errors import UserError

CLIP_COLUMNS = ("label", "clip", "n_frames")
VIDEO_COLUMNS = ("video_id", "dance_type", "frames")


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


def split_frame(stem):
    """'-2W1PfHleRM_033_0001' -> ('-2W1PfHleRM_033', '0001'): the clip and the frame number."""
    clip, _, frame = stem.rpartition("_")
    return clip, frame


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
    table = _read_table(path, header=0)
    if "dance_type" not in table.columns[1:]:
        raise UserError(
            f"{path}: columns {', '.join(table.columns)}; expected the frame's path first, and "
            f"dance_type"
        )
    files, rows, first_rows, repeated = [], [], {}, []
    columns = (table.index, table.iloc[:, 0], table["dance_type"])
    for row, name, dance in zip(*(column.tolist() for column in columns), strict=True):
        parts = name.replace("\\", "/").rsplit("/", 2)
        if ".." in name and ".." in name.replace("\\", "/").split("/"):
            raise UserError(f"{path}, row {row}: {name!r} climbs out of the root with '..'")
        if len(parts) < 2 or not parts[-1] or not parts[-2]:
            raise UserError(f"{path}, row {row}: {name!r} does not end in <dance>/<file>")
        if parts[-2] != dance:
            raise UserError(
                f"{path}, row {row}: dance_type is {dance!r}, but {name!r} lies in {parts[-2]!r}"
            )
        file = f"{parts[-2]}/{parts[-1]}"
        if first_rows.setdefault(file, row) != row:
            repeated.append(row)
            continue
        files.append(file)
        rows.append(row)
    if repeated:
        row = repeated[0]
        logging.warning(
            "%s: %d rows repeat an earlier one and are left out; the first is row %d",
            path, len(repeated), row,
        )  # fmt: skip
    return Frames(_as_bytes(files), np.array(rows, np.int32))


def read_clips(path):
    """Reads a clip list of any of the three forms.

    Returns:
      list of `Clip`, in the file's order; clips listed twice are dropped, with a warning.

    Raises:
      UserError: the file is missing, empty, of another form, or a row is at fault.
    """
    header = None if "\t" in _first_line(path) else 0
    table = _read_table(path, header, separator="\t" if header is None else ",")
    if header is None and len(table.columns) == len(CLIP_COLUMNS):
        table.columns = list(CLIP_COLUMNS)
    listed = set(VIDEO_COLUMNS) <= set(table.columns)
    if not listed and not set(CLIP_COLUMNS) <= set(table.columns):
        raise UserError(
            f"{path}: not a clip list; expected the columns {', '.join(VIDEO_COLUMNS)}, or "
            f"{', '.join(CLIP_COLUMNS)}"
        )
    clips = {}
    for row, values in zip(table.index.tolist(), table.to_dict("records"), strict=True):
        if listed:
            dance, name = values["dance_type"], values["video_id"]
            frames = np.array(re.findall(r"\d+", values["frames"]), "S")
            count = len(frames)
        else:
            dance, name, frames = values["label"], values["clip"], None
            count = int(values["n_frames"]) if values["n_frames"].isdecimal() else 0
        if not all(split_clip(name)) or "/" in name or "\\" in name:
            raise UserError(f"{path}, row {row}: {name!r} is not a clip, <video>_<start>")
        if not dance or "/" in dance or ".." in dance:
            raise UserError(f"{path}, row {row}: {dance!r} is not a dance")
        if not count:
            raise UserError(f"{path}, row {row}: clip {name} has no frames")
        if (dance, name) in clips:
            logging.warning("%s, row %d: clip %s is listed before; left out", path, row, name)
            continue
        clips[dance, name] = Clip(dance, name, count, frames, row)
    return list(clips.values())


def _first_line(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.readline()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read as a split file: {reason}") from None


def _read_table(path, header, separator=","):
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
