import csv
import logging

import numpy as np
import pytest
from conftest import shared_data

from danceflax.data import splits
from danceflax.errors import UserError

CLEAN = [b"tango/-2W1_fHl-RM_033_0001.jpg", b"tap/a_b-c_d-e_f_120_0002.jpg"]


OTHER_PLACES = 'label,id,image,size\ntango,1,a/{},"(9, 9)"\ntap,2,a/{},"(9, 9)"\n'.format(
    *(name.decode() for name in CLEAN)
)


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def frame_csv(prefix, end="\n", quote="", header="file_path"):
    rows = [f"{header},dance_type"]
    rows += [f"{quote}{prefix}{n.decode()}{quote},{n.decode().split('/')[0]}" for n in CLEAN]
    return end.join(rows) + end


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (frame_csv("data/letsdance/frames/"), "utf-8"),
        (frame_csv("data/frames/", header="path"), "utf-8"),
        (frame_csv("data/rgb/", end="\r\n", quote='"'), "utf-8-sig"),
        (frame_csv("/mnt/sets/letsdance/frames/"), "utf-8"),
        (frame_csv("D:\\sets\\").replace("tango/", "tango\\").replace("tap/", "tap\\"), "utf-8"),
        (frame_csv("data/") + "\n\n", "utf-8"),
        (OTHER_PLACES, "utf-8"),
        ("image\n" + "".join(f"x/{n.decode()}\n" for n in CLEAN), "utf-8"),
        ("".join(f"{n.decode().split('/')[0]}\tx/{n.decode()}\n" for n in CLEAN), "utf-8"),
    ],
    ids=[
        "plain",
        "other header",
        "windows",
        "absolute",
        "backslashes",
        "blank lines",
        "other places",
        "paths only",
        "TSV",
    ],
)
def test_frame_csv_however_it_is_written(text, encoding, tmp_path):
    path = write(tmp_path / "train.csv", text, encoding)
    assert not splits.is_clip_list(path)
    frames = splits.read_frames(path)
    assert frames.files.tolist() == CLEAN
    first = 1 if "\t" in text else 2  # that one has no header
    assert frames.rows.tolist() == [first, first + 1]


def test_repeated_rows_are_left_out_and_reported(tmp_path, caplog):
    text = frame_csv("data/frames/") + f"data/frames/{CLEAN[0].decode()},tango\n"
    with caplog.at_level(logging.WARNING):
        assert splits.read_frames(write(tmp_path / "a.csv", text)).files.tolist() == CLEAN
    assert "row 4" in caplog.text and "1 rows" in caplog.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "cannot be read"),
        ("file_path,dance_type\n", "is empty"),
        ("name,age\nann,old\n", "has the columns name, age"),
        ("file_path,dance_type\ndata/frames/../../tango/a_1_0001.jpg,tango\n", "row 2"),
        ("file_path,dance_type\n\ndata/tango/../a.jpg,tango\n", "row 3"),
        ("file_path,dance_type\na.jpg,tango\n", "<dance>/<file>"),
        ("file_path,dance_type\ndata/frames/tap/a_1_0001.jpg,tango\n", "row 2: dance_type"),
    ],
)
def test_faulty_frame_csv(text, expected, tmp_path):
    path = write(tmp_path / "train.csv", text)
    with pytest.raises(UserError) as error:
        splits.read_frames(path)
    assert str(path) in str(error.value) and expected in str(error.value)
    assert "\n" not in str(error.value)


