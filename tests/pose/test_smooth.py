"""Gaps and jitter: against the truth, and the 1-Euro filter of its authors."""

import numpy as np
import pytest
from conftest import shared_data
from crossings import make_dancers
from scipy.interpolate import CubicSpline

from danceflax.errors import UserError
from danceflax.pose.metrics import person_area
from danceflax.pose.smooth import (
    fill_gaps,
    gather_tracks,
    one_euro,
    put_sides_right,
    savitzky_golay,
    smooth_people,
)
from danceflax.skeleton import COCO18


def with_scores(points, score=0.8):
    return np.concatenate([points, np.full((*points.shape[:-1], 1), score)], -1)


def jitter(points, still, fps):
    """RMS acceleration, px / s^2, of the joints and frames in which the truth stands still."""
    acceleration = np.linalg.norm(np.diff(points, 2, axis=0), axis=-1) * fps**2
    return np.sqrt((acceleration[still[1:-1]] ** 2).mean())


def lag(points, truth):
    """Frames by which the truth must be held back to fit best."""
    curve, middle = CubicSpline(np.arange(len(truth)), truth), np.arange(6, len(truth) - 6)
    shifts = np.linspace(-1, 2, 31)
    return shifts[np.argmin([((points[middle] - curve(middle - s)) ** 2).mean() for s in shifts])]


def measure(truth, fps, smooth, rng):
    """(jitter after over before, lag in frames, error after over before) under detector noise."""
    size = np.sqrt(person_area(with_scores(truth))).mean()
    noisy = truth + rng.normal(0, 0.02 * size, truth.shape)
    smoothed = smooth(with_scores(noisy), np.arange(len(truth)) / fps)
    assert (smoothed[..., 2] == 0.8).all()
    speed = np.linalg.norm(np.gradient(truth, 1 / fps, axis=0), axis=-1)
    still = speed < 0.5 * size  # a torso is 0.68 sizes
    assert still.sum() > 20
    calmer = jitter(smoothed[..., :2], still, fps) / jitter(noisy, still, fps)
    error = np.sqrt(((smoothed[..., :2] - truth) ** 2).mean() / ((noisy - truth) ** 2).mean())
    return calmer, lag(smoothed[..., :2], truth), error


