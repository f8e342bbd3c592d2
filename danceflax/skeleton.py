"""Skeletons: joints, limbs, channel orders and the maps between data sets.

A skeleton is data. COCO-18 and BODY-25 are defined below; `load` reads a user's own. Everything
else in the project asks the skeleton: how many channels, which joint mirrors which, which PAF
belongs to which limb.

Channel orders are those of the published OpenPose models:
  heatmaps  [h, w, J + 1]  joints in order, background last
  pafs      [h, w, 2 L]    channels (2k, 2k + 1) hold (x, y) of limb k, in the training order
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from danceflax.errors import UserError

# Visibility of a keypoint, the third number of (x, y, v). An unlabelled one may be there or not:
# (x, y) is a guess, or the middle of the person's others; about the person it does not count.
UNLABELLED, ABSENT, OCCLUDED, VISIBLE = -1, 0, 1, 2

# Joints that data sets rarely label and that are the mean of two labelled ones.
DERIVED = {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": ("left_hip", "right_hip")}

COCO17_JOINTS = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
    "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
    "right_ankle"
).split()
FOOT_JOINTS = (
    "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel"
).split()

# OKS standard deviations: COCO for the 17 joints, COCO-WholeBody for the feet; a derived joint
# takes its sources'.
SIGMAS = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062,
    "hip": 0.107, "knee": 0.087, "ankle": 0.089, "neck": 0.079, "mid_hip": 0.107, "big_toe": 0.068,
    "small_toe": 0.066, "heel": 0.066,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """Joints and limbs of one pose convention.

    Attributes:
      name: how configs and checkpoints call it.
      joints: J names; `left_x` and `right_x` mirror each other.
      limbs: L pairs (from, to) of joint indices in PAF channel order; a PAF points from the first
        to the second.
      assembly: limb indices in the order in which the tree rule joins limbs into people. A limb
        whose two joints are both reached by earlier limbs is redundant: it only fills gaps.
      sigmas: J OKS standard deviations, as fractions of the square root of a person's area.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    assembly: tuple[int, ...]
    sigmas: tuple[float, ...]

    def __repr__(self) -> str:
        return f"Skeleton({self.name!r}, {self.num_joints} joints, {len(self.limbs)} limbs)"

    @property
    def num_joints(self) -> int:
        return len(self.joints)

    @property
    def num_heatmaps(self) -> int:
        """Joints and the background."""
        return len(self.joints) + 1

    @property
    def num_pafs(self) -> int:
        return 2 * len(self.limbs)

    @property
    def flip(self) -> Int[np.ndarray, " J"]:
        """The joint that joint j becomes in a mirrored image."""
        return np.array([self.joints.index(mirror_name(name)) for name in self.joints])

    @property
    def limb_flip(self) -> tuple[Int[np.ndarray, " L"], Float[np.ndarray, " L"]]:
        """Limb k's limb in a mirrored image, and +1 or -1 if reversed."""
        flip = self.flip
        index, sign = [], []
        for a, b in self.limbs:
            a, b = int(flip[a]), int(flip[b])
            forward = (a, b) in self.limbs
            index.append(self.limbs.index((a, b) if forward else (b, a)))
            sign.append(1.0 if forward else -1.0)
        return np.array(index), np.array(sign, np.float32)

    @property
    def redundant(self) -> Bool[np.ndarray, " L"]:
        """In limb order, whether limbs earlier in `assembly` already reach both joints."""
        reached, result = set(), np.zeros(len(self.limbs), bool)
        for k in self.assembly:
            result[k] = reached.issuperset(self.limbs[k])
            reached.update(self.limbs[k])
        return result

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; `from_dict` reads it back."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "skeleton") -> "Skeleton":
        """Builds a skeleton from `{name, joints, limbs, assembly?, sigmas?}`; `limbs` may pair
        names or indices.

        Raises:
          UserError: a key is missing, a limb names no joint, or a left joint has no right one.
        """
        missing = [key for key in ("name", "joints", "limbs") if key not in data]
        if missing:
            raise UserError(
                f"{where}: lacks {', '.join(missing)}; a skeleton needs name, joints and limbs"
            )
        joints = tuple(data["joints"])
        for name in joints:
            if joints.count(name) > 1:
                raise UserError(f"{where}: joint {name!r} appears twice")
            if mirror_name(name) not in joints:
                raise UserError(
                    f"{where}: joint {name!r} has no {mirror_name(name)!r} to mirror it"
                )
        limbs = tuple(
            tuple(_joint_index(joint, joints, where) for joint in limb) for limb in data["limbs"]
        )
        if any(len(limb) != 2 or limb[0] == limb[1] for limb in limbs):
            raise UserError(f"{where}: every limb must pair two different joints")
        for a, b in limbs:
            pair = {joints.index(mirror_name(joints[a])), joints.index(mirror_name(joints[b]))}
            if not any(pair == set(limb) for limb in limbs):
                raise UserError(f"{where}: limb {joints[a]}-{joints[b]} has no mirrored limb")
        assembly = tuple(data.get("assembly") or range(len(limbs)))
        if sorted(assembly) != list(range(len(limbs))):
            raise UserError(
                f"{where}: assembly must list each of the {len(limbs)} limb indices once"
            )
        sigmas = tuple(float(s) for s in data.get("sigmas") or map(default_sigma, joints))
        if len(sigmas) != len(joints):
            raise UserError(f"{where}: {len(sigmas)} sigmas for {len(joints)} joints")
        return cls(data["name"], joints, limbs, assembly, sigmas)


