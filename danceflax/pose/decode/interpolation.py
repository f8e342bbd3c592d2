"""Reading a map between its cells: bilinear, or the bicubic rule that OpenPose upsamples with."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


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


def _matrix(position, size):
    taps = find_taps(position, size, cubic_weights)
    return sum(jax.nn.one_hot(cell, size) * weight[:, None] for cell, weight in taps)
