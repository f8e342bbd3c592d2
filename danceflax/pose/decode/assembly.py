"""Joining limbs into people.

Every peak begins as a person of its own. Limbs are taken in order, and each joins the two people
who hold its ends if they have no joint in common. The five cases of the published rule (new person,
add the second joint, add the first, same person, merge) are all this one step, and no table of
people of unknown size is needed: the state is one label a peak.

Nor is one limb waited for after the other: a limb that is the next of both the people it would join
is taken whatever limbs of others come before it, so all such limbs are taken at once.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, UInt32


def join_limbs(
    score: Float[Array, "B L K K"],
    order: Float[Array, "B L K K"],
    limbs: Int[np.ndarray, "L 2"],
    joints: int,
    fill_only: Bool[np.ndarray, " L"] | None = None,
) -> tuple[Int[Array, "B N"], UInt32[Array, "B N W"], Float[Array, "B N"]]:
    """Labels every peak with the person that holds it.

    Args:
      score: of each limb candidate, -inf for none.
      order: candidates are taken from high to low; of the L * K first, that is: room
        for a full set of limbs for K people. (Greedily matched limbs always fit.)
      limbs: joint indices.
      joints: J.
      fill_only: limbs that may only add a lone peak to a person; None: no such limb.

    Returns:
      For the N = J * K peaks: a label, the same for those that make one person, which is one of
      them; and by label, which joints the person has, a bit each, and the sum of the accepted
      limbs' scores.
    """
    batch, count, slots, _ = score.shape
    order = jnp.where(score > -jnp.inf, order, -jnp.inf).reshape(batch, -1)
    order, candidate = lax.top_k(order, min(count * slots, order.shape[1]))
    score = jnp.take_along_axis(score.reshape(batch, -1), candidate, 1)
    limb, first, second = jnp.unravel_index(candidate, (count, slots, slots))
    from_joint, to_joint = jnp.array(limbs).T
    a = from_joint[limb] * slots + first
    b = to_joint[limb] * slots + second
    fill = None if fill_only is None else jnp.array(fill_only)[limb].ravel()
    # The images are one graph: no limb leads from one to another.
    image = jnp.arange(batch)[:, None] * joints * slots
    words = joint_words(jnp.arange(batch * joints * slots) // slots % joints, joints)
    ends = jnp.stack([a + image, b + image]).reshape(2, -1)
    label, held, accepted = _join_in_rounds(ends, (order > -jnp.inf).ravel(), words, fill)
    label, accepted = label.reshape(batch, -1) - image, accepted.reshape(order.shape)
    owner = jnp.take_along_axis(label, a, 1)
    total = _sum_by_label(jnp.where(accepted, score, 0.0), owner, label.shape[1])
    return label, held.reshape(*label.shape, -1), total


def joint_words(joint: Int[Array, " N"], joints: int) -> UInt32[Array, "N W"]:
    """A bit for the joint of each of some peaks."""
    word = jnp.arange(-(-joints // 32))
    bit = jnp.uint32(1) << (joint % 32).astype(jnp.uint32)
    return jnp.where(joint[:, None] // 32 == word, bit[:, None], jnp.uint32(0))


def _join_in_rounds(ends, exists, words, fill):
    """Labels of peaks, whose joints are bits of `words`, by label the joints, and which of the
    limbs between `ends` [2, N] were accepted, as if they were taken one by one."""
    last = len(exists)
    peaks, rank = jnp.arange(len(words)), jnp.arange(last)

    def take(state):
        label, held, waiting, accepted = state
        labels = label[ends]
        one, other = held[labels]
        if fill is None:  # two joints of one person, joined already
            accepted |= waiting & (labels[0] == labels[1])
        waiting &= ~(one & other).any(-1)  # people only grow: these never will be joined
        first = jnp.full(len(words), last).at[labels].min(jnp.where(waiting, rank, last))
        next_of_both = waiting & (first[labels] == rank).all(0)
        join = next_of_both
        if fill is not None:
            size, more = (lax.population_count(x).sum(-1) for x in (one, other))
            join &= ((size == 1) != (more == 1)) | ~fill
        gone = jnp.where(join, labels[1], len(words))
        label = peaks.at[gone].set(labels[0], mode="drop")[label]
        held = held.at[labels[0]].add(jnp.where(join[:, None], other, 0))
        return label, held, waiting & ~next_of_both, accepted | join

    start = peaks, words, exists, jnp.zeros_like(exists)
    label, held, _, accepted = lax.while_loop(lambda state: state[2].any(), take, start)
    return label, held, accepted


def collect_people(
    label: Int[Array, "B N"],
    held: UInt32[Array, "B N W"],
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
      label, held, limb_total: from `join_limbs`.
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
    which = joint_words(jnp.arange(joints)[counted], joints).sum(0, dtype=jnp.uint32)
    size, size_counted = (
        lax.population_count(x).sum(-1, dtype=jnp.int32) for x in (held, held & which)
    )
    total = _sum_by_label(flat, label, flat.shape[1]) + limb_total
    own = label == jnp.arange(flat.shape[1])
    keep = own & (size >= 2) & (size_counted >= min_joints) & (total >= min_score * size_counted)
    total, person = lax.top_k(jnp.where(keep, total, 0.0), min(max_people, flat.shape[1]))
    total = jnp.pad(total, ((0, 0), (0, max_people - total.shape[1])))
    person = jnp.pad(
        person, ((0, 0), (0, max_people - person.shape[1])), constant_values=flat.shape[1]
    )

    # Peaks go to the row of their person; to none, if it is not among the best.
    rows = jnp.where(total > 0, jnp.arange(max_people), max_people)
    image = jnp.arange(batch)[:, None]
    row = jnp.full(flat.shape, max_people).at[image, person].set(rows, mode="drop")
    row = jnp.where(exists, jnp.take_along_axis(row, label, 1), max_people)
    peaks = jnp.concatenate([xy, score[..., None]], -1).reshape(batch, -1, 3)
    people = jnp.zeros((batch, max_people, joints, 3))
    people = people.at[image, row, jnp.repeat(jnp.arange(joints), slots)].set(peaks, mode="drop")
    return people, total / (joints + limbs)


def _sum_by_label(values, label, labels):
    """[B, N] values summed by their labels [B, N]: [B, labels]."""
    return jax.vmap(lambda v, i: jax.ops.segment_sum(v.astype(jnp.float32), i, labels))(
        values, label
    )
