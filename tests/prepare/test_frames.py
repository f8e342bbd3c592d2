import collections
import concurrent.futures
import json
import os
import subprocess
import sys

import av
import cv2
import numpy as np
import pytest
from conftest import make_video
from hypothesis import given, settings
from hypothesis import strategies as st

from danceflax.data.clip_table import add_clips, read_clip_table
from danceflax.data.clips import ClipSource
from danceflax.data.frames import list_frames
from danceflax.data.splits import group_frames, split_clip
from danceflax.errors import UserError
from danceflax.io.files import hold_file
from danceflax.prepare import frames, split
from danceflax.prepare.frame_times import number_frames, pick_frames
from danceflax.prepare.split_report import find_leaks
from danceflax.prepare.video_tasks import name_clip, plan_extraction


def extract_all(*args, **options):
    return [frames.extract_clips(task) for task in plan_extraction(*args, **options)[0]]


def read_levels(root, dance):
    """Which frame of `make_video` each is, to within what the codec changes; by file name."""
    files = sorted((root / "frames" / dance).iterdir())
    return [file.name for file in files], [cv2.imread(str(f)).mean() / 10 for f in files]


def test_frames_keep_time_and_shape(tmp_path):
    make_video(tmp_path / "in" / "tango" / "clip.webm")
    (made,) = extract_all(tmp_path / "in", tmp_path / "out", fps=9, short_side=48)
    assert made.frames == 9 and not made.fault and not made.loss
    assert made.clips == {"tango/clip_000": ("tango/clip.webm", 0.0, 9.0, "tango/clip")}
    names, levels = read_levels(tmp_path / "out", "tango")
    assert names == [f"clip_000_{i:04d}.jpg" for i in range(1, 10)]
    # Kept frame k is the one on screen nearest to k / 9 seconds.
    np.testing.assert_allclose(levels, np.rint(np.arange(9) * 24 / 9), atol=0.49)
    image = cv2.imread(str(tmp_path / "out" / "frames" / "tango" / names[0]))
    assert image.shape == (48, 80, 3)
    note = json.loads((tmp_path / "out" / "extracted" / "tango" / "clip.json").read_text())
    assert note["size"] == [80, 48] and note["video_size"] == [160, 96]
    assert note["clips"]["clip_000"]["positions"] == [0, 3, 5, 8, 11, 13, 16, 19, 21]


@pytest.mark.parametrize("fps", [0, 24, 60])
def test_no_frame_is_repeated(fps, tmp_path):
    video = make_video(tmp_path / "clip.webm", num_frames=6)
    (made,) = extract_all(video, tmp_path, "tap", fps=fps)
    assert made.frames == 6 and made.clips["tap/clip_000"].fps == 24
    np.testing.assert_allclose(read_levels(tmp_path, "tap")[1], np.arange(6), atol=0.49)


@pytest.mark.parametrize("fps", [5, 12.5, 23.976, 24.9])
def test_resampled_frames_are_the_nearest_in_time(fps):
    kept = list(pick_frames(((i / 25, None) for i in range(100)), fps))
    numbers, positions, _ = map(np.array, zip(*kept, strict=True))
    assert (numbers == np.arange(len(kept))).all()
    assert np.abs(positions / 25 - numbers / fps).max() <= 0.5 / 25 + 1e-9
    assert len(kept) == pytest.approx(100 * fps / 25, abs=1)


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(st.floats(0.001, 2.0), min_size=1, max_size=60), rate=st.floats(0.5, 60.0))
def test_numbers_are_times(steps, rate):
    """Of any times: each kept frame is within half a step of its number, and no frame that could
    fill a number is passed over; with all kept, none is lost and the order holds."""
    times = np.cumsum(steps) - steps[0]
    kept = list(pick_frames(((time, None) for time in times), rate))
    numbers, positions, _ = map(np.array, zip(*kept, strict=True))
    assert np.abs(times[positions] * rate - numbers).max() <= 0.5 + 1e-9
    ends = set(np.round(times[-1:] * rate).astype(int)) - {0}  # the last may be over by then
    assert set(np.round(times * rate).astype(int)) - ends <= set(numbers)
    everything = list(number_frames(((time, None) for time in times), rate))
    assert [position for _, position, _ in everything] == list(range(len(times)))
    assert (np.diff([number for number, _, _ in everything]) > 0).all()


def test_a_variable_rate_is_followed_by_its_times(tmp_path):
    """A recording that stands still for a second: the numbers have a gap there, and a frame is
    where its time says, which counting would put 1.4 s off."""
    times = [*np.arange(10) / 50, *(1.6 + np.arange(10) / 10)]
    video = make_video(tmp_path / "clip.mp4", 20, 25, times=list(times))
    (made,) = extract_all(video, tmp_path, "tap", fps=5)
    names, levels = read_levels(tmp_path, "tap")
    numbers = [int(name[-8:-4]) for name in names]
    assert numbers == [1, 2, 9, 10, 11, 12, 13] and made.clips["tap/clip_000"].fps == 5
    shown = np.array(times)[np.rint(levels).astype(int)]
    assert np.abs(shown - (np.array(numbers) - 1) / 5).max() <= 0.1 + 1e-6


