"""Limbs of a CPU, one by one: pairs of peaks are scored, and joined to people, who are trees of
peaks. For `one_by_one`, within whose function this runs."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, UInt32

from danceflax.pose.decode.assembly import joint_words
from danceflax.pose.decode.interpolation import find_taps, linear_weights
from danceflax.pose.decode.loops import Best, get, put


class Peaks(NamedTuple):
    """Peaks in K slots a joint of each image: places on the grid, scores (0: none), and how many
    slots of each joint are taken."""

    x: Float[Array, " N"]
    y: Float[Array, " N"]
    score: Float[Array, " N"]
    found: Int[Array, " BJ"]


def join_trees(
    pafs: Float[Array, "B h w D"],
    peaks: Peaks,
    limbs: Int[np.ndarray, "L 2"],
    joints: int,
    samples: int,
    peak_threshold: float,
    paf_threshold: float,
    paf_ratio: float,
) -> tuple[Int[Array, " N"], UInt32[Array, "N W"], Float[Array, " N"]]:
    """What `score_limbs` and `join_limbs` make of the peaks: the root of each one's tree and, of
    roots, the joints, a bit each, and the sum of the limbs.

    Each limb's candidates are kept best first; the best of all limbs' first ones is taken next.
    """
    batch, height, width, _ = pafs.shape
    count, slots = len(limbs), len(peaks.score) // (batch * joints)
    kept = min(slots**2, count * slots)  # of a limb; more are not taken of all together
    can_fail = samples - math.floor(paf_ratio * samples) - 1
    field, ends = pafs.reshape(-1), jnp.array(limbs.T, jnp.int32)

    def score_pair(image, limb, a, b):
        ax, ay = get(peaks.x, a), get(peaks.y, a)
        dx, dy = get(peaks.x, b) - ax, get(peaks.y, b) - ay
        length = jnp.sqrt(dx**2 + dy**2)
        ux, uy = dx / jnp.maximum(length, 1e-6), dy / jnp.maximum(length, 1e-6)

        def add_sample(state):
            i, total, failed = state
            # The middle comes first: off a limb it is where the field most likely is empty.
            along = ((i + samples // 2) % samples + 0.5) / samples
            value = 0.0
            for row, weight_y in find_taps(ay + along * dy, height, linear_weights):
                for column, weight_x in find_taps(ax + along * dx, width, linear_weights):
                    cell = 2 * (((image * height + row) * width + column) * count + limb)
                    along_limb = get(field, cell) * ux + get(field, cell + 1) * uy
                    value += weight_y * weight_x * along_limb
            support = value > paf_threshold
            return i + 1, total + jnp.where(support, value, 0.0), failed + ~support

        def undecided(state):
            i, _, failed = state
            return (i < samples) & (failed <= can_fail)

        start = jnp.int32(0), jnp.float32(0), jnp.int32(0)
        _, total, failed = lax.while_loop(undecided, add_sample, start)
        near = jnp.where(length < 1, peak_threshold, -jnp.inf)
        score = jnp.where(failed <= can_fail, total / jnp.maximum(samples - failed, 1), near)
        return jnp.where(jnp.isfinite(score) & (length > 1e-6), score, -jnp.inf)

    def find_limbs(image, best, scores):
        """Scores of the image's pairs, and the best of each limb, by PAF and peaks."""

        def find_limb(limb, state):
            one, other = (image * joints + get(ends[end], limb) for end in (0, 1))
            first, second = one * slots, other * slots

            def take(a, b, best, scores):
                score = score_pair(image, limb, a, b)
                order = score + 0.1 * (get(peaks.score, a) + get(peaks.score, b))
                place = (limb * slots + a - first) * slots + b - second
                best = best.insert(limb, order, place, score > -jnp.inf)
                return best, put(scores, place, score)

            def take_row(a, state):
                last = second + get(peaks.found, other)
                return lax.fori_loop(second, last, lambda b, s: take(a, b, *s), state)

            return lax.fori_loop(first, first + get(peaks.found, one), take_row, state)

        return lax.fori_loop(0, count, find_limb, (best, scores))

    def find(parent, peak):
        def climb(state):
            return state[1], get(parent, state[1])

        start = peak, get(parent, peak)
        return lax.while_loop(lambda state: state[0] != state[1], climb, start)[0]

    def join(image, best, scores, people):
        heads = jnp.where(best.held > 0, best.values[:-1:kept], -jnp.inf)

        def take(state):
            taken, heads, at, parent, held, total = state
            limb = heads.argmax().astype(jnp.int32)
            place = get(best.places, limb * kept + get(at, limb))
            a, b = (
                (image * joints + get(ends[end], limb)) * slots + peak
                for end, peak in ((0, place // slots % slots), (1, place % slots))
            )
            a, b = find(parent, a), find(parent, b)
            apart = ~(get(held, a) & get(held, b)).any()
            parent = put(parent, b, jnp.where(apart, a, b))
            # Asked again, so that what is read below is read before it is written over.
            joined = find(parent, b) == a
            word, more = get(held, a), get(held, b)
            held = put(held, a, jnp.where(joined, word | more, word))
            gain = get(scores, place) + jnp.where(a == b, 0.0, get(total, b))
            total = put(total, a, get(total, a) + jnp.where(joined, gain, 0.0))
            following = get(at, limb) + 1
            value = get(best.values, limb * kept + following)
            value = jnp.where(following < get(best.held, limb), value, -jnp.inf)
            heads, at = put(heads, limb, value), put(at, limb, following)
            return taken + 1, heads, at, parent, held, total

        def more(state):
            return (state[0] < count * slots) & (state[1].max() > -jnp.inf)

        start = jnp.int32(0), heads, jnp.zeros(count, jnp.int32), *people
        return lax.while_loop(more, take, start)[3:]

    def assemble(image, state):
        best, scores, people = state
        best = best._replace(held=jnp.zeros_like(best.held))
        best, scores = find_limbs(image, best, scores)
        return best, scores, join(image, best, scores, people)

    peak = jnp.arange(len(peaks.score), dtype=jnp.int32)
    # Of each peak its parent; of roots, who stand for people, the joints and the sum of the limbs.
    people = peak, joint_words(peak // slots % joints, joints), jnp.zeros(peak.shape)
    start = Best.of_none(count, kept), jnp.zeros(count * slots**2), people
    parent, held, total = lax.fori_loop(0, batch, assemble, start)[2]
    label = lax.fori_loop(0, len(parent), lambda i, p: put(p, i, find(p, i)), parent)
    return label, held, total
