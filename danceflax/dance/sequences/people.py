"""The people of clips, followed from frame to frame: what sequence networks are trained on."""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from danceflax.dance.sequences.body import HIPS, SHOULDERS
from danceflax.data.frames import find_keypoints
from danceflax.data.keypoint_files import UNKNOWN, read_numbered
from danceflax.errors import BadSampleError, UserError
from danceflax.pose.track import link_people
from danceflax.skeleton import Skeleton, convert_joints


class PeopleSource:
    """A source of clips whose records also hold

        people  float32 [N, P, J, 3], (x, y, visibility) in pixels: person p is the same throughout;
                who is seen most, and largest, comes first
        times   float64 [N], of the frames, in seconds

    The files of a clip are read once; after that it stays in memory (3 MB a minute and person).
    """

    def __init__(self, source: Any, skeleton: Skeleton):
        self._source, self.skeleton = source, skeleton
        self._kept, self._locks = {}, [threading.Lock() for _ in range(len(source))]

    def __len__(self) -> int:
        return len(self._source)

    def __repr__(self) -> str:
        return repr(self._source)

    def __getattr__(self, name):
        return getattr(self._source, name)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Record `index`. Raises BadSampleError: nobody is in it, or a file is at fault."""
        with self._locks[index]:
            if index not in self._kept:
                record = self._source[index]
                self._kept[index] = record | read_people(record, self.skeleton)
            return self._kept[index]


def read_people(record: Mapping[str, Any], skeleton: Skeleton) -> dict[str, np.ndarray]:
    """{"people", "times"} of a record of clips, as `PeopleSource` says.

    Raises:
      BadSampleError: a keypoint file cannot be read, has not the joints that are needed, or nobody
        is in the clip; or the frames' numbers do not rise.
    """
    where, numbers = record["where"], np.asarray(record["numbers"])
    if (np.diff(numbers) <= 0).any():
        at = int(np.argmax(np.diff(numbers) <= 0))
        raise BadSampleError(
            f"{where}: frame {numbers[at + 1]} follows frame {numbers[at]}; expected frames in the "
            "order of time"
        )
    folder = record["folders"]["keypoints"]
    files = (find_keypoints(folder, f"{file}.jpg") for file in record["files"])
    frames, ids = zip(*(read_file(path, skeleton) for path in files), strict=True)
    times = numbers / record["fps"]
    people = gather_people(frames, ids, times, skeleton)
    if not people.shape[1]:
        raise BadSampleError(
            f"{where}: nobody is on any of its {len(frames)} frames; leave the clip out"
        )
    return {"people": people, "times": times}


def read_file(
    path: str | os.PathLike, skeleton: Skeleton
) -> tuple[Float[np.ndarray, "P J 3"], Int[np.ndarray, " P"]]:
    """(people who have a joint, their numbers or UNKNOWN) of one frame; nobody without a file.

    Raises:
      BadSampleError: the file cannot be read, or has not the joints that are needed.
    """
    if not os.path.exists(path):
        return np.zeros((0, skeleton.num_joints, 3), np.float32), np.zeros(0, int)
    people, joints, ids = read_numbered(path)
    people = _map_joints(people, joints, skeleton, path)
    seen = _are_seen(people)
    return people[seen], ids[seen]


def map_people(
    people: Float[np.ndarray, "Q K 3"], joints: Sequence[str], skeleton: Skeleton, where: object
) -> Float[np.ndarray, "P J 3"]:
    """People as a skeleton has them, joints found by their names; without those who have none.

    Raises:
      BadSampleError: hips or shoulders are no joints of theirs, so that nothing can be scaled.
    """
    people = _map_joints(people, joints, skeleton, where)
    return people[_are_seen(people)]


def _map_joints(people, joints, skeleton, where) -> Float[np.ndarray, "P J 3"]:
    people, labelled = convert_joints(people, joints, skeleton.joints)
    lacking = [n for n in (*HIPS, *SHOULDERS) if not labelled[skeleton.joints.index(n)]]
    if lacking and len(people):
        raise BadSampleError(
            f"{where}: its joints ({', '.join(joints)}) give no {', '.join(lacking)} of "
            f"{skeleton.name}, which the network was trained on; use keypoints that have them"
        )
    return people


def _are_seen(people: Float[np.ndarray, "P J 3"]) -> Bool[np.ndarray, " P"]:
    return (people[..., 2] > 0).any(1)


def _number_everybody(ids: Int[np.ndarray, " P"]) -> bool:
    return UNKNOWN not in ids and len(np.unique(ids)) == len(ids)


def _from_zero(ids: Sequence[Int[np.ndarray, " _"]]) -> list[Int[np.ndarray, " _"]]:
    """The same ids, counted from 0 without gaps."""
    known = np.unique(np.concatenate([np.zeros(0, int), *ids]))
    return [np.searchsorted(known, of_frame) for of_frame in ids]


def gather_people(
    frames: Sequence[Float[np.ndarray, "_ J 3"]],
    ids: Sequence[Int[np.ndarray, " _"]],
    times: Float[np.ndarray, " N"],
    skeleton: Skeleton,
) -> Float[np.ndarray, "N P J 3"]:
    """The same people in the same place of every frame; those seen most, and largest, first.

    People are who their ids say, where these number everybody; else they are followed here.

    Raises:
      BadSampleError: a time is not later than the one before.
    """
    if all(map(_number_everybody, ids)):
        ids = _from_zero(ids)
    else:
        try:
            ids = link_people(frames, times.tolist(), skeleton)
        except UserError as error:
            raise BadSampleError(str(error)) from None
    count = max((int(of_frame.max(initial=-1)) + 1 for of_frame in ids), default=0)
    people = np.zeros((len(frames), count, skeleton.num_joints, 3), np.float32)
    for i, (found, of_frame) in enumerate(zip(frames, ids, strict=True)):
        known = of_frame >= 0
        people[i, of_frame[known]] = found[known]
    return people[:, np.argsort(-prominence(people), kind="stable")]


def prominence(people: Float[np.ndarray, "N P J 3"]) -> Float[np.ndarray, " P"]:
    """How much of each person is seen: over all frames, seen joints times the height, pixels."""
    seen = people[..., 2] > 0
    y = people[..., 1]
    height = np.where(seen, y, -np.inf).max(2) - np.where(seen, y, np.inf).min(2)
    return (np.where(seen.any(2), height, 0.0) * seen.sum(2)).sum(0)


def resample(
    people: Float[np.ndarray, "N P J 3"],
    times: Float[np.ndarray, " N"],
    wanted: Float[np.ndarray, " T"],
    longest_gap: float,
) -> Float[np.ndarray, "T P J 3"]:
    """People at the wanted times, each joint on the line from where it was seen before to where it
    is seen next; unseen where these are more than `longest_gap` seconds apart, and out of the clip.
    """
    count = len(times)
    index = np.arange(count).reshape(-1, 1, 1)
    seen = people[..., 2] > 0
    before = np.maximum.accumulate(np.where(seen, index, -1))
    after = np.minimum.accumulate(np.where(seen, index, count)[::-1])[::-1]
    last = np.clip(np.searchsorted(times, wanted, side="right") - 1, 0, count - 1)
    following = np.clip(np.searchsorted(times, wanted), 0, count - 1)
    first, second = before[last], after[following]
    known = (first >= 0) & (second < count)
    first, second = np.clip(first, 0, None), np.clip(second, None, count - 1)
    span = times[second] - times[first]
    known &= (span <= longest_gap) & _within(times, wanted)[:, None, None]
    share = (wanted[:, None, None] - times[first]) / np.where(span > 0, span, 1.0)
    share = np.clip(share, 0.0, 1.0)[..., None]
    places = people[..., :2]
    pick = lambda i: np.take_along_axis(places, i[..., None], 0)  # noqa: E731
    xy = (1 - share) * pick(first) + share * pick(second)
    return np.concatenate([xy * known[..., None], 2.0 * known[..., None]], -1, dtype=np.float32)


def _within(times, wanted) -> Bool[np.ndarray, " T"]:
    """Which of the wanted times lie in the clip, up to half a frame beyond its ends."""
    margin = np.median(np.diff(times)) / 2 if len(times) > 1 else 0.0
    return (wanted >= times[0] - margin) & (wanted <= times[-1] + margin)
