"""What of a skeleton the sequence networks know, and how its people are made alike."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from danceflax.errors import UserError
from danceflax.skeleton import Skeleton

HIPS, SHOULDERS = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
LEAST_LENGTH = 1e-3  # of a torso, pixels


class Body(NamedTuple):
    """A skeleton as a tree.

    Attributes:
      parents: J joints, each one's; the root's is itself.
      centre: the joints whose mean is the middle of the body: the hips.
      top: the joints whose mean is the torso's other end: the shoulders.
      flip: [J] int, the joint that each becomes in a mirrored image.
      blur: [J], how much worse than the mean joint each is found: by the OKS sigmas.
    """

    parents: tuple[int, ...]
    centre: tuple[int, ...]
    top: tuple[int, ...]
    flip: np.ndarray
    blur: np.ndarray


def make_body(skeleton: Skeleton) -> Body:
    """The tree of a skeleton's limbs, from the hips outward, or the joint nearest to all others.

    Raises:
      UserError: the skeleton has no hips or no shoulders, or its limbs do not hold together.
    """
    for name in (*HIPS, *SHOULDERS):
        if name not in skeleton.joints:
            raise UserError(
                f"skeleton {skeleton.name}: has no joint {name}; sequences are scaled by the "
                "torso, from the hips to the shoulders"
            )
    centre, top = (
        tuple(skeleton.joints.index(name) for name in names) for names in (HIPS, SHOULDERS)
    )
    steps = _count_steps(skeleton)
    if not np.isfinite(steps).all():
        lone = skeleton.joints[int(np.argmax(np.isinf(steps).sum(1)))]
        raise UserError(f"skeleton {skeleton.name}: no limbs join {lone} to every other joint")
    root = int(np.argmin(steps.sum(1)))
    parents = list(range(skeleton.num_joints))
    for joint in sorted(parents, key=lambda j: steps[root, j]):
        nearer = [j for j in range(len(parents)) if steps[joint, j] == 1]
        parents[joint] = min([joint, *nearer], key=lambda j: (steps[root, j], j != joint))
    blur = np.asarray(skeleton.sigmas) / np.mean(skeleton.sigmas)
    return Body(tuple(parents), centre, top, skeleton.flip, blur)


def _count_steps(skeleton):
    """[J, J]: limbs on the way from each joint to each other one (Floyd and Warshall)."""
    steps = np.where(np.eye(skeleton.num_joints, dtype=bool), 0.0, np.inf)
    for a, b in skeleton.limbs:
        steps[a, b] = steps[b, a] = 1.0
    for middle in range(skeleton.num_joints):
        steps = np.minimum(steps, steps[:, [middle]] + steps[[middle]])
    return steps


def normalise(people: Float[np.ndarray, "T P J 3"], body: Body) -> Float[np.ndarray, "T P J 3"]:
    """Each person about the mean of their hips over the clip, in lengths of their torso.

    The torso's length is the median over the frames that show it best: for a hip or a shoulder that
    is never found the other one stands. Of a person whose torso is never seen the spread of the
    joints stands for it. Seen joints have a third number of 1.
    """
    result = np.zeros(people.shape, np.float32)
    for p in range(people.shape[1]):
        xy, seen = people[:, p, :, :2].astype(float), people[:, p, :, 2] > 0
        if not seen.any():
            continue
        hips, low = _mean_of(xy, seen, body.centre)
        shoulders, high = _mean_of(xy, seen, body.top)
        middle = hips[low > 0].mean(0) if low.any() else xy[seen].mean(0)
        both = low * high
        if both.any():
            best = both == both.max()
            length = np.median(np.linalg.norm(hips - shoulders, axis=-1)[best])
        else:
            length = np.sqrt(((xy[seen] - middle) ** 2).sum(-1).mean())
        placed = (xy - middle) / max(length, LEAST_LENGTH)
        result[:, p, :, :2] = np.where(seen[..., None], placed, 0.0)
        result[:, p, :, 2] = seen
    return result


def _mean_of(xy, seen, joints):
    """([T, 2], [T]): the mean of those joints that are seen, and how many these are."""
    there = seen[:, list(joints)]
    count = there.sum(1)
    total = (xy[:, list(joints)] * there[..., None]).sum(1)
    return total / np.maximum(count, 1)[:, None], count
