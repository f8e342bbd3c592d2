"""People followed over time: the same person has the same number in every frame.

Each person known so far is moved on to the time of the new frame, as a whole by the body's velocity
and joint by joint by what the limbs do besides, and compared with everyone found there. The measure
is OKS's, a normal distribution about each joint, taken as the likelihood that it is: it widens with
the time since the joint was seen, so that whoever was lost for long fits less well in the right
measure; each joint may be an outlier; and it is weighed against a person who was not there before.
The best one-to-one assignment is scipy's. Greater trackers (of boxes, by appearance) add nothing to
keypoints; nothing here sees pixels, and after a camera cut (`io.cuts`) the caller says so.

Lengths are measured in the person's size (the square root of the area that OKS divides by) and time
in seconds, so that neither the resolution nor the frame rate matters.
"""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from danceflax.errors import UserError
from danceflax.pose.metrics import person_area

UNKNOWN = -1  # the number of people who are not followed, as in OpenPose's JSON

# A joint is found within this many of its OKS sigmas, or is an outlier with this probability. A new
# person may be anywhere on so many times the area of one.
PRECISION, OUTLIER, FLOOR = 0.6, 0.1, 100.0
# How fast a joint's place grows uncertain, in sizes a second, until it may be a size away; and of a
# person seen once, whose velocity is not known.
DRIFT, FIRST_DRIFT, REACH = 0.8, 2.0, 1.0
# How motion goes on unseen: the body keeps its velocity for about so many seconds, the limbs theirs.
BODY_GLIDE, LIMB_GLIDE = 1.0, 0.15
# Seconds over which the velocities of the body and of a limb are averaged.
BODY_MEMORY, LIMB_MEMORY = 0.15, 0.08
# A match needs this many joints in common.
LEAST_JOINTS = 2
# Nobody is forgotten sooner than after so many seconds; between that and the tracker's memory, after
# as long as they were seen for: what appears for a moment is mostly no person.
SHORTEST_MEMORY = 0.4


class Tracker:
    """Numbers the people of one frame after the other; keeps only those it still waits for.

        tracker = Tracker(skeleton)
        ids = tracker.update(people, time)

    Args:
      skeleton: of the people.
      memory: seconds after which a person not seen is forgotten; who comes back later is new.
    """

    def __init__(self, skeleton, memory: float = 1.5):
        self._sigmas = PRECISION * np.asarray(skeleton.sigmas)
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

        A joint not found has score 0; a person without any is UNKNOWN. After a `cut` of the camera
        everyone is new.

        Raises:
          UserError: the time is not later than the last one.
        """
        if not time > self._time:
            raise UserError(
                f"a frame at {time:g} s follows one at {self._time:g} s; expected times that rise"
            )
        self._time = time
        people = np.asarray(people, float).reshape(-1, len(self._sigmas), 3)
        points, present = people[..., :2], people[..., 2] > 0
        self._forget(time, everyone=cut)
        tracks, found = self._match(points, present, time)
        self._advance(tracks, points[found], present[found], time)
        ids = np.full(len(people), UNKNOWN)
        ids[found] = self._people["id"][tracks]
        new = np.flatnonzero((ids == UNKNOWN) & present.any(1))
        ids[new] = self._next + np.arange(len(new))
        self._begin(ids[new], points[new], present[new], time)
        return ids

    def _forget(self, time, everyone):
        first, last = self._people["first"], self._people["last"]
        patience = np.clip(last - first, SHORTEST_MEMORY, self._memory)
        keep = (time - last <= patience) & (not everyone)
        self._people = {name: value[keep] for name, value in self._people.items()}

    def _match(self, points, present, time):
        """Indices of the people known and of the people found that belong together."""
        place, deviation, known = self._predict(time)
        size = np.sqrt(person_area(np.concatenate([place, known[..., None]], -1)))[:, None]
        variance = size**2 * (self._sigmas**2 + deviation**2)
        squared = ((place[:, None] - points) ** 2).sum(-1)  # [K, P, J]
        here = np.exp(-squared / (2 * variance[:, None])) / (2 * np.pi * variance[:, None])
        anywhere = 1 / (FLOOR * size[:, None] ** 2)
        shared = known[:, None] & present
        evidence = np.log((1 - OUTLIER) * here / anywhere + OUTLIER) * shared
        evidence = evidence.sum(-1) * (shared.sum(-1) >= LEAST_JOINTS)
        tracks, found = linear_sum_assignment(np.maximum(evidence, 0), maximize=True)
        likely = evidence[tracks, found] > 0
        return tracks[likely], found[likely]

    def _predict(self, time):
        """Where the joints are by now [K, J, 2] px, the deviation of that in sizes [K, J], and
        which of them are known."""
        of = self._people
        age = time - of["seen"]
        known = age <= self._memory
        age = np.where(known, age, 0.0)
        body = of["body"][:, None]
        place = of["position"] + body * _glide(age, BODY_GLIDE)
        place += (of["velocity"] - body) * _glide(age, LIMB_GLIDE)
        drift = np.where(of["last"] > of["first"], DRIFT, FIRST_DRIFT)[:, None]
        return place, REACH * np.tanh(drift * age / REACH), known

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
    times: Sequence[float],
    skeleton,
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


def _glide(age, duration):
    """[..., 1] for how many seconds' worth of its first velocity a motion goes on that dies away
    over `duration`."""
    return (duration * -np.expm1(-age / duration))[..., None]


def _share(age, memory):
    """The weight of what was measured over the last `age` seconds in an average over `memory`."""
    return -np.expm1(-age / memory)
