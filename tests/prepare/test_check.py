import csv
import logging
import shutil

import cv2
import numpy as np
import pytest
from conftest import letsdance_json, make_root, write_split

from danceflax.dance.augment import read_views
from danceflax.data.clips import ClipSource
from danceflax.data.frames import LetsDanceSource
from danceflax.errors import BadSampleError, UserError
from danceflax.prepare import check, findings, split
from danceflax.skeleton import COCO18


def run_check(root):
    found = findings.Findings()
    for task in check.plan_check(root):
        found.add(task, check.check_frames(task))
    found.faults += check.check_splits(root)
    found.listed = check.list_pose_frames(root)
    return found


@pytest.fixture
def bad_root(tmp_path):
    """A root with one frame or keypoint file of each fault, and what each is to be called."""
    names = make_root(tmp_path, num_frames=14)
    frames = [tmp_path / "frames" / name for name in names]
    points = [(tmp_path / "keypoints" / name).with_suffix(".json") for name in names]
    whole = frames[0].read_bytes()
    frames[0].unlink()
    frames[1].write_bytes(b"")
    frames[2].write_bytes(whole[: len(whole) // 2])
    frames[3].write_bytes(b"not an image")
    size = whole.index(b"\xff\xc0") + 5
    frames[4].write_bytes(whole[:size] + b"\x75\x30\x75\x30" + whole[size + 4 :])
    points[5].unlink()
    points[6].write_text(letsdance_json(np.full((1, 17, 2), 1e38)))
    points[7].write_text("[[")
    far = np.random.default_rng(0).uniform(300, 900, (1, 17, 2))
    points[8].write_text(letsdance_json(far))
    near = np.full((1, 17, 2), 20.0)
    near[0, 3] = (-7, 4)
    points[9].write_text(letsdance_json(near))
    points[10].write_text("[]")
    kinds = {
        names[0]: "missing", names[1]: "empty", names[2]: "truncated", names[3]: "unreadable",
        names[4]: "too large", names[5]: "no keypoints", names[6]: "bad keypoints",
        names[7]: "bad keypoints", names[8]: "far outside", names[9]: "outside",
    }  # fmt: skip
    return tmp_path, names, kinds


def test_every_fault_of_frames_is_listed(bad_root, tmp_path):
    root, _, kinds = bad_root
    found = run_check(root)
    for name, kind in kinds.items():
        stem = name.rpartition(".")[0]
        assert [f.fault for f in found.faults if stem in f.file + f.message] == [kind], name
    assert len(found.faults) == len(kinds)
    assert all("\n" not in fault.message for fault in found.faults)
    (missing,) = (f for f in found.faults if f.fault == "missing")
    assert missing.file == "pose_training_split/train.csv" and missing.row == 2
    # Nine of fourteen frames are of no use; keypoints a little outside and nobody do no harm.
    for training, bad in (("pose", 9), ("keypoints", 9), ("rgb", 5)):
        assert found.bad_fraction(training) == pytest.approx(bad / 14)
        assert not findings.print_verdict(found, (bad - 0.5) / 14, training)
        assert findings.print_verdict(found, (bad + 0.5) / 14, training)
    assert not findings.print_verdict(found, 4 / 14) and findings.print_verdict(found, 6 / 14)
    ((dance, frames, nobody, one, *_),) = found.dance_rows()
    assert (dance, frames, nobody, one) == ("tango", 13, 1, 4)

    findings.write_faults(tmp_path / "faults.csv", found.faults)
    with open(tmp_path / "faults.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "row", "fault", "message"]
    assert [tuple(row) for row in rows] == [(a, str(b), c, d) for a, b, c, d in found.faults]


def test_what_check_counts_as_bad_is_what_training_cannot_read(bad_root):
    """The verdict against the reader itself; only keypoints of another size are read and bad."""
    root, names, kinds = bad_root
    source, unreadable = LetsDanceSource(root, "train", COCO18), set()
    for i in range(len(source)):
        try:
            source[i]
        except BadSampleError:
            unreadable.add(names[i])
    assert unreadable == {n for n, kind in kinds.items() if "outside" not in kind}


def test_every_fault_of_split_files_is_listed(tmp_path):
    names = make_root(tmp_path, num_frames=3)
    rows = [
        f"data/frames/{names[0]},tango",
        f"data/frames/../{names[1]},tango",
        f"/mnt/data/frames/{names[1]},tango",
        f"data/frames/{names[0]},tango",
        f"data/frames/{names[2]},waltz",
        "somewhere.jpg,tango",
    ]
    text = "\r\n".join(["file_path,dance_type", *rows])
    folder = tmp_path / "pose_training_split"
    (folder / "train.csv").write_text(text, encoding="utf-8-sig")
    (folder / "val.csv").write_text("")
    (folder / "test.csv").write_text(
        "file_path,dance_type\n"
        f'"data/frames/{names[0]}",tango\ndata/frames/polka/abcdefghijk_000_0001.jpg,polka\n'
    )
    (tmp_path / "videos_split").mkdir()
    (tmp_path / "videos_split" / "train_videos.csv").write_text(
        "video_id,dance_type,frames\n"
        "nounderscore,tango,\"['0001']\"\n"
        "-2W1_fHl-RM_033,tango,\"[]\"\n"
        "-2W1_fHl-RM_033,../tango,\"['0001']\"\n"
    )  # fmt: skip
    found = run_check(tmp_path)
    listed = {(fault.file.split("/")[-1], fault.row, fault.fault) for fault in found.faults}
    assert listed == {
        ("train.csv", 3, "path"),
        ("train.csv", 5, "repeated"),
        ("train.csv", 6, "dance"),
        ("train.csv", 7, "path"),
        ("val.csv", 0, "split"),
        ("test.csv", 3, "unknown dance"),
        ("test.csv", 3, "missing"),
        ("train_videos.csv", 2, "clip"),
        ("train_videos.csv", 3, "clip"),
        ("train_videos.csv", 4, "dance"),
    }
    assert found.bad_fraction("rgb") == 1 / 4 and not findings.print_verdict(found, 1.0)


def test_videos_in_two_splits_are_reported_and_borne(tmp_path, caplog):
    names = make_root(tmp_path, num_frames=2)
    train = tmp_path / "pose_training_split" / "train.csv"
    (tmp_path / "pose_training_split" / "val.csv").write_text(train.read_text())
    with caplog.at_level(logging.WARNING):
        found = run_check(tmp_path)
    ((file, _, fault, message),) = found.faults
    assert fault == "leak" and file.endswith("train.csv") and "1 videos" in message
    assert findings.print_verdict(found, 0) and len(names) == 2


def test_a_half_extracted_clip_makes_the_root_unfit(tmp_path):
    make_root(tmp_path, num_frames=2)
    (tmp_path / "extracted" / "tango").mkdir(parents=True)
    (tmp_path / "extracted" / "tango" / "abcdefghijk_000.partial").touch()
    found = run_check(tmp_path)
    assert [fault.fault for fault in found.faults] == ["interrupted"]
    assert not findings.print_verdict(found, 1.0)


def test_statistics(tmp_path):
    make_root(tmp_path, num_frames=3, people=1, dance="cha")
    make_root(tmp_path, num_frames=4, people=3, dance="tap", size=(60, 80))
    (tmp_path / "pose_training_split" / "train.csv").unlink()
    found = run_check(tmp_path)
    assert found.dance_rows() == [
        ("cha", 3, 0, 3, 0, 0, "1.00"), ("tap", 4, 0, 0, 0, 4, "3.00")
    ]  # fmt: skip
    text = "\n".join(found.figures())
    assert "80x60 (4), 160x90 (3); 2 in all" in text and "persons: 15" in text


def test_a_root_without_frames(tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "keypoints").mkdir()
    with pytest.raises(UserError, match="no frame"):
        check.plan_check(tmp_path)


def test_a_root_says_what_it_is_fit_for(tmp_path, capsys):
    """Pictures alone serve RGB; a few frames without keypoints, as OpenPose leaves at a video's
    end, cost a pose training nothing, for `split` does not list them."""
    names = make_root(tmp_path, num_frames=10)
    keypoints = [(tmp_path / "keypoints" / name).with_suffix(".json") for name in names]
    (tmp_path / "pose_training_split" / "train.csv").unlink()
    for path in keypoints[8:]:
        path.unlink()
    for listed in (names[:8], None):
        if listed:
            write_split(tmp_path / "pose_training_split" / "train.csv", listed)
        else:
            (tmp_path / "pose_training_split" / "train.csv").unlink()
        fit = {t: findings.print_verdict(run_check(tmp_path), 0.01, t) for t in findings.TRAININGS}
        assert fit == {"pose": True, "keypoints": False, "rgb": True}
    shutil.rmtree(tmp_path / "keypoints")
    found = run_check(tmp_path)
    capsys.readouterr()
    fit = {t: findings.print_verdict(found, 0.01, t) for t in findings.TRAININGS}
    assert fit == {"pose": False, "keypoints": False, "rgb": True} and not found.faults
    out = capsys.readouterr().out
    assert "NOT fit for pose networks" in out and "\nfit for classifiers on RGB" in out


def test_pictures_of_every_kind_pass_from_check_to_training(tmp_path):
    """.png, .jpeg and .JPG frames: checked, split, listed under their own names, and read."""
    names = make_root(tmp_path, num_frames=9)
    own = []
    for i, name in enumerate(names):
        path, suffix = tmp_path / "frames" / name, (".png", ".jpeg", ".JPG")[i % 3]
        image = cv2.imread(str(path))
        path.unlink()
        own.append(name.replace(".jpg", suffix))
        data = cv2.imencode(suffix.lower(), image)[1].tobytes()
        (tmp_path / "frames" / own[-1]).write_bytes(data)
    for junk in (".ipynb_checkpoints", "@eaDir", "tango/._a.jpg", "tango/Thumbs.db", ".DS_Store"):
        path = tmp_path / "frames" / junk
        path.mkdir() if "." not in path.name[1:] and "Thumbs" not in junk else path.touch()
    old = run_check(tmp_path)  # the split of before lists them as .jpg: what is there is found
    assert not old.faults and old.num_frames == 9
    (tmp_path / "pose_training_split" / "train.csv").unlink()
    split.run(root=str(tmp_path), percent=(100, 0, 0))
    rows = (tmp_path / "pose_training_split" / "train.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0].partition("frames/")[2] for row in rows] == own
    found = run_check(tmp_path)
    assert not found.faults and [row[0] for row in found.dance_rows()] == ["tango"]
    pose = LetsDanceSource(tmp_path, "train", COCO18)
    assert [pose[i]["name"] for i in range(9)] == [f"frames/{name}" for name in own]
    clips = ClipSource(tmp_path, "train")
    assert clips.class_names == ["tango"] and len(clips) == 1
    view = read_views(
        clips[0],
        needs=("rgb",),
        clip=dict(frames=9, fps=0.0, stride=1, sampling="contiguous", size=32),
        views=dict(clips=1, crops=1, crop=1.0),
        flow=None,
        pose=None,
    )
    assert view["rgb"].shape == (1, 9, 32, 32, 3)
    counted = tmp_path / "list.tsv"
    counted.write_text("tango\t-2W1_fHl-RM_033\t9\n")
    assert ClipSource(tmp_path, str(counted))[0]["files"] == clips[0]["files"]
