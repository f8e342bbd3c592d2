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
from ml_collections import ConfigDict

from danceflax.dance.sequences.body import Body, normalise
from danceflax.dance.sequences.people import prominence, resample
from danceflax.errors import BadSampleError

Fields = ConfigDict | Mapping[str, Any]  # of a config, or of a checkpoint

LEAST_PART = 0.5  # of a window that a clip must fill
RIVALS = 0.5  # of the first person's prominence: whom training takes for the dancer as well


def augment_people(
    record: Mapping[str, Any],
    rng: np.random.Generator,
    *,
    clip: Fields,
    people: Fields,
    augment: Fields,
    body: Body,
) -> dict[str, np.ndarray]:
    """A random window of a record of `PeopleSource`, for training.

    Args:
      record: the clip.
      rng: the only source of chance.
      clip: `config.clip`.
      people: `config.streams.people`.
      augment: `config.augment`; see configs/sequence.py.
      body: of the people.

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
        window[:, p] = _hide(_turn(window[:, p], rng, augment, body), rng, augment)
    window = normalise(window, body)
    for p in range(window.shape[1]):
        window[:, p] = _blur(window[:, p], rng, augment, body)
    return _item(window, record)


def read_windows(
    record: Mapping[str, Any],
    *,
    clip: Fields,
    people: Fields,
    views: Fields,
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


def place_windows(
    record: Mapping[str, Any], clip: ConfigDict | Mapping[str, Any], tempo: float = 1.0
) -> tuple[tuple[float | np.floating, float | np.floating], float | np.floating]:
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
    if window.shape[1] == max_people:
        return window
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


def _turn(person, rng, augment, body):
    """One person [T, J, 3] as another camera sees them: mirrored, squeezed, turned."""
    if rng.random() < augment["flip"]:
        person = person[:, body.flip] * np.float32([-1, 1, 1])
    angle = np.radians(rng.uniform(-1, 1) * augment["rotation"])
    squeeze = np.exp(rng.uniform(-1, 1) * augment["squeeze"])
    cos, sin = np.cos(angle), np.sin(angle)
    camera = np.diag([0.0, 0.0, 1.0])
    camera[:2, :2] = [[squeeze * cos, sin], [-squeeze * sin, cos]]
    return person @ camera.astype(np.float32)


def _hide(person, rng, augment):
    """One person [T, J, 3] without the joints that are never found, and for a time not at all."""
    frames, joints = person.shape[:2]
    masked = rng.random(joints) < rng.random() * augment["masked_joints"]
    length = round(rng.random() * augment["masked_time"] * frames)
    first = rng.integers(frames - length + 1)
    hidden = np.zeros((frames, 1, 1), bool)
    hidden[first : first + length] = True
    return np.where(masked[:, None] | hidden, np.float32(0), person)


def _blur(person, rng, augment, body):
    """One normalised person [T, J, 3] whose joints are found as well as a network finds them."""
    noise = rng.random() ** 3 * augment["noise"] * body.blur  # mostly little
    moved = person.copy()
    moved[..., :2] += rng.standard_normal(person[..., :2].shape) * noise[:, None]
    return np.where(person[..., 2:] > 0, moved, np.float32(0))


def _item(people, record):
    there = np.float32(people[..., 2].any())  # nobody in a window: it does not count
    return {"people": people, "label": np.int32(record["label"]), "weight": there}
