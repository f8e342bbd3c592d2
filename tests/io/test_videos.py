"""Videos written can be read back; what is no video ends in one clear line."""

import cv2
import numpy as np
import pytest
from conftest import shared_data

from danceflax.errors import UserError
from danceflax.io.videos import VideoWriter, list_inputs, read_video


def make_frames(height=65, width=97, count=7):
    """Smooth frames whose red, green and blue differ, so that swapped channels show."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    frames = [np.stack([x, y, (x + t / count) / 2], -1) * 200 + 20 for t in range(count)]
    return [frame.astype(np.uint8) for frame in frames]


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_round_trip_of_an_odd_size(tmp_path, suffix, capfd):
    path, frames = tmp_path / f"a{suffix}", make_frames()
    with VideoWriter(path, 12.5) as writer:
        for frame in frames:
            writer.write(frame)
        assert not path.exists()  # until the last frame is in
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    back, fps, _ = read_video(path)
    back = list(back)
    assert fps == 12.5
    assert len(back) == len(frames) and back[0].shape == (66, 98, 3)
    for frame, other in zip(frames, back, strict=True):
        assert np.abs(other[:65, :97].astype(float) - frame).mean() < 4
    assert capfd.readouterr() == ("", "")


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), VideoWriter(tmp_path / "a.webm", 25) as writer:
        writer.write(make_frames()[0])
        raise ZeroDivisionError
    with pytest.raises(UserError, match="no frame"), VideoWriter(tmp_path / "b.webm", 25):
        pass
    with pytest.raises(UserError, match="one size"), VideoWriter(tmp_path / "c.mp4", 25) as writer:
        writer.write(make_frames()[0])
        writer.write(make_frames(height=32)[0])
    with (
        pytest.raises(UserError, match=r"absent.*folder"),
        VideoWriter(tmp_path / "absent" / "d.webm", 25) as writer,
    ):
        writer.write(make_frames()[0])
    with pytest.raises(UserError, match=r"\.webm or \.mp4"):
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
    frames, _, count = read_video(cut)
    assert count == 597 and 100 < sum(1 for _ in frames) < 200


def test_real_clips_and_gif():
    frames, fps, count = read_video(shared_data("dance_clips", "fast.mp4"))
    shapes = [frame.shape for frame in frames]
    assert shapes == [(368, 640, 3)] * 160 and fps == 24 and count == 160
    gif = shared_data("i3d", "v_CricketShot_g04_c01_rgb.gif")
    frames, fps, _ = read_video(gif)
    still = cv2.imread(str(gif))[..., ::-1]  # another decoder of the first frame
    first = next(frames)
    assert fps == 25 and np.abs(first.astype(float) - still).mean() < 1
    assert 1 + sum(1 for _ in frames) == 79


def test_list_inputs(tmp_path):
    for name in ("b.JPG", "a.webm", "c.gif", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    kinds = [(path.name, kind) for path, kind in list_inputs(tmp_path)]
    assert kinds == [("a.webm", "video"), ("b.JPG", "image"), ("c.gif", "video")]
    assert list_inputs(tmp_path / "b.JPG") == [(tmp_path / "b.JPG", "image")]
    for path, reason in (
        (tmp_path / "absent", "no such"),
        (tmp_path / "notes.txt", "not an image"),
        (tmp_path / "folder.png", "holds no"),
    ):
        with pytest.raises(UserError, match=reason):
            list_inputs(path)
