"""Videos written can be read back, whatever is damaged is counted, and what is no video ends in one
clear line."""

import fractions
import pathlib
import struct

import av
import cv2
import numpy as np
import pytest
from conftest import shared_data

from danceflax.errors import UserError
from danceflax.io.listing import count_key, list_folder, list_inputs
from danceflax.io.videos import VideoWriter, read_video


def make_frames(height=65, width=97, count=7):
    """Smooth frames whose red, green and blue differ, so that swapped channels show."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    frames = [np.stack([x, y, (x + t / count) / 2], -1) * 200 + 20 for t in range(count)]
    return [frame.astype(np.uint8) for frame in frames]


def write_video(path, frames, fps=25, times=None):
    with VideoWriter(path, fps) as writer:
        for i, frame in enumerate(frames):
            writer.write(frame, times and times[i])
    return path


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
@pytest.mark.parametrize("fps", [12.5, 24000 / 1001])
def test_round_trip_of_an_odd_size(tmp_path, suffix, fps, capfd):
    path, frames = tmp_path / f"a{suffix}", make_frames()
    with VideoWriter(path, fps) as writer:
        for frame in frames:
            writer.write(frame)
        assert not path.exists()  # until the last frame is in
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    video = read_video(path)
    times, back = zip(*video, strict=True)
    assert (video.fps, video.count, video.lost) == (fps, 7, 0)
    assert video.describe_loss() is None
    np.testing.assert_allclose(times, np.arange(7) / fps, atol=6e-4)  # .webm counts milliseconds
    assert back[0].shape == (66, 98, 3)
    for frame, other in zip(frames, back, strict=True):
        assert np.abs(other[:65, :97].astype(float) - frame).mean() < 4
    assert capfd.readouterr() == ("", "")


def test_mp4_is_what_browsers_and_editors_play(tmp_path):
    """H.264 in 4:2:0 with its index first, as another reader of the file sees it."""
    path = write_video(tmp_path / "a.mp4", make_frames())
    capture = cv2.VideoCapture(str(path))
    code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode()
    assert code in ("h264", "avc1") and capture.get(cv2.CAP_PROP_FPS) == 25
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 7
    with av.open(str(path)) as container:
        assert container.streams.video[0].pix_fmt == "yuv420p"
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_a_variable_rate_keeps_its_times(tmp_path, suffix):
    times = [0.0, 0.1, 0.15, 0.9, 2.0, 2.04, 2.08]
    video = read_video(write_video(tmp_path / f"a{suffix}", make_frames(), 25, times))
    np.testing.assert_allclose([time for time, _ in video], times, atol=6e-4)
    assert video.lost == 0


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotation_tags_are_honoured_as_opencv_does(tmp_path, turn):
    frame = np.zeros((64, 96, 3), np.uint8)
    frame[:20, :30], frame[40:, 70:] = 255, (255, 0, 0)
    data = write_video(tmp_path / "a.mp4", [frame] * 3).read_bytes()
    one, up = 1 << 16, struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[turn]
    turned = struct.pack(">9i", a, b, 0, -b, a, 0, 0, 0, 1 << 30)
    path = tmp_path / "turned.mp4"
    track = data.index(up, data.index(b"tkhd"))
    path.write_bytes(data[:track] + turned + data[track + len(turned) :])
    (_, first), *_ = read_video(path)
    expected = cv2.VideoCapture(str(path)).read()[1][..., ::-1]
    assert first.shape == (expected.shape if turn == 180 else (96, 64, 3))
    np.testing.assert_array_equal(first, expected)


@pytest.mark.parametrize(
    ("codec", "suffix", "least"),
    [("libx264", ".mp4", 55), ("mpeg4", ".mp4", 55), ("mpeg4", ".avi", 50), ("libx264", ".mkv", 25),
     ("libvpx", ".webm", 30), ("libx264", ".ts", 50)],
)  # fmt: skip
def test_a_damaged_stretch_is_passed_and_counted(codec, suffix, least, tmp_path):
    """64 frames with a twentieth of the file blanked in its middle."""
    rng, path = np.random.default_rng(0), tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(64):
            frame = np.full((120, 160, 3), 3 * i, np.uint8)
            frame[:40] = rng.integers(0, 255, (40, 160, 3))
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode())
    whole = read_video(path)
    assert sum(1 for _ in whole) == 64 and whole.lost == 0
    data = bytearray(path.read_bytes())
    middle = slice(len(data) // 2, len(data) // 2 + len(data) // 20)
    data[middle] = bytes(len(data[middle]))
    path.write_bytes(data)
    damaged = read_video(path)
    times = [time for time, _ in damaged]
    assert least <= len(times) < 64 and 0 < damaged.lost <= 64 - least
    assert abs(len(times) + damaged.lost - 64) <= 2
    assert f"{damaged.lost} of {len(times) + damaged.lost} frames" in damaged.describe_loss()
    assert (np.diff(times) > 0).all()


def test_a_title_in_any_encoding(tmp_path):
    """Of a video of variable rate, which is opened twice."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        output.metadata["title"] = "ballet é é"
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(6):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), i, np.uint8), format="rgb24")
            frame.pts, frame.time_base = i * i, fractions.Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace("é é".encode(), b"\xe9 \xe9  "))
    assert sum(1 for _ in read_video(path)) == 6


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), VideoWriter(tmp_path / "a.webm", 25) as writer:
        writer.write(make_frames()[0])
        raise ZeroDivisionError
    with pytest.raises(UserError, match="no frame"), VideoWriter(tmp_path / "b.webm", 25):
        pass
    with pytest.raises(UserError, match="one size"), VideoWriter(tmp_path / "c.mp4", 25) as writer:
        writer.write(make_frames()[0])
        writer.write(make_frames(height=32)[0])
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"file/d\.webm: cannot be written"),
        VideoWriter(tmp_path / "file" / "d.webm", 25) as writer,
    ):
        writer.write(make_frames()[0])
    (tmp_path / "file").unlink()
    with pytest.raises(UserError, match=r"\.mp4 or \.webm"):
        VideoWriter(tmp_path / "a.avi", 25)
    assert not list(tmp_path.iterdir())


