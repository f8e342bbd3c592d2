"""Every keypoint file format to one shape: people [P, n, 3] and the names of their n joints.

  Let's Dance     JSON, a list of persons; a person is a header, then [name, [x, y]] pairs
  OpenPose        JSON 0.1 to 1.3, BODY_25 (75 numbers a person) or COCO-18 (54)
  COCO            JSON, a list of {"keypoints": [51 numbers]}: annotations or results of one image
  Let's Dance'18  text, one JSON array a line: a header, then 14 [name, x, y]

The content tells the format, not the name. `skeleton.convert_joints` does the rest.
"""

import json
import os

import numpy as np
from jaxtyping import Float, Int

from danceflax.errors import BadSampleError
from danceflax.io.files import read_bytes
from danceflax.people import UNKNOWN
from danceflax.skeleton import (
    ABSENT,
    BODY25,
    COCO17_JOINTS,
    COCO18,
    OCCLUDED,
    UNLABELLED,
    VISIBLE,
)

# The 2018 format's 14 parts (convolutional pose machines); no skeleton here has a "head".
CPM14_JOINTS = (
    "head neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle"
).split()

MAX_BYTES = 8_000_000  # of a frame's file; a hundred people take some 200,000
MAX_COORDINATE = 100_000  # pixels; no picture is so large, and float32 still knows halves of them

# OpenPose: number of values a person -> joint names.
_OPENPOSE_JOINTS = {75: BODY25.joints, 54: COCO18.joints}
# What the versions of OpenPose's JSON call the people and a person's numbers.
# Coordinates scaled to 0..1 or -1..1 go a little beyond: nobody fits into so few pixels.
MAX_SCALED = 2.0
OPENPOSE_PEOPLE = ("people", "bodies")
OPENPOSE_KEYPOINTS = ("pose_keypoints_2d", "pose_keypoints", "joints")
# Not OpenPose's own: 0 to 2 a joint, where a person has said which are occluded.
SEEN = "visibility"


def read_keypoints(
    path: str | os.PathLike, where: str | os.PathLike | None = None, min_confidence: float = 0.0
) -> tuple[Float[np.ndarray, "P n 3"], tuple[str, ...]]:
    """Reads the people of one frame.

    Args:
      path: a keypoint file of one of the formats above.
      where: what error messages call it; the path by default.
      min_confidence: joints that a file's tool is less sure of, or has not found, are UNLABELLED;
        0 takes all that it found. Formats without confidences do not change.

    Returns:
      people: (x, y, visibility) in pixels of the frame; P may be 0.
      joints: the n joint names.

    Raises:
      BadSampleError: the file is missing, too large, of another tool, has a wrong number of joints,
        or coordinates that no picture has.
    """
    where = where or path
    return parse_keypoints(_read_text(path, where), where, min_confidence)


