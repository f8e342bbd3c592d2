"""Keypoints over time made whole and calm: short gaps filled, jitter smoothed away.

A track is one person's keypoints in consecutive frames, [T, J, 3] (x, y, score); a joint not found
has score 0. Every joint is filtered by itself, and by runs: what lies on either side of a gap that
stays open has nothing to do with each other.

  fill            fills gaps only
  one_euro        causal, for streams: lags behind a little, the less the faster a joint moves
  savitzky_golay  looks ahead as far as back, and so does not lag
"""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import PchipInterpolator
from scipy.signal import savgol_filter

from danceflax.errors import UserError
from danceflax.people import UNKNOWN
from danceflax.pose.metrics import person_area
from danceflax.pose.track import check_times
from danceflax.skeleton import Skeleton

METHODS = ("fill", "one_euro", "savitzky_golay")
GAP = 0.5  # seconds: longest gap that is filled
LEAST_SIDED = 4  # left and right joints that two frames share, to tell which is which

# Savitzky-Golay: a parabola over so many seconds, but over no fewer than 5 frames.
WINDOW, ORDER, LEAST_WINDOW = 0.28, 2, 5
# One-Euro (Casiez, Roussel, Vogel: CHI 2012): the cut-off in Hz of a joint at rest, by how many Hz
# it rises for each of the person's sizes a second, and the cut-off of that speed.
CUTOFF, SLOPE, SPEED_CUTOFF = 0.6, 5.0, 2.0

Track = Float[np.ndarray, "T J 3"]
Times = Float[np.ndarray, " T"]


def smooth_people(
    frames: Sequence[Float[np.ndarray, "_ J 3"]],
    ids: Sequence[Int[np.ndarray, " _"]],
    times: Sequence[float] | np.ndarray,
    skeleton: Skeleton,
    method: str = "savitzky_golay",
    gap: float = GAP,
) -> tuple[list[Float[np.ndarray, "_ J 3"]], list[Int[np.ndarray, " _"]]]:
    """The people of a clip with gaps filled and each track smoothed, and their numbers.

    People missing from a frame inside a short gap appear in it, and bodies found with left for
    right for a moment are put right; those who are UNKNOWN stay as they are, after the others.

    Args:
      frames, ids, times, skeleton: as `track.link_people` takes and returns them.
      method: one of METHODS.
      gap: seconds; see `fill_gaps`.

    Raises:
      UserError: another method, or a time that is not later than the one before.
    """
    times = check_times(times)
    if method not in METHODS:
        raise UserError(f"smoothing {method!r} is not known; choose one of {', '.join(METHODS)}")
    people, numbers = ([[] for _ in times] for _ in range(2))
    for number, (first, track) in gather_tracks(frames, ids).items():
        span = times[first : first + len(track)]
        track = fill_gaps(put_sides_right(track, span, skeleton.flip), span, gap)
        if method != "fill":
            track = {"one_euro": one_euro, "savitzky_golay": savitzky_golay}[method](track, span)
        for i in np.flatnonzero((track[..., 2] > 0).any(1)):
            people[first + i].append(track[i])
            numbers[first + i].append(number)
    for i, (found, of_frame) in enumerate(zip(frames, ids, strict=True)):
        unknown = found[of_frame == UNKNOWN]
        people[i] = np.array([*people[i], *unknown], np.float32).reshape(-1, *found.shape[1:])
        numbers[i] = np.array(numbers[i] + [UNKNOWN] * len(unknown), int)
    return people, numbers


def gather_tracks(
    frames: Sequence[Float[np.ndarray, "_ J 3"]], ids: Sequence[Int[np.ndarray, " _"]]
) -> dict[int, tuple[int, Track]]:
    """{number: (index of the first frame, track)} of everyone who is not UNKNOWN."""
    where = {}
    for i, of_frame in enumerate(ids):
        for k, number in enumerate(of_frame.tolist()):
            if number != UNKNOWN:
                where.setdefault(number, []).append((i, k))
    tracks = {}
    for number, places in sorted(where.items()):
        first, last = places[0][0], places[-1][0]
        track = np.zeros((last - first + 1, *frames[first].shape[1:]))
        for i, k in places:
            track[i - first] = frames[i][k]
        tracks[number] = first, track
    return tracks


def put_sides_right(
    track: Track, times: Times, flip: Int[np.ndarray, " J"], limit: float = GAP
) -> Track:
    """The track with left and right exchanged in the frames, for at most `limit` seconds, in which
    a network took one for the other: the body leaps into its mirror image there, and back.

    Args:
      flip: the joint that each is in a mirror, as `Skeleton.flip`.
    """
    present = track[..., 2] > 0
    pairs = np.flatnonzero(flip != np.arange(len(flip)))
    both = present & present[:, flip]
    leaps = []
    for before, now in itertools.pairwise(np.flatnonzero(both[:, pairs].any(1))):
        joints = pairs[(both[before] & both[now])[pairs]]
        if len(joints) < LEAST_SIDED or times[now] - times[before] > limit:
            continue
        place = track[before, joints, :2]
        place = place + (track[now, joints, :2] - place).mean(0)  # all of the body has moved
        straight = np.linalg.norm(track[now, joints, :2] - place, axis=-1).sum()
        crossed = np.linalg.norm(track[now, flip[joints], :2] - place, axis=-1).sum()
        if crossed < straight / 2:
            leaps.append(now)
    right = np.array(track, float)
    while len(leaps) > 1:
        start, stop = leaps[:2]
        short = times[stop] - times[start] <= limit
        if short:
            right[start:stop] = right[start:stop, flip]
        leaps = leaps[1 + short :]
    return right


