"""Folds of cross-validation, and what is refused."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from danceflax.data.clips import ClipSource
from danceflax.data.folds import split_folds
from danceflax.errors import UserError


def make_root(root, rows, columns="label,clip,n_frames,recording"):
    """A root of keypoints only, with its table of clips."""
    for label in {row[0] for row in rows}:
        (root / "keypoints" / label).mkdir(parents=True, exist_ok=True)
    lines = [columns, *(",".join(map(str, row)) for row in rows)]
    (root / "clips.csv").write_text("\n".join(lines) + "\n")
    return ClipSource(root, "clips.csv")


def many(recordings=6, clips=3):
    """Rows of two dances, recordings of several clips each."""
    return [
        (dance, f"{dance}{r:02d}v{c}xxxx_{c:03d}"[-15:], 20, f"{dance}{r}")
        for dance in ("rumba", "tango")
        for r in range(recordings)
        for c in range(clips)
    ]


def options(**changes):
    return ConfigDict(dict(folds=3, fold=0, fold_seed=0, group="recording") | changes)


def test_every_clip_is_validated_once_and_no_recording_is_cut(tmp_path):
    source = make_root(tmp_path, many())
    seen = []
    for fold in range(3):
        train, val = split_folds(source, options(fold=fold))
        assert not set(train.groups) & set(val.groups)
        assert len(train) + len(val) == len(source)
        assert set(val.labels.tolist()) == {0, 1}
        seen += [clip.name for clip in val.clips]
    assert sorted(seen) == sorted(clip.name for clip in source.clips)


def test_seed_makes_other_folds(tmp_path):
    source = make_root(tmp_path, many())
    held = [{c.name for c in split_folds(source, options(fold_seed=s))[1].clips} for s in (0, 0, 1)]
    assert held[0] == held[1] != held[2]


def test_written_folds_are_kept(tmp_path):
    rows = [(*row, i // 3 % 3) for i, row in enumerate(many())]
    source = make_root(tmp_path, rows, "label,clip,n_frames,recording,fold")
    _, val = split_folds(source, options(fold=2))
    assert [clip.name for clip in val.clips] == [row[1] for row in rows if row[-1] == 2]


@pytest.mark.parametrize(
    "rows, columns, changes, message",
    [
        ([(*row, i % 3) for i, row in enumerate(many())], "fold", {}, "is in the folds 0 and 1"),
        ([(*row, "x") for row in many()], "fold", {}, "has 'x'; expected 0 to 2"),
        (many(), "", {"group": "dancer"}, "no column dancer .*it has label, clip"),
        (many(recordings=1), "", {"folds": 2}, "which leaves none to train on|holds .* alone"),
        (many(), "", {"fold": 3}, r"fold=3 of config\.data\.folds=3"),
        (many(), "", {"folds": 12}, "holds (rumba|tango) alone; add groups .* or choose fewer"),
    ],
    ids=["group twice", "no fold", "no column", "one group", "no such fold", "one class"],
)
def test_faults_are_one_line(tmp_path, rows, columns, changes, message):
    columns = ",".join(filter(None, ["label,clip,n_frames,recording", columns]))
    source = make_root(tmp_path, rows, columns)
    with pytest.raises(UserError, match=message) as error:
        split_folds(source, options(**changes))
    assert "\n" not in str(error.value)


def test_root_without_frames_is_listed_by_its_keypoints(tmp_path):
    source = make_root(tmp_path, [("tango", "abcdefghijk_000", 3, "a")])
    for number, ending in ((1, ".json"), (2, "_keypoints.json"), (3, ".txt")):
        (tmp_path / "keypoints/tango" / f"abcdefghijk_000_{number:04d}{ending}").touch()
    (tmp_path / "keypoints/tango/notes.md").touch()
    np.testing.assert_array_equal(source[0]["numbers"], [1, 2, 3])
