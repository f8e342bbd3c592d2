"""People followed over time: the same person has the same number in every frame.

Each person known so far is moved on to the time of the new frame, as a whole by the body's
velocity and joint by joint by what the limbs do besides, and compared with everyone found there.
The measure is OKS's, a normal distribution about each joint, taken as the likelihood that it is: it
widens with the time since the joint was seen, so that whoever was lost for long fits less well in
the right measure; each joint may be an outlier; and it is weighed against a person who is new. The
best one-to-one assignment is scipy's. Nothing here sees pixels: after a camera cut the caller says
so (`io.cuts` finds them).

Lengths are measured in the person's size (the square root of the area that OKS divides by) and time
in seconds, so that neither the resolution nor the frame rate matters.
"""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from danceflax.errors import UserError
from danceflax.people import UNKNOWN
from danceflax.pose.metrics import person_area
from danceflax.skeleton import Skeleton

# A joint is found within this many of its OKS sigmas, or is an outlier with this probability. That
# a person is new is as likely as one anywhere on so many times the area of a person.
PRECISION, OUTLIER, FLOOR = 0.6, 0.1, 300.0
# How fast a joint's place grows uncertain, in sizes a second, besides this share of the body's
# speed (nobody's is greater than TOP_SPEED), until it may be a size away.
DRIFT, DRIFT_SHARE, TOP_SPEED, REACH = 0.8, 0.2, 4.0, 1.0
# Joints of who was seen in the last fifth of a second or so may leap, with this probability, by
# about so many sizes.
LEAP, LEAP_LENGTH, LEAP_MEMORY = 0.1, 0.3, 0.2
# How motion goes on unseen: so many seconds or so the body keeps its velocity, a limb its own.
BODY_GLIDE, LIMB_GLIDE = 1.0, 0.15
# Seconds over which the velocities of the body and of a limb are averaged.
BODY_MEMORY, LIMB_MEMORY = 0.15, 0.08
# A match needs this many joints in common. Networks find left for right at times, mostly of people
# seen from behind: both are tried, and this is the probability. A lone arm or leg, mostly of
# someone who is followed, does not begin a person: that takes this share of the joints.
LEAST_JOINTS, SWAPPED, LEAST_SHARE = 2, 0.05, 1 / 3
# Nobody is forgotten sooner than after so many seconds; between that and the tracker's memory,
# after as long as they were seen for: what appears for a moment is mostly no person.
SHORTEST_MEMORY = 0.2


class Tracker:
    """Numbers the people of one frame after the other; keeps only those it still waits for.

        tracker = Tracker(skeleton)
        ids = tracker.update(people, time)

    Args:
      skeleton: of the people.
      memory: seconds after which a person not seen is forgotten; who comes back later is new.
    """

    def __init__(self, skeleton: Skeleton, memory: float = 1.5):
        self._sigmas = PRECISION * np.asarray(skeleton.sigmas)
        self._flip = skeleton.flip
        self._memory = memory
        self._time, self._next = -np.inf, 0
        joints = len(self._sigmas)
        # The K people waited for. Joints never seen were seen at -inf.
        self._people = {
            "id": np.zeros(0, int),
            "first": np.zeros(0),
            "last": np.zeros(0),
            "body": np.zeros((0, 2)),  # velocity, px / s
            "position": np.zeros((0, joints, 2)),
            "velocity": np.zeros((0, joints, 2)),
            "seen": np.zeros((0, joints)),
        }

    def update(
        self, people: Float[np.ndarray, "P J 3"], time: float, cut: bool = False
    ) -> Int[np.ndarray, " P"]:
        """The numbers, from 0 on, of the people (x, y, score) found in the frame at `time` seconds.

        A joint not found has score 0; who matches nobody and has few joints is UNKNOWN. After a
        `cut` of the camera everyone is new.

        Raises:
          UserError: the time is not later than the last one.
        """
        check_times([self._time, time])
        self._time = time
        people = np.asarray(people, float).reshape(-1, len(self._sigmas), 3)
        points, present = people[..., :2], people[..., 2] > 0
        self._forget(time, everyone=cut)
        tracks, found, swapped = self._match(points, present, time)
        joints = np.where(swapped[:, None], self._flip, np.arange(len(self._flip)))
        places = found[:, None], joints
        self._advance(tracks, points[places], present[places], time)
        ids = np.full(len(people), UNKNOWN)
        ids[found] = self._people["id"][tracks]
        new = np.flatnonzero((ids == UNKNOWN) & (present.mean(1) >= LEAST_SHARE))
        ids[new] = self._next + np.arange(len(new))
        self._begin(ids[new], points[new], present[new], time)
        return ids

    def _forget(self, time, everyone):
        first, last = self._people["first"], self._people["last"]
        patience = np.clip(last - first, SHORTEST_MEMORY, self._memory)
        keep = (time - last <= patience) & (not everyone)
        self._people = {name: value[keep] for name, value in self._people.items()}

    def _match(self, points, present, time):
        """Indices of the people known and of the people found that belong together, and whether
        those were found with left and right swapped."""
        place, variance, known, size = self._predict(time)
        leap = (LEAP_LENGTH * size) ** 2
        leaping = LEAP * np.exp((self._people["last"] - time) / LEAP_MEMORY)[:, None]

        def weigh(points, present):
            squared = ((place[:, None] - points) ** 2).sum(-1)  # [K, P, J]
            shared = known[:, None] & present
            here = (1 - OUTLIER) * _normal(squared, variance[:, None])
            here += leaping[:, None] * _normal(squared, (variance + leap)[:, None])
            evidence = np.log(here * FLOOR * size[:, None] ** 2 + OUTLIER) * shared
            return evidence.sum(-1) * (shared.sum(-1) >= LEAST_JOINTS)

        straight = weigh(points, present)
        mirrored = weigh(points[:, self._flip], present[:, self._flip]) + np.log(SWAPPED)
        evidence = np.maximum(straight, mirrored)
        tracks, found = linear_sum_assignment(np.maximum(evidence, 0), maximize=True)
        likely = evidence[tracks, found] > 0
        tracks, found = tracks[likely], found[likely]
        return tracks, found, (mirrored > straight)[tracks, found]

    def _predict(self, time):
        """Where the joints are by now [K, J, 2], the variance of that [K, J] px^2, which of them
        are known [K, J], and the people's size [K, 1] px."""
        of = self._people
        age = time - of["seen"]
        known = age <= self._memory
        age = np.where(known, age, 0.0)
        body = of["body"][:, None]
        place = of["position"] + body * _glide(age, BODY_GLIDE)
        place += (of["velocity"] - body) * _glide(age, LIMB_GLIDE)
        size = np.sqrt(person_area(np.concatenate([place, known[..., None]], -1)))[:, None]
        speed = np.linalg.norm(body, axis=-1) / size
        drift = DRIFT + DRIFT_SHARE * np.minimum(speed, TOP_SPEED)
        deviation = REACH * np.tanh(drift * age / REACH)
        return place, size**2 * (self._sigmas**2 + deviation**2), known, size

    def _advance(self, tracks, points, present, time):
        """Takes over what was found of people known."""
        old = {name: value[tracks] for name, value in self._people.items()}
        age = time - old["seen"]
        fresh = (present & (age <= self._memory))[..., None]
        measured = (points - old["position"]) / np.where(fresh, age[..., None], 1.0)
        body = old["body"].copy()
        for k in np.flatnonzero(fresh.any((1, 2))):
            change = np.median(measured[k, fresh[k, :, 0]], 0) - body[k]
            body[k] += change * _share(time - old["last"][k], BODY_MEMORY)
        velocity = old["velocity"]
        velocity = velocity + (measured - velocity) * _share(age, LIMB_MEMORY)[..., None]
        velocity = np.where(fresh, velocity, body[:, None])
        found = present[..., None]
        new = {
            "last": time,
            "body": body,
            "position": np.where(found, points, old["position"]),
            "velocity": np.where(found, velocity, old["velocity"]),
            "seen": np.where(present, time, old["seen"]),
        }
        for name, value in new.items():
            self._people[name][tracks] = value

    def _begin(self, ids, points, present, time):
        """Adds people who are new."""
        times, still = np.full(len(ids), float(time)), np.zeros_like(points)
        new = {
            "id": ids,
            "first": times,
            "last": times,
            "body": still[:, 0],
            "position": points,
            "velocity": still,
            "seen": np.where(present, time, -np.inf),
        }
        self._people = {
            name: np.concatenate([value, new[name]]) for name, value in self._people.items()
        }
        self._next += len(ids)