def test_video_csv_with_stringified_frames(tmp_path):
    text = "video_id,dance_type,frames\r\n-2W1_fHl-RM_033,waltz,\"['0001', '0002', '0004']\"\r\n"
    path = write(tmp_path / "train_videos.csv", text, "utf-8-sig")
    assert splits.is_clip_list(path)
    (clip,) = splits.read_clips(path)
    assert (clip.dance, clip.name, clip.num_frames, clip.row) == ("waltz", "-2W1_fHl-RM_033", 3, 2)
    np.testing.assert_array_equal(clip.frames, [b"0001", b"0002", b"0004"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("waltz\ta_033\tmany\n", "row 1: clip a_033 has no frames"),
        ("waltz\ta_033\t3\nwaltz\ta033\t3\n", "row 2"),
        ("../x\ta_033\t3\n", "row 1"),
        ("waltz\ta_033\n", "not a clip list"),
        ("video_id,dance_type,frames\na_1,tap,[]\n", "row 2: clip a_1 has no frames"),
    ],
)
def test_faulty_clip_lists(text, expected, tmp_path):
    path = write(tmp_path / "clips.tsv", text)
    with pytest.raises(UserError) as error:
        splits.read_clips(path)
    assert str(path) in str(error.value) and expected in str(error.value)


def test_missing_split_file(tmp_path):
    for read in (splits.read_frames, splits.read_clips, splits.is_clip_list):
        with pytest.raises(UserError, match=r"none\.csv"):
            read(tmp_path / "none.csv")


def test_public_clip_lists_and_the_ids_they_share():
    """The counts were taken from the lists by others: 1,384 clips, 16 dances, 8/14/2 shared ids."""
    clips = {}
    for split in ("train", "val", "test"):
        path = shared_data("letsdance", f"clips_{split}.tsv")
        assert splits.is_clip_list(path)
        clips[split] = splits.read_clips(path)
    assert {split: len(c) for split, c in clips.items()} == {"train": 1107, "val": 139, "test": 138}
    frames = {split: sum(clip.num_frames for clip in c) for split, c in clips.items()}
    assert frames == {"train": 310244, "val": 38876, "test": 39005}
    assert len({clip.dance for c in clips.values() for clip in c}) == 16
    ids = {split: {splits.split_clip(clip.name)[0] for clip in c} for split, c in clips.items()}
    assert {len(video) for found in ids.values() for video in found} == {11}
    assert len(set.union(*ids.values())) == 1312
    pairs = (("train", "val"), ("train", "test"), ("val", "test"))
    assert [len(ids[a] & ids[b]) for a, b in pairs] == [8, 14, 2]


def test_the_split_files_of_the_original_code_base():
    """Its own figures: 1,170 and 293 clips, 386,896 frames; one clip is listed twice."""
    folder = shared_data("letsdance", "original_split")
    lists = {
        name: splits.list_clips(folder / f"{name}_videos.csv", repeated=True)
        for name in ("train", "val")
    }
    assert [len(clips) for clips in lists.values()] == [1170, 293]
    assert sum(clip.num_frames for clips in lists.values() for clip in clips) == 386_896
    assert len(splits.list_clips(folder / "train_videos.csv")) == 1169
    frames = splits.read_frames(folder / "pose_val.csv")
    clips = splits.group_frames(frames)
    assert len(frames.files) == 25_742 and len(clips) == 1463
    assert {clip.dance for clip in clips} == {clip.dance for clip in lists["val"]}


@pytest.mark.parametrize(
    "header",
    ["file_name,dance_type,frames", "video_id,dance_type,frames", "dance,kept,note,video", ""],
)
def test_columns_are_known_by_what_stands_in_them(header, tmp_path):
    rows = [("a_b_033", "tap", "['0001', '0003']"), ("c-_000", "waltz", "['0002']")]
    if header.startswith("dance"):
        rows = [(dance, frames, "fine", name) for name, dance, frames in rows]
    with open(tmp_path / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows([*([header.split(",")] if header else []), *rows])
    assert splits.is_clip_list(tmp_path / "list.csv")
    clips = splits.read_clips(tmp_path / "list.csv")
    assert [clip[:3] for clip in clips] == [("tap", "a_b_033", 2), ("waltz", "c-_000", 1)]
    assert clips[0].frames.tolist() == [b"0001", b"0003"]