def test_unreadable_videos(tmp_path, capfd):
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").touch()
    for name in ("text.mp4", "empty.mp4", "absent.mp4", "."):
        with pytest.raises(UserError) as error:
            read_video(tmp_path / name)
        assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_video_cut_short(tmp_path):
    """A header without frames, and a video whose end is missing though its header counts it."""
    whole = shared_data("dance_clips", "demo.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[:20_000])
    with pytest.raises(UserError, match="no frame"):
        read_video(cut)
    cut.write_bytes(whole[: len(whole) // 4])
    video = read_video(cut)
    shown = sum(1 for _ in video)
    assert video.count == 597 and 100 < shown < 200 and video.lost == 597 - shown


def test_real_clips_and_gif():
    video = read_video(shared_data("dance_clips", "fast.mp4"))
    shapes = [frame.shape for _, frame in video]
    assert shapes == [(368, 640, 3)] * 160 and (video.fps, video.count, video.lost) == (24, 160, 0)
    gif = shared_data("i3d", "v_CricketShot_g04_c01_rgb.gif")
    video = read_video(gif)
    times, frames = zip(*video, strict=True)
    still = cv2.imread(str(gif))[..., ::-1]  # another decoder of the first frame
    assert video.fps == 25 and np.abs(frames[0].astype(float) - still).mean() < 1
    assert len(frames) == 79 and times[-1] == pytest.approx(78 / 25) and video.lost == 0


def test_a_name_with_a_colon_in_the_current_folder(tmp_path, monkeypatch):
    write_video(tmp_path / "cam:1.mp4", make_frames())
    monkeypatch.chdir(tmp_path)
    assert len(list(read_video("cam:1.mp4"))) == 7
    write_video(pathlib.Path("cam:2.mp4"), make_frames())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cam:1.mp4", "cam:2.mp4"]


def test_list_inputs(tmp_path, monkeypatch):
    for name in (
        "b.JPG",
        "a.webm",
        "c.gif",
        "d.MTS",
        "e.3gp",
        "notes.txt",
        ".hidden.png",
        "._b.JPG",
    ):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "Thumbs.db").touch()
    inputs, others = list_inputs(tmp_path)
    assert [(path.name, kind) for path, kind in inputs] == [
        ("a.webm", "video"), ("b.JPG", "image"), ("c.gif", "video"), ("d.MTS", "video"),
        ("e.3gp", "video"),
    ]  # fmt: skip
    assert others == ["folder.png/", "notes.txt"]
    assert list_inputs(tmp_path / "b.JPG") == ([(tmp_path / "b.JPG", "image")], [])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list_inputs("~/b.JPG")[0] == list_inputs(tmp_path / "b.JPG")[0]
    for path, reason in (
        (tmp_path / "absent", "no such"),
        (tmp_path / "notes.txt", "not an image"),
        (tmp_path / "folder.png", "holds no"),
    ):
        with pytest.raises(UserError, match=reason):
            list_inputs(path)


def test_names_are_sorted_as_people_count(tmp_path):
    names = ["a_2.jpg", "a_10.jpg", "a_0003.jpg", "a_12345.jpg", "b_1.jpg", "a_1.png"]
    for name in (*names, ".DS_Store", "desktop.ini"):
        (tmp_path / name).touch()
    found = sorted(list_folder(tmp_path), key=count_key)
    assert found == ["a_1.png", "a_2.jpg", "a_0003.jpg", "a_10.jpg", "a_12345.jpg", "b_1.jpg"]
    assert [path.name for path, _ in list_inputs(tmp_path / "a_*.jpg")[0]] == found[1:5]
