import collections
import itertools

import numpy as np
import pytest
from conftest import make_root, shared_data

from danceflax.data import splits
from danceflax.data.clip_table import ClipNote, add_clips, read_clip_table
from danceflax.data.frames import LetsDanceSource, list_frames
from danceflax.data.shares import FRACTIONS, assign_clips
from danceflax.errors import UserError
from danceflax.prepare import split
from danceflax.prepare.split import SPLITS
from danceflax.prepare.split_report import find_holes, find_leaks, print_splits, read_lists
from danceflax.skeleton import COCO18


def clip(dance, video, start=0, frames=10):
    return splits.Clip(dance, f"{video}_{start:03d}", frames, None, 1)


def public_lists():
    names = ("train", "val", "test")
    return {
        name: splits.list_clips(shared_data("letsdance", f"clips_{name}.tsv")) for name in names
    }


def best_counts(total):
    """The rounding of 80/10/10 of `total` that is nearest to it, by trying all."""
    wanted = np.array(FRACTIONS) * total
    choices = itertools.product(range(total + 1), repeat=2)
    choices = [(total - a - b, a, b) for a, b in choices if a + b <= total]
    return min(choices, key=lambda c: ((np.array(c) - wanted) ** 2).sum())


def test_leaks_of_the_public_lists():
    lists = public_lists()
    assert [len(clips) for clips in lists.values()] == [1107, 139, 138]
    assert [len(videos) for videos in find_leaks(lists).values()] == [8, 14, 2]


@pytest.mark.parametrize("seed", [0, 7])
def test_the_public_clips_shared_out_anew(seed):
    clips = list(itertools.chain(*public_lists().values()))
    chosen = assign_clips(clips, seed=seed)
    assert sorted(itertools.chain(*chosen)) == sorted(clips)
    assert not any(find_leaks(dict(zip(SPLITS, chosen, strict=True))).values())
    counts = [collections.Counter(c.dance for c in found) for found in chosen]
    for dance, total in collections.Counter(c.dance for c in clips).items():
        found = [count[dance] for count in counts]
        assert np.abs(np.subtract(found, best_counts(total))).max() <= 1, (dance, found)
    assert assign_clips(clips, seed=seed) == chosen
    assert assign_clips(clips, seed=seed + 1) != chosen


def test_large_videos_are_kept_whole():
    """Ten videos of ten clips each, of two dances: eight, one and one are exact."""
    clips = [clip("ab"[v % 2], f"video{v:06d}", s) for v in range(20) for s in range(10)]
    chosen = assign_clips(clips, seed=3)
    assert [len(found) for found in chosen] == [160, 20, 20]
    assert not any(find_leaks(dict(zip(SPLITS, chosen, strict=True))).values())
    assert all({c.dance for c in found} == {"a", "b"} for found in chosen)


def test_bad_fractions():
    with pytest.raises(UserError, match="add up to 1"):
        assign_clips([clip("a", "v")], (0.8, 0.1, 0.2))


def test_files_written_of_a_root_are_read_back(tmp_path):
    names = make_root(tmp_path, num_frames=4)
    names = [n for n in names if not n.endswith("_0002.jpg")]  # a gap stays a gap
    (tmp_path / "frames" / "tango" / "-2W1_fHl-RM_033_0002.jpg").unlink()
    (tmp_path / "pose_training_split" / "train.csv").unlink()
    clips = splits.group_frames(list_frames(tmp_path))
    assert [c.name for c in clips] == ["-2W1_fHl-RM_033"] and clips[0].num_frames == 3
    paths = split.write_splits(tmp_path, [clips, [], []])
    assert [path.name for path in paths] == ["train.csv", "train_videos.csv"]
    (only,) = split.write_splits(tmp_path / "a", [clips, [], []], files={})
    assert only.name == "train_videos.csv"  # frames without keypoints are for videos only
    files = {names[1].removesuffix(".jpg"): names[1].replace(".jpg", ".PNG")}
    pose, videos = split.write_splits(tmp_path / "b", [clips, [], []], files)
    assert splits.read_frames(pose).files.tolist() == [names[1].replace(".jpg", ".PNG").encode()]
    assert videos.read_text() == only.read_text()
    for path in paths:
        source = LetsDanceSource(tmp_path, str(path), COCO18)
        assert [name.decode() for name in source.files] == names
        assert splits.list_clips(path)[0].frames.tolist() == [b"0000", b"0001", b"0003"]
    first = (tmp_path / "pose_training_split" / "train.csv").read_text().splitlines()
    assert first[:2] == ["file_path,dance_type", f"data/{tmp_path.name}/frames/{names[0]},tango"]


