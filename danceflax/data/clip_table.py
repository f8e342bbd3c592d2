"""ROOT/clips.csv: what a root knows of its clips, a row each.

  clip    <dance>/<clip>, or <clip> alone
  source  the video that it was cut from
  start   seconds into it
  fps     its frames' numbers a second
  group   clips of one group never come apart into two splits: by default one source

`prepare_data.py frames` writes it; a person may write or change it. Every column but the first may
be absent or empty.
"""

import os
import pathlib
import typing

from danceflax.data.splits import Clip, split_clip
from danceflax.data.tables import read_table
from danceflax.errors import UserError
from danceflax.io.files import write_csv

NAME = "clips.csv"


class ClipNote(typing.NamedTuple):
    """A row of the table; 0 frames a second are unknown, an empty group is the source."""

    source: str = ""
    start: float = 0.0
    fps: float = 0.0
    group: str = ""


def read_clip_table(root: str | os.PathLike) -> dict[str, ClipNote]:
    """{clip: note} of a root; empty without a table. Raises UserError: the table is at fault."""
    path = pathlib.Path(root, NAME)
    if not path.exists():
        return {}
    table = read_table(path)
    if "clip" not in table:
        raise UserError(f"{path}: has no column clip; it has {', '.join(table.columns)}")
    notes = {}
    for row, values in zip(table.index.tolist(), table.to_dict("records"), strict=True):
        numbers = {}
        for name in ("start", "fps"):
            try:
                numbers[name] = float(values.get(name) or 0)
            except ValueError:
                numbers[name] = -1.0
            if not 0 <= numbers[name] < float("inf"):
                raise UserError(f"{path}, row {row}: {name} is {values[name]!r}; expected a number")
        texts = {name: values.get(name, "") for name in ("source", "group")}
        notes[values["clip"]] = ClipNote(**texts, **numbers)
    return notes


def add_clips(root: str | os.PathLike, notes: dict[str, ClipNote]) -> None:
    """Takes notes of clips into the table; other clips' rows and a person's groups stay."""
    there = read_clip_table(root)
    merged = there | {
        clip: note._replace(group=there.get(clip, note).group) for clip, note in notes.items()
    }
    if merged != there:
        rows = [(clip, *note) for clip, note in merged.items()]
        write_csv(pathlib.Path(root, NAME), [("clip", *ClipNote._fields), *rows])


def find_note(clip: Clip, table: dict[str, ClipNote] | None) -> ClipNote | None:
    """What a table by `<dance>/<clip>` or `<clip>` says of a clip, or None."""
    table = table or {}
    return table.get(f"{clip.dance}/{clip.name}", table.get(clip.name))


def group_of(clip: Clip, table: dict[str, ClipNote] | None) -> str:
    """What stays together with a clip: its group, its source, or the video that its name says."""
    note = find_note(clip, table) or ClipNote()
    return note.group or note.source or split_clip(clip.name)[0]
