"""Percentage of correct keypoints: which joints are found, of which people.

Figures are sums to add up over images, and then ratios.
"""

import numpy as np
from jaxtyping import Bool, Float, Num

from danceflax.pose.metrics import TORSO_RATIO, match_people, oks, person_area
from danceflax.skeleton import Skeleton, convert_joints

THRESHOLD = 0.2  # torso lengths within which a joint is correct


def joint_errors(
    people_true: Float[np.ndarray, "P J 3"],
    people_pred: Float[np.ndarray, "Q J 3"],
    skeleton: Skeleton,
) -> tuple[Float[np.ndarray, "P J"], Bool[np.ndarray, "P J"]]:
    """How far one image's joints are found from where they are.

    The torso, the unit, runs from the neck to the middle of the hips (the shoulders' middle where a
    skeleton has no neck); where one of them is absent it is taken as TORSO_RATIO times the square
    root of the person's area. Predictions are matched to people by OKS, the best pair first, each
    used once.

    Args:
      people_true: (x, y, visibility); absent joints do not count.
      people_pred: (x, y, confidence), confidence 0 is a joint not found.

    Returns:
      Distances in torso lengths, infinite for joints not found, of people without a match and where
      nothing is labelled; and which joints are labelled.
    """
    shape = (-1, skeleton.num_joints, 3)
    true = np.asarray(people_true, float).reshape(shape)
    pred = np.asarray(people_pred, float).reshape(shape)
    labelled = true[..., 2] > 0
    errors = np.full(labelled.shape, np.inf)
    torso = torso_length(true, skeleton)
    for i, k in match_people(oks(true, pred, skeleton.sigmas)):
        distance = np.linalg.norm(true[i, :, :2] - pred[k, :, :2], axis=-1)
        found = labelled[i] & (pred[k, :, 2] > 0)
        errors[i, found] = distance[found] / torso[i]
    return errors, labelled


def pck_metrics(
    correct: Num[np.ndarray, " J"], count: Num[np.ndarray, " J"], skeleton: Skeleton
) -> dict[str, float]:
    """{PCK, PCK/joint...} of the sums over all images; joints never labelled are left out."""
    metrics = {"PCK": float(np.sum(correct) / max(np.sum(count), 1))}
    for name, right, total in zip(skeleton.joints, correct, count, strict=True):
        if total:
            metrics[f"PCK/{name}"] = float(right / total)
    return metrics


def torso_length(people: Float[np.ndarray, "P J 3"], skeleton: Skeleton) -> Float[np.ndarray, " P"]:
    """Pixels from the neck to the middle of the hips, see `joint_errors`."""
    ends, _ = convert_joints(people, skeleton.joints, ("neck", "mid_hip"))
    length = np.linalg.norm(ends[:, 0, :2] - ends[:, 1, :2], axis=-1)
    known = (ends[..., 2] > 0).all(1) & (length > 0)
    return np.where(known, length, TORSO_RATIO * np.sqrt(person_area(people)))
