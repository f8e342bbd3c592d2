"""Videos as rows of clips."""

import numpy as np
import pytest

from danceflax.dance.augment import read_views
from danceflax.dance.draw import draw_prediction
from danceflax.dance.predict import read_windows
from danceflax.errors import UserError
from danceflax.io.videos import VideoWriter
from danceflax.pose.openpose_json import write_people
from danceflax.skeleton import BODY25, COCO18

CLIP = dict(frames=8, fps=12.5, stride=1, sampling="contiguous", size=32)
CROP, VIEWS = 0.8, dict(clips=1, crops=1, crop=0.8)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """45 frames at 25 a second that get brighter; a person stands at (40, 30) of 120x80."""
    folder = tmp_path_factory.mktemp("video")
    with VideoWriter(folder / "a.webm", 25.0) as writer:
        for i in range(45):
            writer.write(np.full((80, 120, 3), 20 + 5 * i, np.uint8))
            people = np.tile(np.array([40, 30, 2.0], "f"), (1, 25, 1))
            write_people(folder / f"a_{i:012d}_keypoints.json", people)
    return folder / "a.webm"


def test_windows_follow_each_other_and_end_with_the_video(video):
    windows = [(*rest, list(kept)) for *rest, kept in read_windows(video, CLIP, CROP, None, True)]
    assert [span for span, *_ in windows] == [(0, 15), (16, 31), (29, 44)]
    assert [len(kept) for *_, kept in windows] == [16, 16, 13]  # every frame once
    for (first, last), fps, record, kept in windows:
        time, frame = kept[-1]
        assert fps == 25.0 and frame.shape == (80, 120, 3) and abs(time - last / 25) < 1e-3
        np.testing.assert_allclose(frame.mean(), 20 + 5 * last, atol=8)
        options = dict(needs=("rgb",), clip=CLIP, views=VIEWS, flow=None, pose=None)
        view = read_views(record, **options)["rgb"]
        assert view.shape == (1, 8, 32, 32, 3)
        expected = 20 + 5 * (first + 2 * np.arange(8))  # every second frame
        np.testing.assert_allclose(view.mean((0, 2, 3, 4)), expected, atol=8)
    for change in ({"frames": 64}, {"sampling": "uniform"}):
        (window,) = read_windows(video, CLIP | change, CROP)
        assert window[0] == (0, 44) and not list(window[3])


def test_numbers_are_times(tmp_path):
    """A video that stands still for a second: the frames that a network sees are as far apart in
    time as ever."""
    times = [*np.arange(10) / 25, *(1.4 + np.arange(10) / 25)]
    with VideoWriter(tmp_path / "a.mp4", 25.0) as writer:
        for i, time in enumerate(times):
            writer.write(np.full((80, 120, 3), 20 + 10 * i, np.uint8), time)
    (_, fps, record, _), *_ = read_windows(tmp_path / "a.mp4", CLIP | {"frames": 64}, CROP)
    shown = record["numbers"] / fps
    np.testing.assert_allclose(shown[:20], times, atol=0.5 / fps + 1e-6)


def test_keypoints_follow_the_shrunken_frames(video):
    _, _, record, _ = next(read_windows(video, CLIP, CROP, video.parent))
    pose = dict(skeleton=COCO18, max_people=1)
    options = dict(needs=("people",), clip=CLIP, views=VIEWS, flow=None, pose=pose)
    people = read_views(record, **options)["people"]
    # The crop's side is 0.8 of 80 pixels, its corner at (28, 8), and its size half as large.
    expected = ((40.5 - 28) / 2 - 0.5, (30.5 - 8) / 2 - 0.5)
    found = people[0, :, 0, BODY25.joints.index("neck"), :2]
    np.testing.assert_allclose(found - expected, 0, atol=0.3)
    with pytest.raises(UserError, match="holds no a_"):
        next(read_windows(video, CLIP, CROP, video.parent / "none"))


def test_predictions_are_drawn_on_a_copy():
    frame = np.full((90, 160, 3), 200, np.uint8)
    drawn = draw_prediction(frame, ["tango", "waltz"], np.array([0.9, 0.1]))
    assert (frame == 200).all() and (drawn != frame).any() and (drawn[60:] == 200).all()