def project_mocap(count=4, frames=150):
    """Real dances seen by a camera: [T, 17, 2] px, at 25 frames a second."""
    data = np.load(shared_data("dance_mocap.npz"))
    names = sorted(name for name in data.files if name.endswith("/joints"))
    for name in names[:: len(names) // count]:
        joints = data[name][:frames] + data[name.replace("joints", "center")][:frames, None]
        x, y, z = np.moveaxis(joints - joints.mean((0, 1)), -1, 0)
        yield np.stack([320 + 520 * x / (z + 420), 180 - 520 * y / (z + 420)], -1)


@pytest.mark.parametrize(
    ("smooth", "most_lag", "most_error"), [(savitzky_golay, 0.1, 0.75), (one_euro, 0.5, 1.4)]
)
@pytest.mark.parametrize(
    ("kind", "fps"), [("made", 25.0), ("mocap", 25.0), ("mocap", 12.5)], ids=str
)
def test_half_the_jitter_at_hardly_a_lag(kind, fps, smooth, most_lag, most_error):
    rng = np.random.default_rng(0)
    made = (make_dancers(seed, 1, seconds=6)[0][:, 0] for seed in range(4))
    dances = made if kind == "made" else (truth[:: round(25 / fps)] for truth in project_mocap())
    figures = np.mean([measure(truth, fps, smooth, rng) for truth in dances], 0)
    calmer, behind, error = figures
    assert calmer <= 0.5 and abs(behind) <= most_lag and error <= most_error, figures


def test_one_euro_is_the_published_filter():
    """Against the package of the filter's authors, joint by joint and axis by axis."""
    reference = pytest.importorskip("OneEuroFilter").OneEuroFilter
    rng = np.random.default_rng(0)
    track = with_scores(rng.normal(200, 20, (40, 3, 2)).cumsum(0) / 10)
    times = np.cumsum(rng.uniform(0.02, 0.06, 40))
    smoothed = one_euro(track, times, cutoff=1.2, slope=0.0, speed_cutoff=1.0)
    for j, axis in np.ndindex(3, 2):
        theirs = reference(freq=25, mincutoff=1.2, beta=0.0, dcutoff=1.0)
        expected = [theirs(x, t) for x, t in zip(track[:, j, axis], times, strict=True)]
        np.testing.assert_allclose(smoothed[:, j, axis], expected, rtol=1e-9)


def test_a_parabola_stays_what_it_is():
    """Savitzky-Golay of second order; and of every run by itself."""
    times = np.arange(40) / 25
    track = with_scores(np.stack([3 + 50 * times, 9 - 80 * times**2], -1)[:, None])
    track[17:20] = 0
    np.testing.assert_allclose(savitzky_golay(track, times), track, atol=1e-9)
    short = with_scores(np.random.default_rng(0).normal(size=(4, 1, 2)))
    np.testing.assert_array_equal(savitzky_golay(short, times[:4]), short)


def test_gaps_are_filled_up_to_a_limit():
    times = np.arange(50) / 25
    track = with_scores(np.stack([100 * times, 50 - 30 * times], -1)[:, None])
    track[8, :, 2] = 0.4
    holed = track.copy()
    holed[9:14] = holed[20:33] = holed[:3] = holed[47:] = 0  # gaps of 0.24 and 0.56 s, and the ends
    filled = fill_gaps(holed, times, limit=0.5)
    np.testing.assert_allclose(filled[3:20, :, :2], track[3:20, :, :2], atol=1e-9)
    assert (filled[9:14, 0, 2] == 0.4).all()
    assert (filled[20:33] == 0).all() and (filled[:3] == 0).all() and (filled[47:] == 0).all()
    np.testing.assert_array_equal(fill_gaps(holed, times, limit=0), holed)


def test_left_and_right_are_put_right():
    """A body found as its mirror image for a moment; one who turns, and one long mistaken, stay."""
    points, _, rng = make_dancers(0, 1)
    true = with_scores(points[:, 0] + rng.normal(0, 1.0, points[:, 0].shape))
    true[rng.random(true.shape[:2]) < 0.1] = 0
    times = np.arange(len(true)) / 25
    np.testing.assert_array_equal(put_sides_right(true, times, COCO18.flip), true)
    mistaken = true.copy()
    facing = np.abs(points[:, 0, 2, 0] - points[:, 0, 5, 0])  # px between the shoulders
    for start in range(30, 230, 40):
        if facing[start - 1 : start + 7].min() > 10:
            mistaken[start : start + 6] = mistaken[start : start + 6, COCO18.flip]
    assert (mistaken != true).any((1, 2)).sum() > 10
    np.testing.assert_array_equal(put_sides_right(mistaken, times, COCO18.flip), true)
    long = true.copy()
    long[60:100] = long[60:100, COCO18.flip]
    np.testing.assert_array_equal(put_sides_right(long, times, COCO18.flip), long)


def test_people_appear_in_the_gaps_of_their_tracks():
    rng = np.random.default_rng(0)
    frames = [with_scores(rng.uniform(0, 99, (2, 18, 2))) for _ in range(10)]
    ids = [np.array([4, -1])] * 10
    frames[5], ids[5] = frames[5][1:], np.array([-1])
    people, numbers = smooth_people(frames, ids, np.arange(10) / 25, COCO18, method="fill")
    assert [n.tolist() for n in numbers] == [[4, -1]] * 10
    for i in {*range(10)} - {5}:
        np.testing.assert_allclose(people[i], frames[i], rtol=1e-6)
    first, track = gather_tracks(people, numbers)[4]
    assert first == 0 and np.allclose(track[5, :, 2], 0.8)
    with pytest.raises(UserError, match="smoothing 'kalman' is not known; choose one of fill"):
        smooth_people(frames, ids, np.arange(10), COCO18, method="kalman")
    assert smooth_people([], [], [], COCO18) == ([], [])
