"""Decoding on a CPU, number by number: peaks chosen, pairs scored and limbs joined one by one.

The same rule as in `peaks`, `limbs` and `assembly` ("global", on the grid), in another order of
work: of the places nearly all are empty, and are passed over; a pair is left as soon as too many
points on it do not support it, most pairs at the first; a limb asks its two peaks for their people,
who are trees of peaks.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, UInt32

from danceflax.pose.decode.assembly import joint_words
from danceflax.pose.decode.interpolation import find_taps, linear_weights
from danceflax.pose.decode.loops import Best, get, one_function, put

BITS = 16  # rows of cells to a word


def choose_one_by_one(
    maps: Float[Array, "B h n"], peak: Bool[Array, "B h n"], channels: int, joints: int, k: int
) -> tuple[Float[Array, "B J K"], Int[Array, "B J K"], Int[Array, "B J K"]]:
    """Scores (0: none) and cells (y, x) of the highest peaks.

    Args:
      maps, peak: rows of (cell, channel); where the peaks are.
      channels, joints: C, and J: the first maps are theirs.
      k: K, the most peaks a joint.
    """
    batch, height, size = maps.shape
    blocks = -(-height // BITS)

    @one_function
    def run(maps, words, none):
        maps, words = maps.reshape(-1), words.reshape(-1)

        def is_empty(i):
            return (i < len(words)) & (get(words, i) == 0)

        def take_word(state):
            i, best = state
            i = lax.while_loop(is_empty, lambda i: i + 1, i)
            word = jnp.where(i < len(words), get(words, i), 0).astype(jnp.uint32)

            def take_bit(state):
                word, best = state
                block, column = i // size, i % size
                image = block // blocks
                lowest = lax.population_count(~word & (word - 1)).astype(jnp.int32)
                y = block % blocks * BITS + lowest
                place = (image * height + y) * size + column
                best = best.insert(image * joints + column % channels, get(maps, place), place)
                return word & (word - 1), best

            return i + 1, lax.while_loop(lambda state: state[0] > 0, take_bit, (word, best))[1]

        start = jnp.int32(0), none
        return lax.while_loop(lambda state: state[0] < len(words), take_word, start)[1]

    # Sixteen rows are one of words with a bit of each: so many fewer to go through.
    peak = jnp.pad(peak, [(0, 0), (0, blocks * BITS - height), (0, 0)])
    bits = (jnp.where(peak[:, i::BITS], jnp.uint16(1 << i), jnp.uint16(0)) for i in range(BITS))
    best = run(maps, sum(bits), Best.of_none(batch * joints, k))
    score, place = (x[:-1].reshape(batch, joints, k) for x in (best.values, best.places))
    exists = jnp.arange(k) < best.held.reshape(batch, joints, 1)
    return jnp.where(exists, score, 0.0), place // size % height, place % size // channels


def assemble_one_by_one(
    pafs: Float[Array, "B h w C"],
    xy: Float[Array, "B J K 2"],
    peak_score: Float[Array, "B J K"],
    limbs: Int[np.ndarray, "L 2"],
    samples: int,
    peak_threshold: float,
    paf_threshold: float,
    paf_ratio: float,
) -> tuple[Int[Array, "B N"], UInt32[Array, "B N W"], Float[Array, "B N"]]:
    """What `join_limbs` makes of the limbs that `score_limbs` finds.

    Each limb's candidates are kept best first; the best of all limbs' first ones is taken next.
    """
    batch, joints, slots, _ = xy.shape
    count, peaks = len(limbs), joints * slots
    can_fail = samples - math.floor(paf_ratio * samples) - 1

    @one_function
    def run(field, x, y, peak_score, found, start):
        height, width = pafs.shape[1:3]
        ends = jnp.array(limbs.T, jnp.int32)

        def score_pair(image, limb, a, b):
            ax, ay = get(x, a), get(y, a)
            dx, dy = get(x, b) - ax, get(y, b) - ay
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
                    order = score + 0.1 * (get(peak_score, a) + get(peak_score, b))
                    place = (limb * slots + a - first) * slots + b - second
                    best = best.insert(limb, order, place, score > -jnp.inf)
                    return best, put(scores, place, score)

                def take_row(a, state):
                    last = second + get(found, other)
                    return lax.fori_loop(second, last, lambda b, s: take(a, b, *s), state)

                return lax.fori_loop(first, first + get(found, one), take_row, state)

            return lax.fori_loop(0, count, find_limb, (best, scores))

        def find(parent, peak):
            def climb(state):
                return state[1], get(parent, state[1])

            start = peak, get(parent, peak)
            return lax.while_loop(lambda state: state[0] != state[1], climb, start)[0]

        def join(image, best, scores, people):
            heads = jnp.where(best.held > 0, best.values[: -1 : slots**2], -jnp.inf)

            def take(state):
                taken, heads, at, parent, held, total = state
                limb = heads.argmax().astype(jnp.int32)
                place = get(best.places, limb * slots**2 + get(at, limb))
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
                value = get(best.values, limb * slots**2 + following)
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

        parent, held, total = lax.fori_loop(0, batch, assemble, start)[2]
        label = lax.fori_loop(0, len(parent), lambda i, p: put(p, i, find(p, i)), parent)
        return label, held, total

    flat = (array.reshape(-1) for array in (pafs, xy[..., 0], xy[..., 1], peak_score))
    found = (peak_score > 0).sum(-1, dtype=jnp.int32).reshape(-1)
    peak = jnp.arange(batch * peaks, dtype=jnp.int32)
    # Of each peak its parent; of roots, who stand for people, the joints and the sum of the limbs.
    people = peak, joint_words(peak // slots % joints, joints), jnp.zeros(peak.shape)
    start = Best.of_none(count, slots**2), jnp.zeros(count * slots**2), people
    label, held, total = run(*flat, found, start)
    label = label.reshape(batch, -1) - jnp.arange(batch)[:, None] * peaks
    return label, held.reshape(batch, peaks, -1), total.reshape(batch, -1)