def test_lost_frames_leave_a_gap_and_are_told(tmp_path):
    path = make_video(tmp_path / "clip.mp4", 60, 25)
    with av.open(str(path)) as whole, av.open(str(tmp_path / "gap.avi"), "w") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p"
        for frame in whole.decode(video=0):
            output.mux(stream.encode(frame.reformat(format="yuvj420p")))
        output.mux(stream.encode())
    data = bytearray((tmp_path / "gap.avi").read_bytes())
    starts = [i for i in range(len(data)) if data[i : i + 4] == b"00dc"][20:25]
    for start in starts:
        data[start + 8 : start + 600] = bytes(592)
    (tmp_path / "gap.avi").write_bytes(data)
    (made,) = extract_all(tmp_path / "gap.avi", tmp_path / "out", "tap")
    numbers = [int(path.stem[-4:]) for path in sorted((tmp_path / "out/frames/tap").iterdir())]
    lost = sorted(set(range(1, 61)) - set(numbers))
    assert len(lost) == 5 and lost[-1] - lost[0] == 4 and 15 < lost[0] < 25
    assert made.frames == 55 and "gap.avi: 5 of 60 frames" in made.loss


def test_long_videos_are_cut_into_clips_with_their_rates(tmp_path):
    """26 s cut every 10: the rest of 6 s is a clip of its own; one of 4 s joins the one before."""
    make_video(tmp_path / "in" / "tango" / "day 1" / "take.mp4", 260, 10, (32, 32))
    make_video(tmp_path / "in" / "tango" / "-2W1_fHl-RM_033.webm", 24, 10, (32, 32))
    make_video(tmp_path / "in" / "waltz" / "take.mp4", 240, 10, (32, 32))
    root = tmp_path / "out"
    results = extract_all(tmp_path / "in", root, fps=5, cut=10)
    notes = {clip: note for made in results for clip, note in made.clips.items()}
    add_clips(root, notes)
    assert read_clip_table(root) == notes
    of = "tango/day 1-take"
    assert notes == {
        "tango/-2W1_fHl-RM_033": ("tango/-2W1_fHl-RM_033.webm", 0.0, 5.0, "-2W1_fHl-RM"),
        f"{of}_000": (f"{of}.mp4", 0.0, 5.0, of),
        f"{of}_010": (f"{of}.mp4", 10.0, 5.0, of),
        f"{of}_020": (f"{of}.mp4", 20.0, 5.0, of),
        "waltz/take_000": ("waltz/take.mp4", 0.0, 5.0, "waltz/take"),
        "waltz/take_010": ("waltz/take.mp4", 10.0, 5.0, "waltz/take"),
    }
    counts = collections.Counter(path.name[:-9] for path in root.glob("frames/*/*.jpg"))
    assert counts == {
        "-2W1_fHl-RM_033": 12, "day 1-take_000": 50, "day 1-take_010": 50, "day 1-take_020": 30,
        "take_000": 50, "take_010": 70,
    }  # fmt: skip
    # What a training reads: 5 frames a second, whatever each clip lasts; the config overrides.
    chosen = group_frames(list_frames(root))
    split.write_splits(root, [chosen, [], []])
    for fps, expected in ((0.0, 5.0), (7.5, 7.5)):
        source = ClipSource(root, "train", fps=fps)
        assert {source[i]["fps"] for i in range(len(source))} == {expected}
    # All clips of one source go into one split.
    table = read_clip_table(root)
    assert not any(
        find_leaks(dict(enumerate(split.assign_clips(chosen, seed=s, table=table))), table)[0, 1]
        for s in range(5)
    )


def test_names_of_clips():
    assert name_clip("-2W1_fHl-RM_033") == "-2W1_fHl-RM_033"
    assert name_clip("-2W1_fHl-RM_033", 20.0) == "-2W1_fHl-RM_053"
    assert name_clip("-2W1_fHl-RM") == "-2W1_fHl-RM_000"
    for stem in ("fast", "my video (1)", "IMG_0001", "x" * 80, "été"):
        assert split_clip(name_clip(stem, 10.0)) == (stem, "010")


