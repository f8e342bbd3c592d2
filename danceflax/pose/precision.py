"""Average precision of images that count more or less often, as a bootstrap draws them.

pycocotools matches people once; from its matches precision and recall follow for any weights, as
its `accumulate` computes them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

RECALLS = np.linspace(0.0, 1.0, 101)
# What a size is called, in the order of pycocotools' ranges; the last two share what is large.
SIZES = {"all": "", "medium": "M", "large": "L", "96-192": "96-192", "192+": "192+"}
FINE_SIZES = ((96.0**2, 192.0**2), (192.0**2, 1e10))  # px^2


class Matches(NamedTuple):
    """Who was found, over all images; people in the order of their scores, best first.

    Attributes:
      images: the position of the image in which each person was found.
      right, wrong: by size (or tilt) and OKS threshold; neither: does not count.
      labelled: how many people of a size each image holds.
    """

    images: Int[np.ndarray, " D"]
    right: Bool[np.ndarray, "A T D"]
    wrong: Bool[np.ndarray, "A T D"]
    labelled: Int[np.ndarray, "A I"]


def collect_matches(evaluator: Any, image_ids: list) -> Matches:
    """The matches of a COCOeval that has been evaluated; positions are those in `image_ids`."""
    position = {id: n for n, id in enumerate(image_ids)}
    num_sizes, images = len(evaluator.params.areaRng), len(evaluator.params.imgIds)
    labelled = np.zeros((num_sizes, len(image_ids)), int)
    right, wrong, places, scores = [], [], [], []
    for size in range(num_sizes):
        found = evaluator.evalImgs[size * images : (size + 1) * images]
        found = [image for image in found if image is not None]
        for image in found:
            labelled[size, position[image["image_id"]]] = np.sum(np.asarray(image["gtIgnore"]) == 0)
        matched = [np.asarray(image["dtMatches"]) > 0 for image in found]
        counts = [~np.asarray(image["dtIgnore"], bool) for image in found]
        scores = np.array([score for image in found for score in image["dtScores"]])
        places = [position[image["image_id"]] for image in found for _ in image["dtScores"]]
        order = np.argsort(-scores, kind="mergesort")
        matched, counts = (np.concatenate(x, 1)[:, order] for x in (matched, counts))
        right.append(matched & counts)
        wrong.append(~matched & counts)
        places = np.array(places, int)[order]
    return Matches(places, np.array(right), np.array(wrong), labelled)


def weighted_precision(
    matches: Matches,
    weights: Int[np.ndarray, " I"],
    names: Sequence[str] = tuple(SIZES.values()),
) -> dict[str, float]:
    """The ten figures of pycocotools, and "AP96-192", "AP192+", ..., where image n counts
    `weights[n]` times; nan where nobody is of that size. `names` are those of the sizes."""
    own, result = weights[matches.images], {}
    right = np.cumsum(matches.right * own, -1)
    wrong = np.cumsum(matches.wrong * own, -1)
    for size, name in enumerate(names):
        people = matches.labelled[size] @ weights
        if not people:
            result |= {f"AP{name}": np.nan, f"AR{name}": np.nan}
            continue
        found = [_precision(r, w, people) for r, w in zip(right[size], wrong[size], strict=True)]
        precision = np.array(found)
        result[f"AP{name}"] = float(precision.mean())
        recall = right[size, :, -1] / people if len(own) else np.zeros(len(precision))
        result[f"AR{name}"] = float(recall.mean())
        if not name:
            result |= {"AP50": float(precision[0].mean()), "AP75": float(precision[5].mean())}
            result |= {"AR50": float(recall[0]), "AR75": float(recall[5])}
    return result


def _precision(right, wrong, people) -> Float[np.ndarray, " R"]:
    """The precision at each of RECALLS, made to fall only."""
    precision = right / np.maximum(right + wrong, 1)
    falling = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return falling[np.searchsorted(right / people, RECALLS, side="left")]
