"""Grouped cross-validation: the clips of a split cut into folds, no group in two of them."""

import pathlib
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from danceflax.data.clip_table import NAME, ClipNote, find_note, group_of, read_clip_table
from danceflax.data.shares import assign_clips
from danceflax.data.splits import Clip
from danceflax.data.tables import read_table
from danceflax.errors import UserError

FOLD = "fold"  # the column of a table that says each clip's fold, from 0 on


class Part:
    """Some clips of a source, as a source.

    Attributes:
      class_names, split_file, home: the source's.
      clips, labels, groups: of these clips.
    """

    def __init__(self, source, indices, groups):
        self._source, self._indices = source, np.asarray(indices, int)
        self.class_names, self.split_file = source.class_names, source.split_file
        self.home = source.home
        self.clips = [source.clips[i] for i in self._indices]
        self.labels = source.labels[self._indices]
        self.groups = [groups[i] for i in self._indices]

    def __len__(self):
        return len(self._indices)

    def __getitem__(self, i):
        return self._source[int(self._indices[i])]

    def __repr__(self):
        return f"{len(self)} of {self._source}"


def split_folds(source: Any, config: ConfigDict) -> tuple[Part, Part]:
    """(the clips of all folds but one, those of that fold).

    Folds are by the column `fold` of ROOT/clips.csv; without it they are made: dances in
    proportion, groups whole.

    Args:
      source: a `ClipSource`.
      config: `config.data`; folds, fold (from 0 on), fold_seed, and group, the column that names
        what stays together.

    Raises:
      UserError: there is no such fold or column, a group is in two folds, a class is not in the
        other folds, or a fold has clips of one class only.
    """
    if not 0 <= config.fold < config.folds or config.folds < 2:
        raise UserError(
            f"config.data.fold={config.fold} of config.data.folds={config.folds}; expected 2 folds "
            "or more, counted from 0"
        )
    groups = find_groups(source, config.group)
    folds = find_folds(source, groups, config.folds, config.fold_seed)
    check_folds(source, groups, folds)
    chosen = folds == config.fold
    train, val = (Part(source, np.flatnonzero(indices), groups) for indices in (~chosen, chosen))
    names = source.class_names
    absent = [n for k, n in enumerate(names) if k not in set(train.labels.tolist())]
    if absent:
        raise UserError(
            f"{source.split_file}: every clip of {', '.join(absent)} is in fold {config.fold}, "
            "which leaves none to train on; give these dances more groups, or leave them out"
        )
    if len(set(val.labels.tolist())) < 2:
        held = names[val.labels[0]] if len(val) else "nothing"
        raise UserError(
            f"{source.split_file}: fold {config.fold} holds {held} alone; add groups of other "
            f"dances, or choose fewer than config.data.folds={config.folds}"
        )
    return train, val


def find_groups(source: Any, column: str) -> list[str]:
    """What each clip stays together with: what that column of ROOT/clips.csv says.

    Without a table, or a column called "group", it is the clip's video. Raises UserError: the table
    has no other column of that name, or leaves a clip out.
    """
    path = pathlib.Path(source.root, NAME)
    table = read_table(path) if path.exists() else None
    if column == "group" and (table is None or column not in table):
        return [group_of(clip, read_clip_table(source.root)) for clip in source.clips]
    return _read_column(path, table, column, source.clips)


def find_folds(source: Any, groups: list[str], count: int, seed: int) -> np.ndarray:
    """The fold of each clip, int [N]."""
    path = pathlib.Path(source.root, NAME)
    table = read_table(path) if path.exists() else None
    if table is not None and FOLD in table:
        written = _read_column(path, table, FOLD, source.clips)
        if bad := [value for value in written if value not in map(str, range(count))]:
            raise UserError(
                f"{path}: the column {FOLD} has {bad[0]!r}; expected 0 to {count - 1} "
                f"(config.data.folds={count})"
            )
        return np.array(written, int)
    notes = {
        f"{clip.dance}/{clip.name}": ClipNote(group=group)
        for clip, group in zip(source.clips, groups, strict=True)
    }
    shares = assign_clips(source.clips, [1 / count] * count, seed, notes)
    fold_of = {(c.dance, c.name): k for k, share in enumerate(shares) for c in share}
    return np.array([fold_of[clip.dance, clip.name] for clip in source.clips])


def check_folds(source: Any, groups: list[str], folds: np.ndarray) -> None:
    """Raises UserError: a group is in two folds."""
    first = {}
    for clip, group, fold in zip(source.clips, groups, folds.tolist(), strict=True):
        if first.setdefault(group, fold) != fold:
            raise UserError(
                f"{pathlib.Path(source.root, NAME)}: the group {group} is in the folds "
                f"{first[group]} and {fold} (clip {clip.name}); a group belongs to one"
            )


def _read_column(path, table, column, clips: list[Clip]) -> list[str]:
    """That column of each clip's row."""
    for name in ("clip", column):
        if table is None or name not in table:
            columns = "there is none" if table is None else f"it has {', '.join(table.columns)}"
            raise UserError(f"{path}: no column {name} (config.data.group); {columns}")
    notes = {
        clip: ClipNote(group=value)
        for clip, value in zip(table["clip"], table[column], strict=True)
    }
    found = [find_note(clip, notes) for clip in clips]
    for clip, note in zip(clips, found, strict=True):
        if note is None or not note.group:
            raise UserError(f"{path}: the clip {clip.name} of {clip.dance} has no {column}")
    return [note.group for note in found]
