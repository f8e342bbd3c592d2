"""Convolution by fewer products: minimal filtering (Winograd, 1980; Lavin and Gray, 2016).

Along the width, `tile` outputs of a kernel of `size` taps are made from tile + size - 1 products in
place of tile * size: the input's windows and the kernel are mixed by constant weights, multiplied,
and mixed again. Along both axes it would be fewer still, for programs that take several times as
long to compile. The weights follow from as many points (Toom and Cook); with the few points used
here values differ from the plain convolution's by some units in the last place.
"""

import functools
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

POINTS = tuple(map(Fraction, ("0", "1", "-1", "2", "-1/2", "1/2", "-2")))
LAYOUT = ("NHWC", "HWIO", "NHWC")


@functools.cache
def matrices(tile: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B [n, n], G [n, size], A [tile, n]) of n = tile + size - 1 products: the filtering of the
    window d by the kernel g is A @ ((G @ g) * (B @ d)).

    The last point is infinity. Rows of B are scaled by powers of two to entries of about one.
    """
    points = POINTS[: tile + size - 2]
    input_mix = np.zeros((len(points) + 1,) * 2)
    kernel_mix = np.zeros((len(points) + 1, size))
    output_mix = np.zeros((tile, len(points) + 1))
    for i, point in enumerate(points):
        others = [p for p in points if p != point]
        scale = np.prod([point - p for p in others])
        input_mix[i, :-1] = _polynomial(others)
        kernel_mix[i] = [float(point**j / scale) for j in range(size)]
        output_mix[:, i] = [float(point**j) for j in range(tile)]
    input_mix[-1] = _polynomial(points)
    kernel_mix[-1, -1] = output_mix[-1, -1] = 1
    scale = 2 ** np.round(np.log2(np.abs(input_mix).max(1, keepdims=True)))
    return input_mix / scale, kernel_mix * scale, output_mix


def _polynomial(roots):
    """Coefficients, the constant first, of the product of (x - root)."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [0, *coefficients], [*(root * c for c in coefficients), 0]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return [float(c) for c in coefficients]


def convolve(
    x: Float[Array, "B H W C"], kernel: Float[Array, "k k C D"], tile: int
) -> Float[Array, "B H W D"]:
    """Convolution that keeps height and width, by an odd kernel; `tile` outputs are made at once
    along the width, and of the height the library convolves the columns."""
    input_mix, kernel_mix, output_mix = matrices(tile, len(kernel))
    columns = _mix(input_mix, _cut(x, tile, len(kernel)))
    kernels = _mix(kernel_mix, jnp.split(kernel, len(kernel), 1))
    products = [
        lax.conv_general_dilated(*pair, (1, 1), "SAME", dimension_numbers=LAYOUT)
        for pair in zip(columns, kernels, strict=True)
    ]
    y = jnp.stack(_mix(output_mix, products), 3)
    return y.reshape(*y.shape[:2], -1, y.shape[-1])[:, :, : x.shape[2]]


def _cut(x, tile, size):
    """The i-th array holds column i of every window that makes `tile` outputs."""
    width = x.shape[2]
    count = -(-width // tile)
    x = jnp.pad(x, [(0, 0), (0, 0), (size // 2, count * tile - width + size // 2), (0, 0)])
    stop = (count - 1) * tile + 1
    return [lax.slice_in_dim(x, i, i + stop, tile, 2) for i in range(tile + size - 1)]


def _mix(matrix, parts):
    """The matrix times a list of arrays, without products by 0 and 1."""
    return [
        functools.reduce(
            jnp.add, [p if w == 1 else p * w for w, p in zip(row, parts, strict=True) if w]
        )
        for row in matrix.tolist()
    ]
