"""Pixels and map cells: the one place that knows where a cell lies in the image.

A cell covers `stride` x `stride` pixels. With pixel centres at integers, the centre of cell g is at
pixel g * stride + (stride - 1) / 2; for stride 8, cell 0 is centred on pixel 3.5.
"""

import numpy as np
from jaxtyping import Array, Float, Num


def to_grid(
    xy: float | Num[Array | np.ndarray, "*n"], stride: float
) -> float | Float[Array | np.ndarray, "*n"]:
    """Pixel coordinates to (fractional) grid coordinates."""
    return (xy + 0.5) / stride - 0.5


def to_pixels(
    xy: float | Num[Array | np.ndarray, "*n"], stride: float
) -> float | Float[Array | np.ndarray, "*n"]:
    """Grid coordinates to pixel coordinates: the inverse of `to_grid`."""
    return (xy + 0.5) * stride - 0.5