def fill_gaps(track: Track, times: Times, limit: float = GAP) -> Track:
    """The track with joints interpolated where they are missing for at most `limit` seconds.

    The curve is scipy's PCHIP through where the joint was found, which does not overshoot; a filled
    joint has the lower score of the two ends of its gap. Nothing is added before a joint is first
    found or after it is last.
    """
    filled = np.array(track, float)
    for j in range(track.shape[1]):
        found = np.flatnonzero(track[:, j, 2] > 0)
        if len(found) < 2:
            continue
        missing = np.setdiff1d(np.arange(found[0], found[-1]), found)
        after = np.searchsorted(found, missing)
        before, after = found[after - 1], found[after]
        short = times[after] - times[before] <= limit + 1e-9
        missing, before, after = missing[short], before[short], after[short]
        curve = PchipInterpolator(times[found], track[found, j, :2])
        filled[missing, j, :2] = curve(times[missing])
        filled[missing, j, 2] = np.minimum(track[before, j, 2], track[after, j, 2])
    return filled


def savitzky_golay(track: Track, times: Times, window: float = WINDOW) -> Track:
    """The track smoothed by scipy's Savitzky-Golay filter over `window` seconds.

    Frames are taken to be evenly spaced. A run of fewer frames than the window is filtered with a
    shorter one, and left alone where that would be under LEAST_WINDOW.
    """
    smoothed = np.array(track, float)
    if len(times) < LEAST_WINDOW:
        return smoothed
    frames = round(window / float(np.median(np.diff(times))))
    frames = max(frames | 1, LEAST_WINDOW)
    for j, run in _runs(track):
        length = min(frames, (run.stop - run.start - 1) | 1)
        if length >= LEAST_WINDOW:
            smoothed[run, j, :2] = savgol_filter(track[run, j, :2], length, ORDER, axis=0)
    return smoothed


def one_euro(
    track: Track,
    times: Times,
    cutoff: float = CUTOFF,
    slope: float = SLOPE,
    speed_cutoff: float = SPEED_CUTOFF,
) -> Track:
    """The track smoothed by the One-Euro filter; no frame knows of a later one.

    Args:
      cutoff: Hz, of a joint at rest.
      slope: Hz by which the cut-off rises for a speed of one size (the square root of the area that
        OKS divides by) a second.
      speed_cutoff: Hz, of the filter on that speed.
    """
    filter_ = OneEuro(cutoff, slope, speed_cutoff)
    smoothed = [filter_.update(person, time) for person, time in zip(track, times, strict=True)]
    return np.stack(smoothed)


class OneEuro:
    """The One-Euro filter of one person's joints, frame by frame; see `one_euro`."""

    def __init__(
        self, cutoff: float = CUTOFF, slope: float = SLOPE, speed_cutoff: float = SPEED_CUTOFF
    ):
        self._cutoffs = cutoff, slope, speed_cutoff
        self._time, self._points, self._speed, self._known = -np.inf, None, None, None

    def update(self, person: Float[np.ndarray, "J 3"], time: float) -> Float[np.ndarray, "J 3"]:
        """The person smoothed. A joint that was missing in the frame before begins anew."""
        person = np.asarray(person, float)
        points, present = person[:, :2], person[:, 2] > 0
        if self._known is None:
            self._known = np.zeros_like(present)
            self._points = self._speed = np.zeros_like(points)
        cutoff, slope, speed_cutoff = self._cutoffs
        step = time - self._time
        size = np.sqrt(person_area(person[None])[0])
        speed = (points - self._points) / step
        speed = self._speed + _alpha(speed_cutoff, step) * (speed - self._speed)
        alpha = _alpha(cutoff + slope * np.abs(speed) / size, step)
        goes_on = (self._known & present)[:, None]
        self._points = np.where(goes_on, self._points + alpha * (points - self._points), points)
        self._speed = np.where(goes_on, speed, 0.0)
        self._known, self._time = present, time
        return np.concatenate([self._points, person[:, 2:]], -1) * present[:, None]


def _alpha(cutoff, step):
    """The weight of a new value in a first-order low-pass filter."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


def _runs(track):
    """(joint, slice of consecutive frames in which it is there) of a track."""
    present = np.pad(track[..., 2] > 0, ((1, 1), (0, 0)))
    for j in range(track.shape[1]):
        edges = np.flatnonzero(np.diff(present[:, j].astype(int)))
        for start, stop in edges.reshape(-1, 2).tolist():
            yield j, slice(start, stop)
