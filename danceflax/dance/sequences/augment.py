"""From a clip's people to what a sequence network eats, on the host: windows, at random or evenly.

    people  float32 [T, P, J, 3], normalised (`body.normalise`); in evaluation [V, T, P, J, 3]
    label   int32 []
    weight  float32 []

What is not dance is varied in training: who stands where, how far the camera is to the side, the
tempo, which joints a network finds and how well.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from danceflax.dance.sequences.body import Body, normalise, torso_pixels
from danceflax.dance.sequences.people import prominence, resample
from danceflax.errors import BadSampleError
from danceflax.skeleton import Skeleton

LEAST_PART = 0.5  # of a window that a clip must fill
RIVALS = 0.5  # of the first person's prominence: whom training takes for the dancer as well


def augment_people(
    record: Mapping[str, Any],
    rng: np.random.Generator,
    *,
    clip: Mapping[str, Any],
    people: Mapping[str, Any],
    augment: Mapping[str, Any],
    skeleton: Skeleton,
    body: Body,
) -> dict[str, np.ndarray]:
    """A random window of a record of `PeopleSource`, for training.

    Args:
      record: the clip.
      rng: the only source of chance.
      clip: `config.clip`.
      people: `config.streams.people`.
      augment: `config.augment`; see configs/sequence.py.
      skeleton, body: of the people.

    Raises:
      BadSampleError: the clip is much shorter than a window.
    """
    tempo = np.exp(rng.uniform(-1, 1) * augment["tempo"])
    start, step = place_windows(record, clip, tempo)
    start = start[0] + rng.random() * (start[1] - start[0])
    found = _lose(record["people"], rng, augment["lost_joints"], augment["lost_frames"])
    wanted = start + step * np.arange(clip["frames"])
    window = resample(found, record["times"], wanted, people["longest_gap"])
    window = _choose(window, people["max_people"], rng)
    for p in range(window.shape[1]):
        window[:, p] = _vary(window[:, p], rng, augment, skeleton, body)
    return _item(normalise(window, body), record)


def read_windows(
    record: Mapping[str, Any],
    *,
    clip: Mapping[str, Any],
    people: Mapping[str, Any],
    views: Mapping[str, Any],
    body: Body,
) -> dict[str, np.ndarray]:
    """The evaluation's windows of a record, `views["clips"]` of them, evenly spread."""
    (first, last), step = place_windows(record, clip)
    count = views["clips"]
    starts = np.linspace(first, last, count) if count > 1 else [(first + last) / 2]
    made = []
    for start in starts:
        wanted = start + step * np.arange(clip["frames"])
        window = resample(record["people"], record["times"], wanted, people["longest_gap"])
        made.append(normalise(_choose(window, people["max_people"]), body))
    return _item(np.stack(made), record)


def place_windows(record, clip, tempo=1.0):
    """((first start, last start), seconds from frame to frame) of the windows of a clip.

    Raises:
      BadSampleError: the clip fills less than `LEAST_PART` of a window.
    """
    times, frames = record["times"], clip["frames"]
    extent = times[-1] - times[0]
    native = np.median(np.diff(times)) if len(times) > 1 else 0.0
    if clip["sampling"] == "uniform":
        return (times[0], times[0]), extent / max(1, frames - 1)
    step = clip["stride"] / clip["fps"] if clip["fps"] else clip["stride"] * native
    span = step * (frames - 1)
    if extent + native < LEAST_PART * span:
        raise BadSampleError(
            f"{record['where']}: lasts {extent + native:.2f} s, less than half a window of "
            f"{span:.2f} s; leave the clip out, or lower config.clip.frames"
        )
    step *= min(tempo, max(1.0, extent / span))  # no faster than the clip has frames for
    return (times[0], times[0] + max(0.0, extent - step * (frames - 1))), step


def _choose(window, max_people, rng=None):
    """The most prominent people of a window [T, P, J, 3]; with rng in an order of chance, of those
    who are nearly as prominent as the first."""
    seen = prominence(window)
    order = np.argsort(-seen, kind="stable")
    order = order[seen[order] > 0]
    if rng is not None and len(order):
        near = seen[order] >= RIVALS * seen[order[0]]
        order = np.concatenate([rng.permutation(order[near]), order[~near]])
    chosen = window[:, order[:max_people]]
    missing = max_people - chosen.shape[1]
    return np.pad(chosen, ((0, 0), (0, missing), (0, 0), (0, 0)))


def _lose(people, rng, joints, frames):
    """Detections lost at random: up to that share of joints, one by one, and of whole frames."""
    kept = rng.random(people.shape[:3]) >= rng.random() * joints
    kept &= rng.random((len(people), 1, 1)) >= rng.random() * frames
    return np.where(kept[..., None], people, np.float32(0))


def _vary(person, rng, augment, skeleton, body):
    """One person [T, J, 3] mirrored, squeezed, turned, with noisy joints and some masked."""
    seen = person[..., 2] > 0
    xy = person[..., :2].astype(float)
    length = torso_pixels(person, body)
    if rng.random() < augment["flip"]:
        xy, seen = xy[:, skeleton.flip] * (-1, 1), seen[:, skeleton.flip]
    angle = np.radians(rng.uniform(-1, 1) * augment["rotation"])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    squeeze = np.exp(rng.uniform(-1, 1) * augment["squeeze"])
    xy = xy @ turn.T * (squeeze, 1)
    sigmas = np.asarray(skeleton.sigmas) / np.mean(skeleton.sigmas)
    noise = rng.random() * augment["noise"] * length * sigmas[:, None]
    xy = xy + rng.standard_normal(xy.shape) * noise
    masked = rng.random(xy.shape[1]) < rng.random() * augment["masked_joints"]
    length, frames = round(rng.random() * augment["masked_time"] * len(xy)), np.arange(len(xy))
    first = rng.integers(len(xy) - length + 1)
    hidden = (frames >= first) & (frames < first + length)
    seen = seen & ~masked & ~hidden[:, None]
    return np.concatenate([xy, 2.0 * seen[..., None]], -1) * seen[..., None]


def _item(people, record):
    there = np.float32(people[..., 2].any())  # nobody in a window: it does not count
    return {"people": people, "label": np.int32(record["label"]), "weight": there}