def link_people(
    frames: Sequence[Float[np.ndarray, "_ J 3"]],
    times: Sequence[float] | np.ndarray,
    skeleton: Skeleton,
    cuts: Collection[int] = (),
    memory: float = 1.5,
    least: int = 3,
) -> list[Int[np.ndarray, " _"]]:
    """The numbers of the people of each frame of a clip, from 0 in the order they appear in.

    Args:
      frames: the people (x, y, score) found in each frame; a joint not found has score 0.
      times: of the frames, in seconds.
      skeleton: of the people.
      cuts: indices of the frames that begin a new shot, in which everyone is new.
      memory: see `Tracker`.
      least: who is found in fewer frames than this is most likely nobody, and UNKNOWN; in a clip of
        fewer frames, who is not in all of them.

    Raises:
      UserError: a time is not later than the one before.
    """
    tracker, cuts = Tracker(skeleton, memory), set(cuts)
    ids = [
        tracker.update(people, time, cut=i in cuts)
        for i, (people, time) in enumerate(zip(frames, times, strict=True))
    ]
    found = np.concatenate([np.zeros(0, int), *ids])
    numbers, first, counts = np.unique(found[found >= 0], return_index=True, return_counts=True)
    kept = np.flatnonzero(counts >= min(least, len(ids)))
    new = np.full(numbers.max(initial=-1) + 2, UNKNOWN)  # the last entry is UNKNOWN's
    new[numbers[kept[np.argsort(first[kept])]]] = np.arange(len(kept))
    return [new[of_frame] for of_frame in ids]


def check_times(times: Sequence[float] | np.ndarray) -> Float[np.ndarray, " T"]:
    """The times as an array.

    Raises:
      UserError: one is not later than the one before.
    """
    times = np.asarray(times, float)
    for i in np.flatnonzero(~(np.diff(times) > 0)):
        raise UserError(
            f"a frame at {times[i + 1]:g} s follows one at {times[i]:g} s; expected times that rise"
        )
    return times


def _normal(squared, variance):
    """The density of a normal distribution in the plane at a squared distance."""
    return np.exp(-squared / (2 * variance)) / (2 * np.pi * variance)


def _glide(age, duration):
    """[..., 1] for how many seconds' worth of its first velocity a motion goes on that dies away
    over `duration`."""
    return (duration * -np.expm1(-age / duration))[..., None]


def _share(age, memory):
    """The weight of what was measured over the last `age` seconds in an average over `memory`."""
    return -np.expm1(-age / memory)
