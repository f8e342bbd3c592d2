"""A frame's keypoint file, changed in place: what nobody changes stays as it is written.

OpenPose's, COCO's and Let's Dance's JSON; `keypoint_files` says what they look like.
"""

import json
import os
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from danceflax.data.keypoint_files import (
    OPENPOSE_KEYPOINTS,
    OPENPOSE_PEOPLE,
    SEEN,
    is_cpm_person,
    read_numbered,
)
from danceflax.errors import BadSampleError
from danceflax.people import UNKNOWN
from danceflax.skeleton import ABSENT, OCCLUDED, VISIBLE

SAME = 0.05  # pixels: closer than this, nobody has moved a joint; tools round to 0.01


class KeypointFile:
    """The people of a frame; `change`, `remove` and `add` change them, `text` is the new file.

    Attributes:
      people: (x, y, visibility) as `keypoint_files.read_keypoints` gives them.
      joints: names of their joints.
      ids: int [P], the people's numbers, or UNKNOWN.
    """

    def __init__(self, path: str | os.PathLike, data: Any, entries: list):
        self.people, self.joints, self.ids = read_numbered(path)
        self._data, self._entries = data, entries

    def scores(self) -> Float[np.ndarray, "P n"] | None:
        """Each joint's confidence, 0 where it was not found; None in formats without."""
        return None

    def change(
        self, person: int, points: Float[np.ndarray, "n 3"], changed: Bool[np.ndarray, " n"]
    ) -> None:
        """Gives a person those points (x, y, visibility) that are changed."""
        self._put(self._entries[person], points, changed)

    def remove(self, persons: list[int]) -> None:
        """Takes people out."""
        for person in sorted(persons, reverse=True):
            del self._entries[person]

    def add(self, points: Float[np.ndarray, "n 3"], number: int = UNKNOWN) -> None:
        """Adds a person of that number."""
        entry = self._make(number)
        self._put(entry, points, points[:, 2] > ABSENT)
        self._entries.append(entry)

    def text(self) -> str:
        """What the file now holds."""
        return json.dumps(self._data, separators=(",", ":"), ensure_ascii=False)


class _OpenPose(KeypointFile):
    """{"person_id": [n], "pose_keypoints_2d": [x, y, confidence, ...], ...}. A joint that a person
    has placed is sure: confidence 1."""

    def scores(self):
        values = [entry[_key(entry)] for entry in self._entries]
        return np.array(values, float).reshape(len(values), len(self.joints), 3)[..., 2]

    def _put(self, entry, points, changed):
        values = entry[_key(entry)]
        seen = entry.pop(SEEN, None) or [VISIBLE * (score > 0) for score in values[2::3]]
        for j in np.flatnonzero(changed).tolist():
            x, y, score = values[3 * j : 3 * j + 3]
            moved = score <= 0 or np.hypot(*(points[j, :2] - (x, y))) > SAME
            seen[j] = int(points[j, 2])
            if not seen[j]:
                values[3 * j : 3 * j + 3] = 0, 0, 0
            elif moved:
                values[3 * j : 3 * j + 3] = _number(points[j, 0]), _number(points[j, 1]), 1
        if OCCLUDED in seen:
            entry[SEEN] = seen

    def _make(self, number):
        like = self._entries[0] if self._entries else {OPENPOSE_KEYPOINTS[0]: []}
        entry = {"person_id": [int(number)]} | {
            key: [] for key in like if key not in ("person_id", SEEN)
        }
        return entry | {_key(like): [0, 0, 0] * len(self.joints)}


class _Coco(KeypointFile):
    """{"keypoints": [x, y, v, ...], ...}; a result's scores become visibilities when its person is
    changed, for they are one number."""

    def _put(self, entry, points, changed):
        values = entry["keypoints"]
        if not set(values[2::3]) <= {0, 1, 2}:
            values[2::3] = [VISIBLE * (score > 0) for score in values[2::3]]
        for j in np.flatnonzero(changed).tolist():
            values[3 * j : 3 * j + 3] = (
                _number(points[j, 0]),
                _number(points[j, 1]),
                int(points[j, 2]),
            )
        if "num_keypoints" in entry:
            entry["num_keypoints"] = sum(v > 0 for v in values[2::3])

    def _make(self, number):
        like = self._entries[0] if self._entries else {}
        shared = {key: like[key] for key in ("image_id", "category_id") if key in like}
        return shared | {"keypoints": [0, 0, 0] * len(self.joints)}


class _LetsDance(KeypointFile):
    """[header, [name, [x, y]], ...]: nothing of occlusion; what is absent is left out."""

    def _put(self, entry, points, changed):
        place = {pair[0]: k for k, pair in enumerate(entry[1:], 1)}
        for j in np.flatnonzero(changed).tolist():
            name, pair = self.joints[j], [self.joints[j], [_number(v) for v in points[j, :2]]]
            if points[j, 2] <= ABSENT:
                entry[place[name]] = None
            elif name in place:
                entry[place[name]] = pair
            else:
                entry.append(pair)
        entry[1:] = [pair for pair in entry[1:] if pair is not None]

    def _make(self, number):
        return [["person"]]


def open_keypoints(path: str | os.PathLike) -> KeypointFile:
    """A keypoint file, to be changed.

    Raises:
      BadSampleError: as `read_keypoints`; or it is text of 2018, which is not written.
    """
    read_numbered(path)  # says what is wrong with it
    with open(path, encoding="utf-8-sig") as file:
        text = file.read()
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if isinstance(data, dict):
        key = next(key for key in (*OPENPOSE_PEOPLE, "annotations") if key in data)
        kind = _Coco if key == "annotations" else _OpenPose
        return kind(path, data, data[key])
    if isinstance(data, list) and (not data or isinstance(data[0], dict)):
        return _Coco(path, data, data) if data else _LetsDance(path, data, data)
    if isinstance(data, list) and not is_cpm_person(data):
        return _LetsDance(path, data, data)
    raise BadSampleError(
        f"{path}: the text format of 2018 cannot be corrected here; write OpenPose's JSON instead"
    )


def nobody(path: str | os.PathLike, joints: tuple[str, ...]) -> KeypointFile:
    """An OpenPose file for people of those joints, in place of one that shows nobody."""
    data = {"version": 1.3, "people": []}
    file = _OpenPose(path, data, data["people"])
    file.joints = joints
    return file


def _key(entry):
    return next(key for key in OPENPOSE_KEYPOINTS if key in entry)


def _number(value):
    """As OpenPose writes it: six digits, and no point behind which there is nothing."""
    value = float(format(float(value), ".6g"))
    return int(value) if value.is_integer() else value
