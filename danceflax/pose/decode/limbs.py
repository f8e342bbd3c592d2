"""How well the PAF between two peaks says "one limb": line integrals, and one-to-one matching."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from danceflax.pose.decode.interpolation import find_taps

# Pairs of peaks that are scored at once: many fill vectors, what is left goes by few.
MANY, FEW = 2048, 256


def score_limbs(
    pafs: Float[Array, "B h w C"],
    xy: Float[Array, "B J K 2"],
    found: Int[Array, "B J"],
    limbs: Int[np.ndarray, "L 2"],
    samples: int,
    threshold: float,
    weights: Callable,
    rate: Callable,
) -> Float[Array, "B L K K"]:
    """Scores every pair of peaks that a limb could join by the PAF on the line between them.

    The line integral of Cao et al. (CVPR 2017), equations 10 and 11, at the middles of `samples`
    equal parts of the line. (Published codes sample an end too; there the field stops, and on a map
    a few cells wide an honest limb would fail at its own end.)

    Args:
      pafs: C = 2 L channels.
      xy: peaks in grid coordinates, those that exist first.
      found: how many exist.
      limbs: joint indices.
      samples: points on the line.
      threshold: a sample supports the limb if the PAF along the line exceeds this.
      weights: `linear_weights` or `cubic_weights`: how the maps are read between cells.
      rate: (sum of all samples, sum of the supporting ones, their number, length of the line in
        cells) -> the pair's score, -inf for no limb. Arrays of one shape.

    Returns:
      The score of (peak of the first joint, peak of the second); -inf for no limb.
    """
    batch, height, width, _ = pafs.shape
    joints, slots = xy.shape[1:3]
    field = pafs.ravel()  # read where it lies: to bring a limb's cells together takes longer
    peak_x, peak_y = xy[..., 0].ravel(), xy[..., 1].ravel()
    from_joint, to_joint = jnp.array(limbs).T

    # Only pairs of peaks that exist are looked at: pair p belongs to the map (image and limb) in
    # whose range it falls, and there counts through first x second peaks.
    seconds = found[:, to_joint].ravel()
    ends = jnp.cumsum(found[:, from_joint].ravel() * seconds)
    starts = jnp.concatenate([jnp.zeros(1, ends.dtype), ends[:-1]])

    def score_chunk(scores, start, size):
        pair = start + jnp.arange(size)
        owner = jnp.searchsorted(ends, pair, side="right", method="scan_unrolled")
        owner = jnp.minimum(owner, len(ends) - 1)
        image, limb = owner // len(limbs), owner % len(limbs)
        first, second = jnp.divmod(pair - starts[owner], jnp.maximum(seconds[owner], 1))
        a = (image * joints + from_joint[limb]) * slots + jnp.minimum(first, slots - 1)
        b = (image * joints + to_joint[limb]) * slots + second
        score = score_pairs(image, limb, peak_x[a], peak_y[a], peak_x[b], peak_y[b])
        place = jnp.where(pair < ends[-1], (owner * slots + first) * slots + second, scores.size)
        return scores.at[place].set(score, mode="drop")

    def read(cell):
        return field.at[cell].get(mode="promise_in_bounds", wrap_negative_indices=False)

    def score_pairs(image, limb, ax, ay, bx, by):
        dx, dy = bx - ax, by - ay
        length = jnp.sqrt(dx**2 + dy**2)
        ux, uy = dx / jnp.maximum(length, 1e-6), dy / jnp.maximum(length, 1e-6)

        def add_sample(i, sums):
            every, passing, supports = sums
            along = (i + 0.5) / samples
            value = 0.0
            for y, weight_y in find_taps(ay + along * dy, height, weights):
                for x, weight_x in find_taps(ax + along * dx, width, weights):
                    cell = 2 * (((image * height + y) * width + x) * len(limbs) + limb)
                    value += weight_y * weight_x * (read(cell) * ux + read(cell + 1) * uy)
            support = value > threshold
            return every + value, passing + jnp.where(support, value, 0.0), supports + support

        zero = jnp.zeros_like(length)
        score = rate(*lax.fori_loop(0, samples, add_sample, (zero, zero, zero)), length)
        return jnp.where(jnp.isfinite(score) & (length > 1e-6), score, -jnp.inf)

    scores = jnp.full(batch * len(limbs) * slots**2, -jnp.inf)
    chunks, rest = jnp.divmod(ends[-1], MANY)
    scores = lax.fori_loop(0, chunks, lambda i, x: score_chunk(x, i * MANY, MANY), scores)
    done, chunks = chunks * MANY, (rest + FEW - 1) // FEW
    scores = lax.fori_loop(0, chunks, lambda i, x: score_chunk(x, done + i * FEW, FEW), scores)
    return scores.reshape(batch, len(limbs), slots, slots)


def match_greedily(score: Float[Array, "B L K K"]) -> Float[Array, "B L K K"]:
    """Keeps of each limb's pairs those that greedy one-to-one matching takes.

    Greedy matching takes the best pair, strikes its two peaks out and goes on. A pair that is the
    best of both its peaks is taken whatever else happens, so all such pairs are taken at once; a
    few rounds suffice. Ties go to the lower indices.

    Returns:
      The scores; -inf for pairs that are not taken.
    """
    slots = score.shape[-1]

    def take(state):
        free, taken = state
        best_second = free.argmax(-1)[..., None] == jnp.arange(slots)
        best_first = free.argmax(-2)[..., None, :] == jnp.arange(slots)[:, None]
        new = best_second & best_first & (free > -jnp.inf)
        struck = new.any(-1, keepdims=True) | new.any(-2, keepdims=True)
        return jnp.where(struck, -jnp.inf, free), jnp.where(new, free, taken)

    def unfinished(state):
        return (state[0] > -jnp.inf).any()

    return lax.while_loop(unfinished, take, (score, jnp.full_like(score, -jnp.inf)))[1]
