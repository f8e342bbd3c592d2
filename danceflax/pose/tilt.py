"""How far bodies are tilted, and what is found of people of each tilt."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from danceflax.pose.metrics import run_pycocotools
from danceflax.pose.precision import Matches, collect_matches, weighted_precision
from danceflax.skeleton import Skeleton, convert_joints

# Degrees of the torso against upright, up to.
TILTS = {"upright": 30, "leaning": 60, "lying": 120, "inverted": 180}


def body_tilt(people: Float[np.ndarray, "P J 3"], skeleton: Skeleton) -> Float[np.ndarray, " P"]:
    """Degrees from 0, upright, to 180, upside down: the angle between the torso, from neck to
    hips, and the image's downward axis; NaN where an end of it is absent."""
    ends, _ = convert_joints(people, skeleton.joints, ("neck", "mid_hip"))
    x, y = (ends[:, 1, :2] - ends[:, 0, :2]).T
    return np.where((ends[..., 2] > 0).all(1), np.degrees(np.arctan2(np.abs(x), y)), np.nan)


def find_kinds(people: Float[np.ndarray, "P J 3"], skeleton: Skeleton) -> Int[np.ndarray, " P"]:
    """The place among TILTS of each person; where it is not known, the one behind the last."""
    return np.searchsorted(list(TILTS.values()), body_tilt(people, skeleton))


def sum_by_tilt(
    people_true: Float[np.ndarray, "P J 3"],
    correct: Bool[np.ndarray, "P J"],
    labelled: Bool[np.ndarray, "P J"],
    skeleton: Skeleton,
) -> Float[np.ndarray, "N 2"]:
    """Sums of joints (correct, labelled) of the people of each of TILTS."""
    kind = find_kinds(people_true, skeleton)
    sums = np.stack([correct.sum(1), labelled.sum(1)], -1).astype(float)
    return np.stack([sums[kind == k].sum(0) for k in range(len(TILTS))])


def tilt_metrics(sums: Float[np.ndarray, "N 2"]) -> dict[str, float]:
    """{PCK/tilt/upright...} of `sum_by_tilt` over all images; tilts nobody has are left out."""
    return {
        f"PCK/tilt/{name}": float(right / total)
        for name, (right, total) in zip(TILTS, sums, strict=True)
        if total
    }


def match_by_tilt(
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    skeleton: Skeleton,
    image_ids: Sequence,
) -> Matches:
    """Who was found of each of TILTS, as pycocotools has it by size: who is of another tilt does
    not count, labelled or found where nobody is labelled.

    Args:
      ground_truth, results: as `metrics.match_and_measure` takes them, of the skeleton's joints.
      image_ids: of the images, in the order of the matches.
    """
    annotations = ground_truth["annotations"]
    kinds, found_kinds = (_kinds_of(entries, skeleton) for entries in (annotations, results))
    parts = []
    for kind in range(len(TILTS)):
        # Without keypoints: whoever is found there is neither right nor wrong.
        own = [
            dict(a, num_keypoints=a["num_keypoints"] * int(k == kind))
            for a, k in zip(annotations, kinds, strict=True)
        ]
        evaluator = run_pycocotools(ground_truth, own, results, skeleton.sigmas, image_ids, sizes=1)
        for image in filter(None, evaluator.evalImgs):
            of_others = found_kinds[np.array(image["dtIds"], int) - 1] != kind
            image["dtIgnore"] |= (image["dtMatches"] == 0) & of_others
        parts.append(collect_matches(evaluator, image_ids))
    arrays = (np.concatenate([part[i] for part in parts]) for i in range(1, len(Matches._fields)))
    return Matches(parts[0].images, *arrays)


def precision_by_tilt(matches: Matches, weights: Int[np.ndarray, " I"]) -> dict[str, float]:
    """{AP/tilt/upright...} where image n counts `weights[n]` times; nan where nobody is so
    tilted."""
    names = [f"/tilt/{name}" for name in TILTS]
    found = weighted_precision(matches, weights, names)
    return {f"AP{name}": found[f"AP{name}"] for name in names}


def _kinds_of(entries, skeleton):
    people = np.array([entry["keypoints"] for entry in entries], float)
    return find_kinds(people.reshape(-1, skeleton.num_joints, 3), skeleton)
