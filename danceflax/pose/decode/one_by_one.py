"""Decoding on a CPU, number by number: peaks chosen, pairs scored, limbs joined one by one.

The same rule as in `peaks`, `limbs` and `assembly` ("global", on the grid), in another order of
work: of the places nearly all are empty, and are passed over; a pair is left as soon as too many
points on it do not support it, most pairs at the first; a limb asks its two peaks for their people,
who are trees of peaks. All but the first look at the maps is one function of single numbers.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from danceflax.pose.decode.assembly import joint_words
from danceflax.pose.decode.interpolation import finite, fit_gaussian
from danceflax.pose.decode.loops import Best, get, one_function, put
from danceflax.pose.decode.trees import Peaks, join_trees
from danceflax.pose.grid import to_pixels

BITS = 16  # rows of cells to a word
# (down, right) of a cell's neighbours that it is compared with at once, and if it is higher.
FIRST = (-1, 0), (1, 0)
REST = (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)


def choose_one_by_one(
    maps: Float[Array, "B h w C"], joints: int, threshold: float, k: int, beyond: float
) -> tuple[Float[Array, "B J K"], Int[Array, "B J K"], Int[Array, "B J K"]]:
    """Scores (0: none) and cells (y, x) of the highest peaks.

    Args:
      maps: of which the first J = `joints` are theirs.
      threshold: a peak exceeds it.
      k: K, the most peaks a joint.
      beyond: the value outside a map.
    """
    shape = maps.shape
    choose = one_function(lambda *arrays: _choose(*arrays, shape, joints, k, beyond))
    best = choose(maps, _find_high(maps, joints, threshold))
    score, place = (x[:-1].reshape(len(maps), joints, k) for x in (best.values, best.places))
    exists = jnp.arange(k) < best.held.reshape(len(maps), joints, 1)
    _, y, x, _ = jnp.unravel_index(place, shape)
    return jnp.where(exists, score, 0.0), y, x


def decode_one_by_one(
    maps: Float[Array, "B h w C"],
    pafs: Float[Array, "B h w D"],
    limbs: Int[np.ndarray, "L 2"],
    counted: Bool[np.ndarray, " J"],
    *,
    stride: int,
    max_people: int,
    max_peaks: int,
    peak_threshold: float,
    paf_threshold: float,
    paf_ratio: float,
    min_joints: int,
    min_score: float,
    samples: int,
) -> tuple[Float[Array, "B P J 3"], Float[Array, "B P"]]:
    """What the general decoder makes of the maps; arguments as of `make_decoder`.

    Args:
      limbs, counted: joint indices, and the joints that count towards `min_joints`.
    """
    batch, joints = len(maps), len(counted)
    thresholds = peak_threshold, paf_threshold, paf_ratio

    @one_function
    def run(maps, words, pafs):
        best = _choose(maps, words, maps.shape, joints, max_peaks)
        peaks = _refine(maps.reshape(-1), best, maps.shape[1:])
        label, held, total = join_trees(pafs, peaks, limbs, joints, samples, *thresholds)
        trees = peaks, label, held, total
        people, sums = _collect(*trees, counted, stride, batch, max_people, min_joints, min_score)
        return people.reshape(batch, max_people, joints, 3), sums.reshape(batch, max_people)

    people, sums = run(maps, _find_high(maps, joints, peak_threshold), pafs)
    return people, sums / (joints + len(limbs))


def _find_high(maps, joints, threshold):
    """[B, blocks, w * C] words: where the joints' maps exceed the threshold, a bit for each of
    sixteen rows."""
    batch, height, width, channels = maps.shape
    of_joint = np.arange(width * channels) % channels < joints
    limit = np.where(of_joint, np.float32(max(threshold, 0)), np.float32(np.inf))
    maps = maps.reshape(batch, height, -1)
    high = jnp.pad((maps > limit) & (maps < jnp.inf), [(0, 0), (0, -height % BITS), (0, 0)])
    bits = (jnp.where(high[:, i::BITS], jnp.uint16(1 << i), jnp.uint16(0)) for i in range(BITS))
    return sum(bits)


def _choose(maps, words, shape, joints, k, beyond=-np.inf):
    """The k highest peaks of each joint among what `words` tells of."""
    batch, height, width, channels = shape
    size, blocks = width * channels, words.shape[1]
    maps, words = maps.reshape(-1), words.reshape(-1)

    def is_higher(value, place, y, x, neighbours):
        """Than the cells there; of equal ones the first in reading order is."""
        highest = True
        for down, right in neighbours:
            inside = (y + down >= 0) & (y + down < height) & (x + right >= 0) & (x + right < width)
            other = get(maps, jnp.where(inside, place + down * size + right * channels, 0))
            other = jnp.where(inside, finite(other), beyond)
            highest &= value > other if (down, right) < (0, 0) else value >= other
        return highest

    def is_empty(i):
        return (i < len(words)) & (get(words, i) == 0)

    def take_word(state):
        i, best = state
        i = lax.while_loop(is_empty, lambda i: i + 1, i)
        word = jnp.where(i < len(words), get(words, i), 0).astype(jnp.uint32)
        block, column = lax.div(i, size), lax.rem(i, size)
        image, row = lax.div(block, blocks), lax.rem(block, blocks) * BITS
        x, owner = lax.div(column, channels), image * joints + lax.rem(column, channels)
        first = (image * height + row) * size + column

        def take_bit(state):
            word, best = state
            lowest = lax.population_count(~word & (word - 1)).astype(jnp.int32)
            place = first + lowest * size
            value = get(maps, place)
            cell = value, place, row + lowest, x

            def take(state):
                return jnp.array(False), state[1].insert(
                    owner, value, place, is_higher(*cell, REST)
                )

            # Most fail here, and are asked no more: a loop of one step at most.
            start = is_higher(*cell, FIRST), best
            return word & (word - 1), lax.while_loop(lambda state: state[0], take, start)[1]

        return i + 1, lax.while_loop(lambda state: state[0] > 0, take_bit, (word, best))[1]

    start = jnp.int32(0), Best.of_none(batch * joints, k)
    return lax.while_loop(lambda state: state[0] < len(words), take_word, start)[1]


def _refine(maps, best, shape):
    """The peaks between the cells, by a Gaussian fitted to three cells an axis."""
    height, width, channels = shape
    slots = (len(best.values) - 1) // len(best.held)

    def refine(at, peaks):
        place, value = get(best.places, at), get(best.values, at)
        x = place // channels % width
        y = place // (width * channels) % height

        def fit(peak, size, step):
            centre = jnp.clip(peak, 1, size - 2)
            cells = (finite(get(maps, place + (centre + i - peak) * step)) for i in (-1, 0, 1))
            return fit_gaussian(*cells, peak, centre, value)

        peak_y, gain_y = fit(y, height, width * channels)
        peak_x, gain_x = fit(x, width, channels)
        score = jnp.minimum(value * jnp.exp(gain_y + gain_x), jnp.maximum(value, 1.0))
        return tuple(map(put, peaks, [at] * 3, (peak_x, peak_y, score)))

    def refine_joint(joint, peaks):
        first = joint * slots
        return lax.fori_loop(first, first + get(best.held, joint), refine, peaks)

    none = (jnp.zeros(len(best.values) - 1),) * 3
    return Peaks(*lax.fori_loop(0, len(best.held), refine_joint, none), best.held)


def _collect(peaks, label, held, total, counted, stride, batch, max_people, min_joints, min_score):
    """The best people, as `collect_people` finds them: [B * P * J * 3], and the sums [B * P]."""
    joints, count = len(counted), len(peaks.score)
    slots = count // (batch * joints)
    which = joint_words(jnp.arange(joints)[counted], joints).sum(0, dtype=jnp.uint32)

    def of_peaks(state, do):
        """`do` for each peak that there is."""

        def take(joint, state):
            first = joint * slots
            return lax.fori_loop(first, first + get(peaks.found, joint), do, state)

        return lax.fori_loop(0, batch * joints, take, state)

    def add_score(peak, sums):
        owner = get(label, peak)
        return put(sums, owner, get(sums, owner) + get(peaks.score, peak))

    def rank(peak, best):
        joints_held = get(held, peak)
        size, size_counted = (
            lax.population_count(x).sum(dtype=jnp.int32) for x in (joints_held, joints_held & which)
        )
        value = get(sums, peak) + get(total, peak)
        keep = (get(label, peak) == peak) & (size >= 2) & (size_counted >= min_joints)
        keep &= (value >= min_score * size_counted) & (value > 0)
        return best.insert(peak // (joints * slots), value, peak, keep)

    def place(peak, people):
        root = get(label, peak)
        row = get(rows, root)
        at = (row * joints + peak // slots % joints) * 3
        xy = to_pixels(get(peaks.x, peak), stride), to_pixels(get(peaks.y, peak), stride)
        for i, value in enumerate((*xy, get(peaks.score, peak))):
            people = put(people, jnp.where(row < 0, len(people) - 1, at + i), value)
        return people

    sums = of_peaks(jnp.zeros(count), add_score)
    best = of_peaks(Best.of_none(batch, max_people), rank)

    def own(slot, rows):
        image = slot // max_people
        exists = slot - image * max_people < get(best.held, image)
        return put(rows, jnp.where(exists, get(best.places, slot), count), slot)

    rows = lax.fori_loop(0, batch * max_people, own, jnp.full(count + 1, -1))
    people = of_peaks(jnp.zeros(batch * max_people * joints * 3 + 1), place)[:-1]
    return people, best.values[:-1]
