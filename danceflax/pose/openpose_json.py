"""People as OpenPose writes them: one JSON file a frame, format version 1.3.

The layout, the order of keys and the numbers' format (6 significant digits) are those of OpenPose's
`--write_json`, so that tools made for it read these files.
"""

import json
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from danceflax.errors import UserError
from danceflax.io.files import write_text
from danceflax.people import UNKNOWN

# What else OpenPose lists for each person; empty without its face, hand and 3-D parts.
EMPTY_PARTS = (
    "face_keypoints_2d",
    "hand_left_keypoints_2d",
    "hand_right_keypoints_2d",
    "pose_keypoints_3d",
    "face_keypoints_3d",
    "hand_left_keypoints_3d",
    "hand_right_keypoints_3d",
)


def format_people(
    people: Float[np.ndarray, "P J 3"],
    person_ids: Sequence[int] | Int[np.ndarray, " P"] | None = None,
) -> str:
    """The text of an OpenPose 1.3 file.

    Args:
      people: (x, y, confidence) in pixels; a joint not found is written 0, 0, 0.
      person_ids: they follow people through a video; -1, OpenPose's "unknown", if None.
    """
    people = np.asarray(people, float)
    people = people.reshape(-1, *people.shape[-2:]) if people.size else np.zeros((0, 0, 3))
    people = np.where(people[..., 2:] > 0, people, 0.0)
    ids = [UNKNOWN] * len(people) if person_ids is None else person_ids
    empty = "".join(f',"{name}":[]' for name in EMPTY_PARTS)
    entries = [
        f'{{"person_id":[{int(number)}],"pose_keypoints_2d":'
        f"[{','.join(format(value, '.6g') for value in person.ravel())}]{empty}}}"
        for number, person in zip(ids, people, strict=True)
    ]
    return f'{{"version":1.3,"people":[{",".join(entries)}]}}'


def write_people(
    path: str | os.PathLike,
    people: Float[np.ndarray, "P J 3"],
    person_ids: Sequence[int] | Int[np.ndarray, " P"] | None = None,
) -> None:
    """Writes the file whole or not at all; see `format_people`."""
    write_text(path, format_people(people, person_ids))


def read_people(
    path: str | os.PathLike,
) -> tuple[Float[np.ndarray, "P J 3"], Int[np.ndarray, " P"]]:
    """The people, float32 (x, y, confidence), and their ids of an OpenPose file.

    Without people the array is [0, 0, 3]: such a file does not say how many joints it would have.
    Files before version 1.3 have no ids; they are -1.

    Raises:
      UserError: the file cannot be read, is not OpenPose's, or its keypoints are not triples.
    """
    try:
        entries = json.loads(pathlib.Path(path).read_text())["people"]
        people = np.array([entry["pose_keypoints_2d"] for entry in entries], np.float32)
        ids = [int(np.ravel(entry.get("person_id", UNKNOWN))[0]) for entry in entries]
        people = people.reshape(len(entries), people.size // (3 * max(len(entries), 1)), 3)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(
            f"{path}: not an OpenPose JSON file with people[].pose_keypoints_2d ({error!r})"
        ) from None
    if not np.isfinite(people).all():
        raise UserError(f"{path}: pose_keypoints_2d holds a number that is not finite")
    return people, np.array(ids, int)
