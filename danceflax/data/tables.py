"""Tables that people write: CSV and TSV with and without a header, and which column means what.

A column's meaning is found by what stands in it and where, not by its name: the same lists come
with the headers file_name, video_id, clip and path.
"""

import pathlib
import re
import typing

import numpy as np
import pandas as pd

from danceflax.errors import UserError
from danceflax.io.images import IMAGE_SUFFIXES

SAMPLE, MOST = 200, 0.5  # rows that tell what a column means, and the share that must agree

DANCE_NAMES = ("dance_type", "dance", "label", "class")  # only where several could be the dances
FILE = rf".*({'|'.join(map(re.escape, IMAGE_SUFFIXES))})"
CLIP = r"[^/\\]*_\d+"
COUNT = r"\d+"
LIST = r"\[.*\]"


class Columns(typing.NamedTuple):
    """The columns of a split file by their meaning. `name` holds the frames' paths or the clips'
    names; `dance` is None where only the paths tell it; `frames`, of clip lists, holds lists of
    frame numbers, or only how many there are."""

    name: str
    dance: str | None
    frames: str | None = None


def read_table(path: str | pathlib.Path, rows: int | None = None) -> pd.DataFrame:
    """A table of str, indexed by the line each row stands on; columns without names are numbered.

    The byte order mark, Windows line ends, quotes, and blanks about values do not matter.

    Args:
      path: of a CSV, or of a TSV, which has a tab in its first line.
      rows: read no more than so many.

    Raises:
      UserError: the file is missing, empty, not text or not a table.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with open(path, encoding="utf-8-sig") as file:
            first = file.readline()
        table = pd.read_csv(
            path,
            sep="\t" if "\t" in first else ",",
            header=None,
            dtype=str,
            encoding="utf-8-sig",
            keep_default_na=False,
            skip_blank_lines=False,
            skipinitialspace=True,
            nrows=rows and rows + 1,
        )
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as a table: {reason}") from None
    table = table.fillna("").apply(lambda column: column.str.strip())
    table.index = np.arange(len(table)) + 1
    table.columns = [str(number) for number in range(1, len(table.columns) + 1)]
    if is_header(table.iloc[0]):
        table.columns = [name or number for name, number in zip(table.iloc[0], table, strict=True)]
        table = table.iloc[1:]
    table = table[(table != "").any(axis=1)]
    if table.empty:
        raise UserError(f"{path}: the file is empty; it lists nothing")
    return table


def is_header(cells: pd.Series) -> bool:
    """Whether a first row names columns: nothing in it is a file, a clip, a number or a list."""
    return not any(cells.str.fullmatch(kind).any() for kind in (FILE, CLIP, COUNT, LIST))


def find_columns(table: pd.DataFrame, path: str | pathlib.Path) -> Columns:
    """What the columns of a split file mean.

    Raises:
      UserError: there is no column of frames or clips, or a clip list lacks dances or frames.
    """
    names = list(table.columns)
    files = [name for name in names if _share(table[name], FILE) >= MOST]
    if files:
        return Columns(files[0], _find_dances(table, files[0]))
    lists = [name for name in names if _share(table[name], LIST) >= MOST]
    counts = [name for name in names if _share(table[name], COUNT) >= MOST]
    clips = [name for name in names if _share(table[name], CLIP) >= MOST]
    if not clips:
        raise UserError(
            f"{path}: has the columns {', '.join(names)}, and none that holds images "
            "<dance>/<clip>_<frame>.jpg or clips <video>_<start>; is it a split file?"
        )
    clip = max(clips, key=lambda name: table[name].nunique())
    rest = [name for name in names if name != clip]
    frames = (lists or [name for name in counts if name != clip] or rest[1:] or [None])[0]
    rest = [name for name in rest if name != frames]
    if not rest or not frames:
        raise UserError(
            f"{path}: not a clip list; expected columns of clips <video>_<start>, of their dances, "
            "and of their frames or how many they are"
        )
    named = [name for name in DANCE_NAMES if name in rest]
    return Columns(clip, (named or [_nearest(rest, clip, names)])[0], frames)


def _share(column, pattern):
    return column.head(SAMPLE).str.fullmatch(pattern, case=False).mean()


def _find_dances(table, files):
    """The column that says what the files' folders say in most rows; else the one beside."""
    rest = [name for name in table.columns if name != files]
    folders = table[files].head(SAMPLE).str.replace("\\", "/").str.split("/").str[-2]
    agreeing = {name: (table[name].head(SAMPLE) == folders).mean() for name in rest}
    best = max(agreeing, key=agreeing.get, default=None)
    return best if best is None or agreeing[best] else _nearest(rest, files, list(table.columns))


def _nearest(candidates, column, names):
    """The one of the candidates that stands nearest to a column; of two, the one after it."""
    return min(candidates, key=lambda c: abs(names.index(c) - names.index(column) - 0.1))
