"""People as arrays [..., J, 3]: (x, y, visibility or score) in pixels, pixel centres at integers.

An absent joint is (0, 0, 0), and stays so whatever is done to the others.
"""

import numpy as np
from jaxtyping import Float

from danceflax.skeleton import ABSENT

UNKNOWN = -1  # the number of people who are not followed over time, as in OpenPose's JSON


def transform_people(
    people: Float[np.ndarray, "*people J 3"], affine: Float[np.ndarray, "2 3"]
) -> Float[np.ndarray, "*people J 3"]:
    """People with (x, y) mapped by an affine map of pixels."""
    affine = np.asarray(affine)
    people = np.asarray(people, np.float32)
    xy = people[..., :2] @ affine[:2, :2].T + affine[:2, 2]
    mapped = np.concatenate([xy, people[..., 2:]], -1, dtype=np.float32)
    return np.where(people[..., 2:] != ABSENT, mapped, np.float32(0))


def resize_affine(old: tuple[float, float], new: tuple[float, float]) -> Float[np.ndarray, "2 3"]:
    """The map of pixels of a picture resized from (width, height) old to new: edges, not the
    centres of pixels, coincide."""
    factors = np.array(new, float) / np.array(old, float)
    return np.column_stack([np.diag(factors), (factors - 1) / 2])


def keypoint_boxes(people: Float[np.ndarray, "P J 3"]) -> Float[np.ndarray, "P 4"]:
    """(x, y, width, height) around each person's present joints; zeros where there is none."""
    people = np.asarray(people)
    present = people[..., 2:] > 0
    low = np.where(present, people[..., :2], np.inf).min(1, initial=np.inf)
    high = np.where(present, people[..., :2], -np.inf).max(1, initial=-np.inf)
    boxes = np.concatenate([low, high - low], -1)
    return np.where(np.isfinite(boxes).all(-1, keepdims=True), boxes, 0.0)
