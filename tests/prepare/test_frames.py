import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from danceflax.data.splits import split_clip
from danceflax.errors import UserError
from danceflax.io.videos import VideoWriter
from danceflax.prepare import frames


def make_video(path, num_frames=24, fps=24, size=(96, 160)):
    """A video whose frame i is of grey 10 i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, fps) as video:
        for i in range(num_frames):
            video.write(np.full((*size, 3), 10 * i, np.uint8))
    return path


def extract_all(*args, **options):
    return [frames.extract_clip(task) for task in frames.plan_extraction(*args, **options)]


def read_levels(root, dance):
    """Which frame of `make_video` each is, to within what the codec changes; by file name."""
    files = sorted((root / "frames" / dance).iterdir())
    return [file.name for file in files], [cv2.imread(str(f)).mean() / 10 for f in files]


def test_frames_keep_time_and_shape(tmp_path):
    make_video(tmp_path / "in" / "tango" / "clip.webm")
    assert extract_all(tmp_path / "in", tmp_path / "out", fps=9, short_side=48) == [("done", 9)]
    names, levels = read_levels(tmp_path / "out", "tango")
    clip = frames.name_clip("clip", "tango")
    assert names == [f"{clip}_{i:04d}.jpg" for i in range(1, 10)]
    # Kept frame k is the one on screen nearest to k / 9 seconds.
    np.testing.assert_allclose(levels, np.rint(np.arange(9) * 24 / 9), atol=0.49)
    image = cv2.imread(str(tmp_path / "out" / "frames" / "tango" / names[0]))
    assert image.shape == (48, 80, 3)
    note = json.loads((tmp_path / "out" / "extracted" / "tango" / f"{clip}.json").read_text())
    assert note["frames"] == 9 and note["size"] == [80, 48] and note["video_size"] == [160, 96]


@pytest.mark.parametrize("fps", [0, 24, 60])
def test_no_frame_is_repeated(fps, tmp_path):
    video = make_video(tmp_path / "clip.webm", num_frames=6)
    assert extract_all(video, tmp_path, "tap", fps=fps) == [("done", 6)]
    np.testing.assert_allclose(read_levels(tmp_path, "tap")[1], np.arange(6), atol=0.49)


@pytest.mark.parametrize("fps", [5, 12.5, 23.976, 24.9, 25])
def test_resampled_frames_are_the_nearest_in_time(fps):
    kept = list(frames.resample(range(100), 25.0, fps))
    assert kept == [frames.source_frame(k, 25.0, fps) for k in range(len(kept))]
    times = np.arange(len(kept)) / fps
    assert np.abs(np.array(kept) / 25 - times).max() <= 0.5 / 25 + 1e-9
    assert len(kept) == pytest.approx(100 * fps / 25, abs=1)


def test_names_of_clips():
    assert frames.name_clip("-2W1_fHl-RM_033", "a") == "-2W1_fHl-RM_033"
    assert frames.name_clip("-2W1_fHl-RM", "a") == "-2W1_fHl-RM_000"
    for stem in ("fast", "my video (1)", "a_b", "x" * 80, "été"):
        name = frames.name_clip(stem, "tango")
        assert frames.CLIP.fullmatch(name) and name == frames.name_clip(stem, "tango")
        assert name != frames.name_clip(stem, "waltz")
        assert [len(part) for part in split_clip(name)] == [11, 3]


def test_a_killed_extraction_starts_clean_and_whole_clips_stay(tmp_path):
    for number in range(2):
        make_video(tmp_path / "in" / "tango" / f"clip{number}.webm", num_frames=8)
    code = (
        "import os, pathlib, signal, sys\n"
        "from danceflax.prepare import frames\n"
        "write, count = pathlib.Path.write_bytes, 0\n"
        "def write_or_die(path, data):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == 13:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(path, data)\n"
        "pathlib.Path.write_bytes = write_or_die\n"
        "for task in frames.plan_extraction(*sys.argv[1:]):\n"
        "    frames.extract_clip(task)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "in", tmp_path / "out"])
    assert done.returncode < 0
    root = tmp_path / "out"
    assert len(read_levels(root, "tango")[0]) == 12
    assert sorted(path.suffix for path in root.glob("extracted/*/*")) == [".json", ".partial"]
    first = frames.name_clip("clip0", "tango")
    before = os.stat(root / "frames" / "tango" / f"{first}_0001.jpg").st_mtime_ns
    # A frame that the killed run left beyond the clip's end must go.
    second = frames.name_clip("clip1", "tango")
    (root / "frames" / "tango" / f"{second}_0099.jpg").touch()
    assert extract_all(tmp_path / "in", root) == [("there", 8), ("done", 8)]
    assert len(read_levels(root, "tango")[0]) == 16
    assert os.stat(root / "frames" / "tango" / f"{first}_0001.jpg").st_mtime_ns == before
    assert not list(root.glob("extracted/*/*.partial"))


def test_a_video_without_frames_is_reported_and_leaves_nothing(tmp_path):
    (tmp_path / "in" / "tap").mkdir(parents=True)
    (tmp_path / "in" / "tap" / "empty.mp4").write_bytes(b"")
    make_video(tmp_path / "in" / "tap" / "good.webm", num_frames=3)
    bad, good = extract_all(tmp_path / "in", tmp_path / "out")
    assert bad[0] == "bad" and "empty.mp4" in bad[1] and good == ("done", 3)
    assert len(list((tmp_path / "out" / "extracted" / "tap").iterdir())) == 1


def test_faults(tmp_path):
    video = make_video(tmp_path / "in" / "clip.webm", num_frames=3)
    for args, message in (
        ((tmp_path / "none", tmp_path), "no such video"),
        ((video, tmp_path), "give --dance"),
        ((video.parent, tmp_path), "lies in no dance's folder"),
        ((video, tmp_path, "tap", -1), "expected --fps >= 0"),
    ):
        with pytest.raises(UserError, match=message):
            frames.plan_extraction(*args)
    (tmp_path / "old" / "rgb").mkdir(parents=True)
    with pytest.raises(UserError, match="rename that to frames/"):
        frames.plan_extraction(video, tmp_path / "old", "tap")
    make_video(tmp_path / "in" / "clip.mp4", num_frames=3)
    with pytest.raises(UserError, match="both would become the clip"):
        frames.plan_extraction(video.parent, tmp_path, "tap")
    extract_all(video, tmp_path, "tap")
    with pytest.raises(UserError, match="with other settings"):
        extract_all(video, tmp_path, "tap", fps=5)
    next((tmp_path / "extracted" / "tap").iterdir()).unlink()
    with pytest.raises(UserError, match="were not extracted here"):
        extract_all(video, tmp_path, "tap")
