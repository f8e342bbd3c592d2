"""Peaks of the heatmaps: where each joint may be, to a fraction of a cell."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from danceflax.pose.decode.interpolation import finite, fit_gaussian, upsample
from danceflax.pose.decode.one_by_one import choose_one_by_one
from danceflax.pose.grid import to_grid


def find_peaks_on_grid(
    maps: Float[Array, "B h w C"],
    joints: int,
    threshold: float,
    max_peaks: int,
    one_by_one: bool = False,
) -> tuple[Float[Array, "B J K 2"], Float[Array, "B J K"]]:
    """Largest local maxima, refined by a Gaussian fitted to the grid's cells.

    The logarithm of a Gaussian is a parabola, so three cells in a row give its centre and height
    exactly. At the border the three outermost cells are fitted. A peak never leaves its cell.

    Args:
      maps: heatmaps; h and w at least 3.
      joints: J, the first maps are theirs.
      threshold: a peak's cell must exceed it.
      max_peaks: K, the most peaks kept a joint, highest first.
      one_by_one: choose them so on a CPU.

    Returns:
      (x, y) in grid coordinates, and the score: the fitted height, 0 where no peak is.
    """
    score, y, x = _top_maxima(maps, joints, threshold, max_peaks, one_by_one)
    peak_y, gain_y = _fit_axis(maps, y, x, score, axis="y")
    peak_x, gain_x = _fit_axis(maps, y, x, score, axis="x")
    height = jnp.minimum(score * jnp.exp(gain_y + gain_x), jnp.maximum(score, 1.0))
    return jnp.stack([peak_x, peak_y], -1), jnp.where(score > 0, height, 0.0)


def find_peaks_upsampled(
    maps: Float[Array, "B h w C"],
    joints: int,
    threshold: float,
    max_peaks: int,
    stride: int,
    one_by_one: bool = False,
) -> tuple[Float[Array, "B J K 2"], Float[Array, "B J K"]]:
    """Largest local maxima of the maps upsampled to the input's size, as published.

    Bicubic upsampling, 3x3 maxima but for the outermost pixels (where the replicated border makes
    ripples), then the centroid of the positive values in the 7x7 pixels about the maximum
    (OpenPose, nmsBase.cpp). Arguments and results as for `find_peaks_on_grid`.
    """
    height, width = (size * stride for size in maps.shape[1:3])
    cells = (to_grid(jnp.arange(size), stride) for size in (height, width))
    maps = jnp.moveaxis(upsample(jnp.moveaxis(finite(maps), -1, 1), *cells), 1, -1)
    score, y, x = _top_maxima(maps, joints, threshold, max_peaks, one_by_one, beyond=jnp.inf)
    offsets = jnp.arange(-3, 4)
    near_y = y[..., None, None] + offsets[:, None]
    near_x = x[..., None, None] + offsets
    inside = (near_y >= 0) & (near_y < height) & (near_x >= 0) & (near_x < width)
    weight = jnp.where(inside, jnp.maximum(_read(maps, near_y, near_x), 0.0), 0.0)
    total = jnp.maximum(weight.sum((-2, -1)), 1e-9)
    peak_y = (weight * near_y).sum((-2, -1)) / total
    peak_x = (weight * near_x).sum((-2, -1)) / total
    return to_grid(jnp.stack([peak_x, peak_y], -1), stride), score


def limit_peaks(max_peaks: int, height: int, width: int) -> int:
    """K, no more than a map can have: of two cells side by side one at most is a peak."""
    return min(max_peaks, height * ((width + 1) // 2))


def _top_maxima(maps, joints, threshold, max_peaks, one_by_one, beyond=-jnp.inf):
    """Scores (0: none) and cells (y, x), each [B, J, K], of the 3x3 maxima above the threshold.

    Among equal neighbours the first in reading order wins, so a flat map gives one peak. `beyond`
    is the value outside the map: infinity keeps peaks off the outermost cells.
    """
    most = limit_peaks(max_peaks, *maps.shape[1:3])

    def choose(maps):
        return choose_one_by_one(maps, joints, threshold, most, beyond)

    def sort(maps):
        return _sort_maxima(maps, joints, threshold, most, beyond)

    return lax.platform_dependent(maps, cpu=choose if one_by_one else sort, default=sort)


def _sort_maxima(maps, joints, threshold, most, beyond):
    batch, height, width, channels = maps.shape
    # In rows of (cell, channel) neighbours lie C apart, and what is compared is without a gap.
    rows = finite(maps.reshape(batch, height, -1))
    size = rows.shape[2]
    padded = jnp.pad(rows, [(0, 0), (1, 1), (channels, channels)], constant_values=beyond)
    left, centre, right = (padded[..., i * channels : i * channels + size] for i in range(3))
    side = jnp.maximum(jnp.maximum(left, centre), right)
    limit = np.where(np.arange(size) % channels < joints, np.float32(threshold), np.float32(np.inf))
    before = jnp.maximum(jnp.maximum(side[:, :-2], left[:, 1:-1]), limit)
    after = jnp.maximum(side[:, 2:], right[:, 1:-1])
    centre = centre[:, 1:-1]
    peak = (centre > before) & (centre >= after)
    peaks = jnp.where(peak, rows, 0.0).reshape(batch, height, width, channels)[..., :joints]
    pairs = jnp.pad(peaks, [(0, 0), (0, 0), (0, width % 2), (0, 0)])
    pairs = pairs.reshape(batch, -1, 2, joints)
    pairs = jnp.moveaxis(jnp.maximum(pairs[:, :, 0], pairs[:, :, 1]), -1, 1)
    score, pair = lax.top_k(pairs, most)
    y, x = jnp.divmod(pair, (width + 1) // 2)
    x = 2 * x
    return score, y, x + (_read(peaks, y, x) != score)


def _fit_axis(maps, y, x, score, axis):
    """Vertex of the parabola through three logarithms, and how far it rises above the cell's."""
    peak, size = (y, maps.shape[1]) if axis == "y" else (x, maps.shape[2])
    centre = jnp.clip(peak, 1, size - 2)
    line = centre[..., None] + jnp.arange(-1, 2)
    cells = (line, x[..., None]) if axis == "y" else (y[..., None], line)
    return fit_gaussian(*jnp.moveaxis(_read(maps, *cells), -1, 0), peak, centre, score)


def _read(maps, y, x):
    """maps [B, h, w, C] at cells y, x [B, J, ...]; cells outside read the border."""
    batch, joints = y.shape[:2]
    height, width = maps.shape[1:3]
    outer = (batch, joints) + (1,) * (max(y.ndim, x.ndim) - 2)
    image, joint = (i.reshape(outer) for i in jnp.indices((batch, joints)))
    return finite(maps[image, jnp.clip(y, 0, height - 1), jnp.clip(x, 0, width - 1), joint])
