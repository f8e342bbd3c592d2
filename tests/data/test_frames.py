import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import letsdance_json, make_root, shared_data, write_split

from danceflax.data.frames import LetsDanceSource
from danceflax.data.sources import open_source
from danceflax.errors import BadSampleError, UserError
from danceflax.io.images import read_image
from danceflax.skeleton import BODY25, COCO18


class Config(dict):
    """As much of a ConfigDict as a source asks for."""

    __getattr__ = dict.__getitem__


def test_records(tmp_path):
    names = make_root(tmp_path, people=3)
    source = open_source(Config(source="folder", root=str(tmp_path)), "train", COCO18)
    assert [source[i]["name"] for i in range(len(source))] == [f"frames/{n}" for n in names]
    record = source[2]
    assert record["image"].shape == (90, 160, 3) and record["image"].dtype == np.uint8
    assert record["people"].shape == (3, 18, 3) and record["people"].dtype == np.float32
    assert record["labelled"].all() and record["mask"] is None and record["main"] == -1
    neck, shoulders = record["people"][:, 1], record["people"][:, [2, 5]]
    np.testing.assert_allclose(neck, shoulders.mean(1), rtol=1e-6)
    x, y, width, height = record["boxes"].T
    points = record["people"]
    assert (points[..., 0] > x[:, None]).all() and (points[..., 0] < (x + width)[:, None]).all()
    assert (points[..., 1] > y[:, None]).all() and (points[..., 1] < (y + height)[:, None]).all()
    feet = LetsDanceSource(tmp_path, "train", BODY25)[0]["labelled"]
    assert feet.tolist() == ["toe" not in j and "heel" not in j for j in BODY25.joints]


def test_other_folder_names_and_split_files(tmp_path):
    names = make_root(tmp_path)
    os.rename(tmp_path / "frames", tmp_path / "rgb")
    (tmp_path / "densepose").mkdir()
    os.rename(tmp_path / "keypoints", tmp_path / "densepose" / "rgb")
    (tmp_path / "rgb" / "tango" / "thumbs.db").touch()
    (tmp_path / "videos_split").mkdir()
    listed = [name[-8:-4] for name in names[:-1]]
    (tmp_path / "videos_split" / "val_videos.csv").write_text(
        f'video_id,dance_type,frames\n-2W1_fHl-RM_033,tango,"{listed}"\n'
    )
    (tmp_path / "clips.tsv").write_text(f"tango\t-2W1_fHl-RM_033\t{len(names)}\ntap\tx_1\t3\n")
    for split, expected in {
        "all": names,
        "train": names,
        str(tmp_path / "pose_training_split" / "train.csv"): names,
        "val": names[:-1],
        "clips.tsv": names,
    }.items():
        source = LetsDanceSource(tmp_path, split, COCO18)
        assert [name.decode() for name in source.files] == expected
        assert source[len(source) - 1]["people"].shape == (1, 18, 3)


def test_a_frame_without_people(tmp_path):
    names = make_root(tmp_path)
    (tmp_path / "keypoints" / names[1]).with_suffix(".json").write_text("[]")
    record = LetsDanceSource(tmp_path, "train", COCO18)[1]
    assert record["people"].shape == (0, 18, 3) and record["boxes"].shape == (0, 4)


def test_faults_of_a_root(tmp_path):
    with pytest.raises(UserError, match=r"no such data root.*config\.data\.root"):
        LetsDanceSource(tmp_path / "none", "train", COCO18)
    with pytest.raises(UserError, match="no folder frames or rgb"):
        LetsDanceSource(tmp_path, "train", COCO18)
    (tmp_path / "frames").mkdir()
    with pytest.raises(UserError, match="no folder keypoints or densepose/rgb"):
        LetsDanceSource(tmp_path, "train", COCO18)
    (tmp_path / "keypoints").mkdir()
    with pytest.raises(UserError, match=r"no split 'train'.*pose_training_split.train\.csv"):
        LetsDanceSource(tmp_path, "train", COCO18)
    with pytest.raises(UserError, match="split is empty"):
        LetsDanceSource(tmp_path, "all", COCO18)
    with pytest.raises(UserError, match="'floder'; choose 'folder' or 'tfds' or 'coco'"):
        open_source(Config(source="floder", root=str(tmp_path)), "train", COCO18)