def test_what_is_no_video_is_passed_over_and_named(tmp_path):
    for name in ("a.MTS", "deep/er/b.3gp", "notes.txt", "deep/cover.jpg", ".hidden.mp4", "._a.MTS",
                 "@eaDir/a.MTS", ".ipynb_checkpoints/c.mp4", "Thumbs.db"):  # fmt: skip
        touch(tmp_path / "in" / "tap" / name)
    touch(tmp_path / "in" / "read me.md")
    tasks, others = plan_extraction(tmp_path / "in", tmp_path / "out")
    assert [(task.dance, task.name) for task in tasks] == [("tap", "a"), ("tap", "deep-er-b")]
    assert [os.path.relpath(path, tmp_path / "in") for path in others] == [
        "read me.md", "tap/notes.txt", "tap/deep/cover.jpg"
    ]  # fmt: skip


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_a_killed_extraction_starts_clean_and_whole_clips_stay(tmp_path):
    for number in range(2):
        make_video(tmp_path / "in" / "tango" / f"clip{number}.webm", num_frames=8)
    code = (
        "import os, pathlib, signal, sys\n"
        "from danceflax.prepare import frames, video_tasks\n"
        "write, count = pathlib.Path.write_bytes, 0\n"
        "def write_or_die(path, data):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == 14:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(path, data)\n"
        "pathlib.Path.write_bytes = write_or_die\n"
        "for task in video_tasks.plan_extraction(*sys.argv[1:])[0]:\n"
        "    frames.extract_clips(task)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "in", tmp_path / "out"])
    assert done.returncode < 0
    root = tmp_path / "out"
    assert len(read_levels(root, "tango")[0]) == 12
    assert sorted(path.suffix for path in root.glob("extracted/*/*")) == [".json", ".partial"]
    before = os.stat(root / "frames" / "tango" / "clip0_000_0001.jpg").st_mtime_ns
    # A frame that the killed run left beyond the clip's end must go.
    (root / "frames" / "tango" / "clip1_000_0099.jpg").touch()
    assert [made.frames for made in extract_all(tmp_path / "in", root)] == [8, 8]
    assert len(read_levels(root, "tango")[0]) == 16
    assert os.stat(root / "frames" / "tango" / "clip0_000_0001.jpg").st_mtime_ns == before
    assert not list(root.glob("extracted/*/*.partial"))


def test_attempts_at_the_same_video_wait_for_each_other(tmp_path, monkeypatch):
    make_video(tmp_path / "in" / "tango" / "clip.webm")
    (task,) = plan_extraction(tmp_path / "in", tmp_path / "out")[0]
    write, written = frames._write_frames, []
    monkeypatch.setattr(frames, "_write_frames", lambda *a: (written.append(1), write(*a))[1])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        made = list(pool.map(frames.extract_clips, [task] * 4))
    assert made == made[:1] * 4 and made[0].frames == 24 and not made[0].fault
    assert len(written) == 1
    assert len(read_levels(tmp_path / "out", "tango")[0]) == 24
    assert [path.name for path in (tmp_path / "out/extracted/tango").iterdir()] == ["clip.json"]


def test_a_held_file_may_be_removed_by_those_who_wait(tmp_path):
    path, inside = tmp_path / "a", []

    def hold(_):
        for _ in range(300):
            with hold_file(path):
                inside.append(1)
                assert len(inside) == 1
                inside.pop()
            path.unlink(missing_ok=True)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(hold, range(4)))


def test_a_video_without_frames_is_reported_and_leaves_nothing(tmp_path):
    (tmp_path / "in" / "tap").mkdir(parents=True)
    (tmp_path / "in" / "tap" / "empty.mp4").write_bytes(b"")
    make_video(tmp_path / "in" / "tap" / "good.webm", num_frames=3)
    bad, good = extract_all(tmp_path / "in", tmp_path / "out")
    assert "empty.mp4" in bad.fault and not bad.clips and good.frames == 3
    assert len(list((tmp_path / "out" / "extracted" / "tap").iterdir())) == 1


def test_faults(tmp_path):
    video = make_video(tmp_path / "in" / "clip.webm", num_frames=3)
    for args, message in (
        ((tmp_path / "none", tmp_path), "no such video"),
        ((video, tmp_path), "give --dance=NAME"),
        ((video.parent, tmp_path), "lies in no dance's folder"),
        ((video, tmp_path, "tap", -1), "expected --fps >= 0"),
        ((video, tmp_path, "tap", 0, 0, 95, 0.5), "--cut of 0 or at least 1"),
    ):
        with pytest.raises(UserError, match=message):
            plan_extraction(*args)
    (tmp_path / "old" / "rgb").mkdir(parents=True)
    with pytest.raises(UserError, match="rename that to frames/"):
        plan_extraction(video, tmp_path / "old", "tap")
    make_video(tmp_path / "in" / "clip.mp4", num_frames=3)
    with pytest.raises(UserError, match="both would become clip_000"):
        plan_extraction(video.parent, tmp_path, "tap")
    extract_all(video, tmp_path, "tap")
    before = read_levels(tmp_path, "tap")
    assert "with other settings" in extract_all(video, tmp_path, "tap", fps=5)[0].fault
    next((tmp_path / "extracted" / "tap").iterdir()).unlink()
    assert "were not extracted here" in extract_all(video, tmp_path, "tap")[0].fault
    assert read_levels(tmp_path, "tap") == before
