"""Reading a map between its cells: bilinear, the bicubic rule that OpenPose upsamples with, or a
Gaussian fitted to a peak."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# The training Gaussian is cut below 1 %: the fit trusts no logarithm below that share of the peak.
FLOOR = 0.01


def finite(maps: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The maps, 0 where they are infinite or no number."""
    return jnp.where(jnp.abs(maps) < jnp.inf, maps, 0.0)


def linear_weights(t: Float[Array, "*n"]) -> list[Float[Array, "*n"]]:
    """Weights of the cells at 0 and 1 for a point at t in [0, 1)."""
    return [1 - t, t]


def cubic_weights(t: Float[Array, "*n"], a: float = -0.75) -> list[Float[Array, "*n"]]:
    """Weights of the cells at -1, 0, 1 and 2 for a point at t in [0, 1).

    Keys' kernel with OpenCV's a = -0.75, so that `upsample` equals cv2.resize with INTER_CUBIC.
    """

    def near(d):
        return ((a + 2) * d - (a + 3)) * d**2 + 1

    def far(d):
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [far(1 + t), near(t), near(1 - t), far(2 - t)]


def find_taps(
    position: Float[Array, "*n"], size: int, weights: Callable
) -> list[tuple[Int[Array, "*n"], Float[Array, "*n"]]]:
    """Cells and weights that give a map's value at fractional positions along one axis.

    Args:
      position: grid coordinates; beyond the border the border cell repeats.
      size: cells along the axis.
      weights: `linear_weights` or `cubic_weights`.

    Returns:
      2 or 4 pairs (cell, weight), a cell lies in [0, size).
    """
    cell = jnp.floor(position)
    taps = weights(position - cell)
    first = cell.astype(jnp.int32) + 1 - len(taps) // 2
    return [(jnp.clip(first + i, 0, size - 1), weight) for i, weight in enumerate(taps)]


def upsample(
    maps: Float[Array, "*n h w"], y: Float[Array, " Y"], x: Float[Array, " X"]
) -> Float[Array, "*n Y X"]:
    """Bicubic values of maps where the lists y and x of grid coordinates cross."""
    rows, columns = _matrix(y, maps.shape[-2]), _matrix(x, maps.shape[-1])
    return jnp.einsum("yh,...hw,xw->...yx", rows, maps, columns, precision="highest")


def fit_gaussian(
    before: Float[Array, "*n"],
    middle: Float[Array, "*n"],
    after: Float[Array, "*n"],
    peak: Int[Array, "*n"],
    centre: Int[Array, "*n"],
    score: Float[Array, "*n"],
) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """Where along an axis the Gaussian through three cells is highest, and the logarithm of how far
    it rises above the peak's cell.

    Args:
      before, middle, after: the cells at centre - 1, centre and centre + 1.
      peak: the peak's cell, which its place never leaves.
      centre: the same, but one further inside at the border.
      score: the peak's value.
    """
    floor = FLOOR * jnp.maximum(score, 1e-9)
    before, middle, after = (jnp.log(jnp.maximum(x, floor)) for x in (before, middle, after))
    slope = 0.5 * (after - before)
    bend = before - 2 * middle + after
    curved = bend < -1e-6
    vertex = jnp.where(curved, centre - slope / jnp.where(curved, bend, 1.0), peak)
    vertex = jnp.clip(vertex, peak - 0.5, peak + 0.5)
    t, t0 = vertex - centre, peak - centre
    return vertex, slope * (t - t0) + 0.5 * bend * (t**2 - t0**2)


def _matrix(position, size):
    taps = find_taps(position, size, cubic_weights)
    return sum(jax.nn.one_hot(cell, size) * weight[:, None] for cell, weight in taps)