def _read_text(path, where):
    try:
        return read_bytes(path, MAX_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise BadSampleError(f"{where}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BadSampleError(f"{where}: not a text file; expected keypoints as JSON") from None


def parse_keypoints(
    text: str, where: str | os.PathLike, min_confidence: float = 0.0
) -> tuple[Float[np.ndarray, "P n 3"], tuple[str, ...]]:
    """`read_keypoints` of a file's text; `where` is what error messages call it."""
    return _parse(text, where, min_confidence)[:2]


def read_numbered(
    path: str | os.PathLike, where: str | os.PathLike | None = None
) -> tuple[Float[np.ndarray, "P n 3"], tuple[str, ...], Int[np.ndarray, " P"]]:
    """As `read_keypoints`, and int [P]: the number that each person has in all frames of a clip, or
    UNKNOWN. Only OpenPose's files have numbers."""
    where = where or path
    return _parse(_read_text(path, where), where, 0.0)


def _parse(text, where, min_confidence):
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what no float32 holds is refused below
            people, joints, *ids = _read(text, min_confidence)
            people = np.asarray(people, np.float32).reshape(-1, len(joints), 3)
        ids = np.array(ids[0] if ids else [UNKNOWN] * len(people), int)
    except BadSampleError as error:
        raise BadSampleError(f"{where}: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        raise BadSampleError(
            f"{where}: JSON of another tool; expected Let's Dance, OpenPose or COCO keypoints"
        ) from None
    if not np.isfinite(people).all():
        person = int(np.argwhere(~np.isfinite(people))[0][0])
        raise BadSampleError(f"{where}: person {person} has a coordinate that is not a number")
    if (far := np.abs(people[..., :2]).max(-1) > MAX_COORDINATE).any():
        person, joint = np.argwhere(far)[0]
        x, y, _ = people[person, joint]
        raise BadSampleError(
            f"{where}: person {person} has a {joints[joint]} at ({x:g}, {y:g}); expected pixels"
        )
    people[people[..., 2] == ABSENT] = 0
    return people, tuple(joints), ids


def _read(text, min_confidence):
    """Detects the format by its content and reads it: (people, joints), OpenPose's ids as well."""
    if not text.strip():
        raise BadSampleError("the file is empty; nobody is written as []")
    try:
        data = json.loads(text)
    except ValueError as error:
        try:
            return _read_cpm([json.loads(line) for line in text.strip().splitlines()])
        except json.JSONDecodeError:
            raise BadSampleError(f"not JSON ({error}); write it again") from None
    if isinstance(data, dict):
        for key in OPENPOSE_PEOPLE:
            if key in data:
                return _read_openpose(data[key], min_confidence)
        return _read_coco(data["annotations"], min_confidence)
    if data and isinstance(data[0], dict):
        return _read_coco(data, min_confidence)
    if is_cpm_person(data):
        return _read_cpm([data])
    return _read_letsdance(data)


def _read_letsdance(data):
    """[[header, [name, [x, y]], ...], ...]; no scores: a joint is visible, or left out."""
    people = []
    for p, person in enumerate(data):
        points = {name: (x, y, VISIBLE) for name, (x, y) in person[1:]}
        if len(person) != 1 + len(points) or not points or set(points) - set(COCO17_JOINTS):
            raise BadSampleError(
                f"person {p} has {len(person) - 1} joints ({', '.join(map(str, points))[:200]}); "
                "expected joints of COCO's 17, each at most once"
            )
        people.append([points.get(name, (0, 0, ABSENT)) for name in COCO17_JOINTS])
    return people, COCO17_JOINTS


def _read_openpose(entries, min_confidence):
    """[{"pose_keypoints_2d": [x, y, confidence, ...]}]; joints not found are 0, 0, 0."""
    people, ids = [], []
    for entry in entries:
        ids.append(int(np.ravel(entry.get("person_id", UNKNOWN))[0]))
        key = next((key for key in OPENPOSE_KEYPOINTS if key in entry), OPENPOSE_KEYPOINTS[0])
        people.append(entry[key])
    for p, person in enumerate(people):
        if len(person) not in _OPENPOSE_JOINTS or len(person) != len(people[0]):
            raise BadSampleError(
                f"person {p} has {len(person) / 3:g} joints; expected 25 (BODY_25) or 18 (COCO)"
            )
    joints = _OPENPOSE_JOINTS[len(people[0])] if people else BODY25.joints
    people = np.asarray(people, np.float32).reshape(-1, len(joints), 3)
    if people.any() and np.abs(people[..., :2]).max() <= MAX_SCALED:
        raise BadSampleError(
            f"all coordinates lie within {MAX_SCALED:g} of 0, as if scaled to 0..1 or -1..1; "
            "expected pixels (OpenPose's --keypoint_scale 0)"
        )
    people = _judge(people, True, min_confidence)
    for person, entry in zip(people, entries, strict=True):
        if SEEN in entry:
            hidden = (person[:, 2] == VISIBLE) & (np.asarray(entry[SEEN]) == OCCLUDED)
            person[hidden, 2] = OCCLUDED
    return people, joints, ids


def _read_coco(data, min_confidence):
    """[{"keypoints": [x, y, v, ...]}]; v is a visibility 0, 1, 2, or a result's score."""
    if len({str(entry.get("image_id")) for entry in data}) > 1:
        raise BadSampleError(
            "COCO entries of several images; a keypoint file holds one frame "
            '(a whole COCO set is read by config.data.source="coco")'
        )
    people = [entry["keypoints"] for entry in data]
    for p, person in enumerate(people):
        if len(person) != 3 * len(COCO17_JOINTS):
            raise BadSampleError(f"person {p} has {len(person) / 3:g} joints; expected 17 (COCO)")
    people = np.asarray(people, np.float32).reshape(-1, len(COCO17_JOINTS), 3)
    scored = ~np.isin(people[..., 2], (0, 1, 2)).all(1, keepdims=True)
    return _judge(people, scored, min_confidence), COCO17_JOINTS


def _judge(people, scored, min_confidence):
    """Confidences to visibilities, where `scored` says that the third number is one."""
    confidence = people[..., 2].copy()
    people[..., 2] = np.where(scored & (confidence > 0), VISIBLE, np.maximum(confidence, ABSENT))
    found = people[..., 2:] > 0
    doubtful = scored & (confidence < min_confidence) & found.any(1)
    middle = (people[..., :2] * found).sum(1) / np.maximum(found.sum(1), 1)
    guess = np.where(found, people[..., :2], middle[:, None])
    people[doubtful, :2], people[doubtful, 2] = guess[doubtful], UNLABELLED
    return people


def is_cpm_person(data: object) -> bool:
    """One line of the 2018 format: [header, [name, x, y], ...], not a list of such persons."""
    return (
        isinstance(data, list)
        and len(data) > 1
        and all(isinstance(item, list) and len(item) == 3 for item in data[1:])
        and all(not isinstance(item[1], list) for item in data[1:])
    )


def _read_cpm(persons):
    people = []
    for p, person in enumerate(persons):
        if len(person) != len(CPM14_JOINTS) + 1:
            raise BadSampleError(
                f"line {p + 1} has {len(person) - 1} joints; expected {len(CPM14_JOINTS)}"
            )
        people.append([(x, y, VISIBLE) for _, x, y in person[1:]])
    return people, CPM14_JOINTS
