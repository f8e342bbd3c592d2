"""What kind of errors a pose network makes (Ronchi and Perona, ICCV 2017, section 3).

The similarity of a found joint to a labelled one is exp(-d^2 / (2 s^2 k^2)), a joint's part of OKS,
by the area of the person who has the labelled one. Of a found person that is matched to a labelled
one, a joint is what it is most similar to (as in the authors' tool, coco-analyze):

    good        its own place, by at least 0.85
    jitter      its own place, by at least 0.5
    inversion   the mirrored joint of the same person, by at least 0.5
    swap        the joint, or its mirror, of another person, by at least 0.5
    miss        none of these by 0.5, or it is not found at all

People are matched from OKS 0.1 on; who has no match is a missed or a false person.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from danceflax.pose.metrics import match_people, oks, person_area
from danceflax.skeleton import Skeleton

KINDS = ("good", "jitter", "inversion", "swap", "miss")
GOOD, NEAR, MATCHED = 0.85, 0.5, 0.1


class Diagnosis(NamedTuple):
    """Of one image, or of several added up.

    Attributes:
      joints: how many labelled joints of matched people are of each of KINDS.
      matched, missed, false: how many people.
    """

    joints: Int[np.ndarray, "J K"]
    matched: int
    missed: int
    false: int


def diagnose(
    people_true: Float[np.ndarray, "P J 3"],
    people_pred: Float[np.ndarray, "Q J 3"],
    skeleton: Skeleton,
    mask: UInt8[np.ndarray, "H W"] | None = None,
) -> Diagnosis:
    """The errors of one image.

    Args:
      people_true: (x, y, visibility) in pixels; absent joints do not count.
      people_pred: (x, y, confidence), confidence 0 is a joint not found.
      mask: 0 where nobody is labelled: someone found there is no false person.
    """
    similarity = oks(people_true, people_pred, skeleton.sigmas)
    pairs = match_people(np.where(similarity >= MATCHED, similarity, 0.0))
    counts = np.zeros((skeleton.num_joints, len(KINDS)), int)
    areas = person_area(people_true)
    for i, k in pairs:
        kinds = judge_person(people_true, people_pred[k], i, areas, skeleton)
        labelled = people_true[i, :, 2] > 0
        counts[np.flatnonzero(labelled), kinds[labelled]] += 1
    taken = {k for _, k in pairs}
    strangers = [k for k in range(len(people_pred)) if k not in taken]
    false = sum(not _is_masked(people_pred[k], mask) for k in strangers)
    return Diagnosis(counts, len(pairs), len(people_true) - len(pairs), false)


def judge_person(
    people_true: Float[np.ndarray, "P J 3"],
    found: Float[np.ndarray, "J 3"],
    index: int,
    areas: Float[np.ndarray, " P"],
    skeleton: Skeleton,
) -> Int[np.ndarray, " J"]:
    """The kind (of KINDS) of each joint of a found person, who is matched to person `index`;
    `areas` are the labelled people's, px^2."""
    spread = 2 * np.maximum(areas, 1.0)[:, None] * (2 * np.asarray(skeleton.sigmas)) ** 2
    squared = ((people_true[..., :2] - found[:, :2]) ** 2).sum(-1)
    mirrored = people_true[:, skeleton.flip]
    squared_mirror = ((mirrored[..., :2] - found[:, :2]) ** 2).sum(-1)
    same = np.exp(-squared / spread) * (people_true[..., 2] > 0)
    mirror = np.exp(-squared_mirror / spread) * (mirrored[..., 2] > 0)
    others = np.arange(len(people_true)) != index
    swap = np.maximum(same, mirror)[others].max(0, initial=0.0)
    own, inversion = same[index], mirror[index]
    inversion = np.where(skeleton.flip == np.arange(skeleton.num_joints), 0.0, inversion)
    place = np.argmax([own, inversion, swap], 0)  # the first of equals
    best = np.maximum(np.maximum(own, inversion), swap)
    kinds = np.select([best < NEAR, place > 0, best >= GOOD], [4, place + 1, 0], 1)
    return np.where(found[:, 2] > 0, kinds, 4)


def add_up(diagnoses: list[Diagnosis]) -> Diagnosis:
    """The sums over images."""
    joints, *people = zip(*diagnoses, strict=True)
    return Diagnosis(np.sum(joints, 0), *(int(sum(x)) for x in people))


def _is_masked(person, mask):
    """Whether most of a person's joints lie where nothing counts."""
    if mask is None:
        return False
    xy = person[person[:, 2] > 0, :2].round().astype(int)
    x, y = np.clip(xy, 0, (mask.shape[1] - 1, mask.shape[0] - 1)).T
    return bool((mask[y, x] == 0).mean() > 0.5) if len(xy) else False
