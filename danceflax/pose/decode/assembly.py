"""Joining limbs into people.

Every peak begins as a person of its own. Limbs are taken in order, and each joins the two people
who hold its ends if they have no joint in common. The five cases of the published rule (new person,
add the second joint, add the first, same person, merge) are all this one step, and no table of
people of unknown size is needed: the state is one label a peak.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int


def join_limbs(
    score: Float[Array, "B L K K"],
    order: Float[Array, "B L K K"],
    limbs: Int[np.ndarray, "L 2"],
    joints: int,
    fill_only: Bool[np.ndarray, " L"] | None = None,
) -> tuple[Int[Array, "B N"], Float[Array, "B N"]]:
    """Labels every peak with the person that holds it.

    Args:
      score: of each limb candidate, -inf for none.
      order: candidates are taken from high to low; of the L * K first, that is: room
        for a full set of limbs for K people. (Greedily matched limbs always fit.)
      limbs: joint indices.
      joints: J.
      fill_only: limbs that may only add a lone peak to a person; None: no such limb.

    Returns:
      For the N = J * K peaks: a label, the same for those that make one person; and the sum of the
      accepted limbs' scores, by label.
    """
    batch, count, slots, _ = score.shape
    peaks = jnp.arange(joints * slots)
    order = jnp.where(score > -jnp.inf, order, -jnp.inf).reshape(batch, -1)
    order, candidate = lax.top_k(order, min(count * slots, order.shape[1]))
    score = jnp.take_along_axis(score.reshape(batch, -1), candidate, 1)
    limb, first, second = jnp.unravel_index(candidate, (count, slots, slots))
    from_joint, to_joint = jnp.array(limbs).T
    a = from_joint[limb] * slots + first
    b = to_joint[limb] * slots + second
    exists = order > -jnp.inf

    def take(i, state):
        label, accepted = state
        label_a = jnp.take_along_axis(label, a[:, i, None], 1)  # [B, 1]
        label_b = jnp.take_along_axis(label, b[:, i, None], 1)
        of_a = (label == label_a).reshape(batch, joints, slots)
        of_b = (label == label_b).reshape(batch, joints, slots)
        joints_a, joints_b = of_a.any(-1), of_b.any(-1)
        join = ~(joints_a & joints_b).any(-1)
        accept = join | (label_a == label_b)[:, 0]
        if fill_only is not None:
            lone = (joints_a.sum(-1) == 1) != (joints_b.sum(-1) == 1)
            join &= lone | ~jnp.array(fill_only)[limb[:, i]]
            accept = join
        join &= exists[:, i]
        label = jnp.where((label == label_b) & join[:, None], label_a, label)
        return label, accepted.at[:, i].set(accept & exists[:, i])

    start = jnp.broadcast_to(peaks, (batch, len(peaks))), jnp.zeros(exists.shape, bool)
    label, accepted = lax.fori_loop(0, exists.sum(-1).max(), take, start)
    owner = jnp.take_along_axis(label, a, 1)
    return label, _sum_by_label(jnp.where(accepted, score, 0.0), owner, len(peaks))


def collect_people(
    label: Int[Array, "B N"],
    limb_total: Float[Array, "B N"],
    xy: Float[Array, "B J K 2"],
    score: Float[Array, "B J K"],
    counted: Bool[np.ndarray, " J"],
    limbs: int,
    max_people: int,
    min_joints: int,
    min_score: float,
) -> tuple[Float[Array, "B P J 3"], Float[Array, "B P"]]:
    """The best people among the labels.

    Args:
      label, limb_total: from `join_limbs`.
      xy: peaks in pixels.
      score: 0 for no peak.
      counted: the joints that count towards `min_joints`.
      limbs: L, how many limbs a full person has.
      max_people, min_joints, min_score: see `make_decoder`.

    Returns:
      P = max_people people and their scores, best first.
    """
    batch, joints, slots = score.shape
    flat = score.reshape(batch, -1)
    exists = flat > 0
    size = _sum_by_label(exists, label, flat.shape[1])
    size_counted = _sum_by_label(exists & jnp.repeat(counted, slots), label, flat.shape[1])
    total = _sum_by_label(flat, label, flat.shape[1]) + limb_total
    keep = (size >= 2) & (size_counted >= min_joints) & (total >= min_score * size_counted)
    total, person = lax.top_k(jnp.where(keep, total, 0.0), min(max_people, flat.shape[1]))
    total = jnp.pad(total, ((0, 0), (0, max_people - total.shape[1])))
    person = jnp.pad(person, ((0, 0), (0, max_people - person.shape[1])), constant_values=-1)

    held = (label[:, None] == person[..., None]) & exists[:, None] & (total > 0)[..., None]
    held = held.reshape(batch, max_people, joints, slots)
    peaks = jnp.concatenate([xy, score[..., None]], -1)
    people = jnp.einsum("bpjk,bjkc->bpjc", held.astype(jnp.float32), peaks, precision="highest")
    return people, total / (joints + limbs)


def _sum_by_label(values, label, labels):
    """[B, N] values summed by their labels [B, N]: [B, labels]."""
    return jax.vmap(lambda v, i: jax.ops.segment_sum(v.astype(jnp.float32), i, labels))(
        values, label
    )