def mirror_name(joint: str) -> str:
    """The name of a joint in a mirrored image: left_x <-> right_x; others mirror themselves."""
    for side, other in (("left_", "right_"), ("right_", "left_")):
        if joint.startswith(side):
            return other + joint.removeprefix(side)
    return joint


def default_sigma(joint: str) -> float:
    """OKS sigma of a joint name; unknown names get the hip's, the most lenient."""
    return SIGMAS.get(joint.removeprefix("left_").removeprefix("right_"), SIGMAS["hip"])


def convert_joints(
    people: Num[np.ndarray, "P J 3"], source: Sequence[str], target: Sequence[str]
) -> tuple[Float[np.ndarray, "P N 3"], Bool[np.ndarray, " N"]]:
    """Re-orders keypoints from one joint list to another; derives neck and mid-hip if lacking.

    A derived joint exists only where both its sources do; its visibility is the lower one.

    Args:
      people: (x, y, v).
      source: its J joint names.
      target: the N joint names wanted.

    Returns:
      float32 keypoints; a joint that the source cannot give is (0, 0, ABSENT); and whether the
      source labels that joint at all.
    """
    first, second, labelled = _joint_sources(tuple(source), tuple(target))
    people = np.asarray(people, np.float32).reshape(-1, len(source), 3)
    a, b = people[:, first], people[:, second]
    result = (a + b) / np.float32(2)
    there = (a[..., 2] != ABSENT) & (b[..., 2] != ABSENT)
    result[..., 2] = np.minimum(a[..., 2], b[..., 2])
    result[~labelled | ~there] = 0.0
    return result, labelled.copy()


@functools.lru_cache
def _joint_sources(source, target):
    """For each joint of `target`: the two joints of `source` it is the mean of, which are the same
    one unless it is derived, and whether there are any. Three arrays [len(target)]."""
    source_has = set(source)
    pairs = [(name, name) if name in source else DERIVED.get(name, ()) for name in target]
    labelled = [bool(pair) and source_has.issuperset(pair) for pair in pairs]
    indices = [
        [source.index(part) for part in pair] if known else [0, 0]
        for pair, known in zip(pairs, labelled, strict=True)
    ]
    first, second = np.array(indices, int).reshape(-1, 2).T
    return first, second, np.array(labelled, bool)


def load(name: str) -> Skeleton:
    """Returns the skeleton of that name (a key of `SKELETONS`), or the one in that JSON file."""
    if name in SKELETONS:
        return SKELETONS[name]
    path = pathlib.Path(name)
    if path.suffix != ".json":
        raise UserError(
            f"skeleton {name!r} is not known; choose {' or '.join(SKELETONS)}, or name a .json file"
        )
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"skeleton file {path}: {error}") from None
    return Skeleton.from_dict(data, where=str(path))


def _joint_index(joint, joints, where):
    if isinstance(joint, str) and joint in joints:
        return joints.index(joint)
    if isinstance(joint, int) and 0 <= joint < len(joints):
        return joint
    raise UserError(f"{where}: limb names {joint!r}, which is not a joint")


COCO18 = Skeleton.from_dict(
    dict(
        name="coco18",
        joints=(
            "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
            "right_hip right_knee right_ankle left_hip left_knee left_ankle "
            "right_eye left_eye right_ear left_ear"
        ).split(),
        limbs=(
            (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 2), (2, 3), (3, 4), (2, 16),
            (1, 5), (5, 6), (6, 7), (5, 17), (1, 0), (0, 14), (0, 15), (14, 16), (15, 17),
        ),
        assembly=(6, 10, 7, 8, 11, 12, 0, 1, 2, 3, 4, 5, 14, 15, 17, 16, 18, 9, 13),
    )
)  # fmt: skip

BODY25 = Skeleton.from_dict(
    dict(
        name="body25",
        joints=(
            "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
            "mid_hip right_hip right_knee right_ankle left_hip left_knee left_ankle "
            "right_eye left_eye right_ear left_ear left_big_toe left_small_toe left_heel "
            "right_big_toe right_small_toe right_heel"
        ).split(),
        limbs=(
            (1, 8), (9, 10), (10, 11), (8, 9), (8, 12), (12, 13), (13, 14), (1, 2), (2, 3), (3, 4),
            (2, 17), (1, 5), (5, 6), (6, 7), (5, 18), (1, 0), (0, 15), (0, 16), (15, 17), (16, 18),
            (14, 19), (19, 20), (14, 21), (11, 22), (22, 23), (11, 24),
        ),
        assembly=(
            0, 7, 11, 8, 9, 12, 13, 3, 1, 2, 4, 5, 6, 15, 16, 18, 17, 19, 10, 14,
            20, 21, 22, 23, 24, 25,
        ),
    )
)  # fmt: skip

SKELETONS = {skeleton.name: skeleton for skeleton in (COCO18, BODY25)}