def test_faults_of_a_sample_name_the_file_and_the_row(tmp_path):
    names = make_root(tmp_path)
    frames = [tmp_path / "frames" / name for name in names]
    whole = frames[0].read_bytes()
    frames[0].unlink()
    frames[1].write_bytes(b"")
    frames[2].write_bytes(whole[: len(whole) // 2])
    frames[3].write_bytes(b"not an image")
    size = whole.index(b"\xff\xc0") + 5  # where the header states the picture's size
    frames[4].write_bytes(whole[:size] + b"\x75\x30\x75\x30" + whole[size + 4 :])
    (tmp_path / "keypoints" / names[5]).with_suffix(".json").unlink()
    (tmp_path / "keypoints" / names[6]).with_suffix(".json").write_text(
        letsdance_json(np.full((1, 17, 2), np.nan))
    )
    source = LetsDanceSource(tmp_path, "train", COCO18)
    reasons = (
        "No such file", "is empty", "cut short", "cannot be decoded", "30000x30000 pixels",
        "No such file", "not a number",
    )  # fmt: skip
    for index, reason in enumerate(reasons):
        with pytest.raises(BadSampleError, match=reason) as error:
            source[index]
        stem = names[index].removesuffix(".jpg")
        assert stem in str(error.value) and f"train.csv, row {index + 2}" in str(error.value)
        assert "\n" not in str(error.value)
    assert source[7]["people"].shape == (1, 18, 3)


def test_opening_looks_at_no_frame_and_is_compact(tmp_path):
    """50,000 rows of frames that are not there."""
    make_root(tmp_path, num_frames=1)
    names = [f"tango/-2W1_fHl-RM_{i // 300:03d}_{i % 300:04d}.jpg" for i in range(50_000)]
    write_split(tmp_path / "pose_training_split" / "train.csv", names)
    source = LetsDanceSource(tmp_path, "train", COCO18)
    assert len(source) == 50_000 and source.files[-1].decode() == names[-1]
    assert source.files.nbytes + source._rows.nbytes < 50_000 * 60


def test_images_keep_their_colours_and_png(tmp_path):
    red = np.zeros((40, 60, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes blue, green, red
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), red)
        image = read_image(tmp_path / name)
        assert image.shape == (40, 60, 3) and (image.reshape(-1, 3).mean(0) > 200).tolist() == [
            True, False, False,
        ]  # fmt: skip
    png = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(png[:-12])
    with pytest.raises(BadSampleError, match="cut short"):
        read_image(tmp_path / "a.png")


def test_damaged_images_are_read_whole_or_refused(tmp_path):
    """Random bytes changed in a JPEG and a PNG: never another exception, never another size."""
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 255, (40, 60, 3), np.uint8), (0, 0), 3)
    for name in ("a.jpg", "a.png"):
        whole = cv2.imencode(name[1:], image)[1]
        for _ in range(100):
            damaged = whole.copy()
            damaged[rng.integers(2, min(len(whole), 700), 3)] = rng.integers(0, 256, 3)
            (tmp_path / name).write_bytes(damaged.tobytes()[: rng.integers(1, 2 * len(whole))])
            try:
                assert read_image(tmp_path / name).ndim == 3
            except BadSampleError as error:
                assert str(tmp_path / name) in str(error)


def test_the_real_frame():
    image = read_image(shared_data("letsdance", "CNh2kHhY29Q_141_0201.jpg"))
    assert image.shape == (1080, 1920, 3) and image.std() > 20


def test_motion_capture_root(tmp_path):
    """A root written by a program of others, from real motion capture."""
    script = shared_data().parent / "tools" / "make_mocap.py"
    if not script.exists():
        pytest.skip(f"{script} is not there")
    archive = np.load(shared_data("dance_mocap.npz"))
    joints = min((k for k in archive.files if k.endswith("/joints")), key=lambda k: len(archive[k]))
    keys = (joints, joints.replace("/joints", "/center"))
    np.savez(tmp_path / "one.npz", **{key: archive[key][:60] for key in keys})
    arguments = ["--source", tmp_path / "one.npz", "--out", tmp_path / "root", "--frames"]
    arguments += ["--views", "1", "--clip", "10"]
    subprocess.run([sys.executable, script, *arguments], check=True, capture_output=True)
    source = LetsDanceSource(tmp_path / "root", "all", COCO18)
    clips = LetsDanceSource(tmp_path / "root", "clips.csv", COCO18)
    assert len(source) >= 10 and clips.files.tolist() == source.files.tolist()
    record = source[3]
    assert record["image"].shape == (360, 640, 3) and record["people"].shape == (1, 18, 3)
    # The figure is drawn around the keypoints: the torso is one plain colour.
    torso = record["people"][0, [2, 5, 8, 11], :2].mean(0).round().astype(int)
    patch = record["image"][torso[1] - 2 : torso[1] + 3, torso[0] - 2 : torso[0] + 3]
    assert patch.reshape(-1, 3).std(0).max() < 12