def test_splits_are_never_mixed_with_others(tmp_path):
    clips = [clip("tap", f"video{i:06d}", frames=3) for i in range(10)]
    split.write_splits(tmp_path, [clips[:8], clips[8:9], clips[9:]])
    split.write_splits(tmp_path, [clips[:8], clips[8:9], clips[9:]])  # the same: no harm
    for other in ([clips[:7], clips[8:9], clips[9:]], [clips[:8], [], []]):
        with pytest.raises(UserError, match="is of another split"):
            split.write_splits(tmp_path, other)
    written = read_lists(sorted(tmp_path.glob("*/*")))
    assert {name: len(found) for name, found in written.items()} == {
        "test_videos.csv": 1, "train_videos.csv": 8, "val_videos.csv": 1
    }  # fmt: skip


def test_two_dances_of_one_video_each_go_apart():
    chosen = assign_clips([clip("a", "video1"), clip("b", "video2")], (0.5, 0.5))
    assert [len(found) for found in chosen] == [1, 1]


def test_lists_that_only_count_frames_are_written_so(tmp_path):
    lists = public_lists()
    split.write_splits(tmp_path, list(lists.values()))
    again = read_lists(tmp_path / "videos_split" / f"{name}_videos.csv" for name in SPLITS)
    for written, clips in zip(again.values(), lists.values(), strict=True):
        assert [c[:3] for c in written] == [c[:3] for c in clips]


def test_groups_stay_together(tmp_path):
    """Two cameras see each of ten dancers: their videos go where the dancer goes."""
    clips = [clip("a", f"dancer{d}cam{c}x") for d in range(10) for c in range(2)]
    table = tmp_path / "clips.csv"
    rows = [f"{c.name},d{c.name[6]}" for c in clips]
    table.write_text("\n".join(["clip,dancer", *rows]))
    groups = split.read_groups(table, "dancer")
    split.require_groups(clips, groups)
    chosen = assign_clips(clips, seed=1, table=groups)
    dancers = [{groups[c.name].group for c in found} for found in chosen]
    assert [len(found) for found in chosen] == [16, 2, 2]
    assert [len(found) for found in dancers] == [8, 1, 1]
    with pytest.raises(UserError, match="has no column room; it has clip, dancer"):
        split.read_groups(table, "room")
    with pytest.raises(UserError, match="dancer9cam9x_000 of a is in no row"):
        split.require_groups([clip("a", "dancer9cam9x")], groups)
    table.write_text("clip,dancer\nx,\n")
    with pytest.raises(UserError, match="row 2: the column dancer is empty"):
        split.read_groups(table, "dancer")


def test_the_report_of_the_original_split(capsys):
    folder = shared_data("letsdance", "original_split")
    lists = read_lists([folder / "train_videos.csv", folder / "val_videos.csv"])
    print_splits(lists)
    out = capsys.readouterr().out
    for line in (
        "train_videos.csv: 1,170 clips of 1,101 videos, 309,618 frames; 1 of them listed twice",
        "val_videos.csv: 293 clips of 287 videos, 77,278 frames",
        "in all: 386,896 frames",
        "train_videos.csv and val_videos.csv share 30 videos: -cry9v7ImO8, ",
        "36 of the 293 clips of val_videos.csv are of a video that train_videos.csv has; 0 clips",
    ):
        assert line in out
    print_splits(read_lists([folder / "pose_val.csv", folder / "val_videos.csv"]))
    out = capsys.readouterr().out
    assert "pose_val.csv: 1,463 clips of 1,359 videos, 25,742 frames" in out
    assert "share 287 videos" in out and "293 clips are in both" in out


def test_a_root_s_table_says_what_stays_together(tmp_path):
    """Clips cut from one recording, by the table that `frames` writes; its rows name the dance."""
    clips = [clip("ab"[v % 2], f"take{v}", s) for v in range(20) for s in (0, 10)]
    notes = {f"{c.dance}/{c.name}": ClipNote(f"{c.name[:5]}.mp4", 0, 25) for c in clips}
    add_clips(tmp_path, notes)
    (tmp_path / "clips.csv").write_text(
        (tmp_path / "clips.csv").read_text().replace(",25,", ",25,day1", 8)
    )
    add_clips(tmp_path, notes)  # as a second extraction does: groups that a person wrote stay
    table = read_clip_table(tmp_path)
    assert [note.group for note in table.values()] == ["day1"] * 8 + [""] * 32
    chosen = assign_clips(clips, seed=2, table=table)
    found = dict(zip(SPLITS, chosen, strict=True))
    assert not any(find_leaks(found, table).values())
    (day,) = (name for name, own in found.items() if clips[0] in own)
    assert all(c in found[day] for c in clips[:8])
    (tmp_path / "clips.csv").write_text("clip,fps\na_000,fast\n")
    with pytest.raises(UserError, match=r"clips\.csv, row 2: fps is 'fast'"):
        read_clip_table(tmp_path)


def test_splits_without_a_dance_are_named():
    clips = [clip("a", "video1"), clip("b", "video2"), clip("a", "video3")]
    found = dict(zip(SPLITS, ([clips[0], clips[1]], [clips[2]], []), strict=True))
    val, test = find_holes(found, (0.8, 0.1, 0.1))
    assert "the split val has no clip of b" in val and "the split test is empty" in test
    assert len(find_holes(found, (0.8, 0.2, 0.0))) == 1
