"""Convolution by fewer products: minimal filtering (Winograd, 1980; Lavin and Gray, 2016).

Along an axis, `tile` outputs of a kernel of `size` taps are made from tile + size - 1 products in
place of tile * size: the input's windows and the kernel are mixed by constant weights, multiplied,
and mixed again. The weights follow from as many points (Toom and Cook); with the few points used
here values differ from the plain convolution's by some units in the last place.
"""

import functools
from collections.abc import Sequence
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
    x: Float[Array, "B H W C"], kernel: Float[Array, "k k C D"], tile: Sequence[int]
) -> Float[Array, "B H W D"]:
    """Convolution that keeps height and width, by an odd kernel; `tile`: outputs made at once along
    height and width, 1 where that axis is convolved plainly."""
    size = len(kernel)
    inputs = _see(x, size, tile)
    kernels = [kernel]
    for axis, m in enumerate(tile):
        if m > 1:
            taps = [jnp.split(k, size, axis) for k in kernels]
            kernels = [mixed for t in taps for mixed in _mix(matrices(m, size)[1], t)]
    products = [_apply(*pair) for pair in zip(inputs, kernels, strict=True)]
    for axis, m in ((2, tile[1]), (1, tile[0])):
        if m > 1:
            groups = _grouped(products, m + size - 1)
            products = [_interleave(_mix(matrices(m, size)[2], g), axis) for g in groups]
    (y,) = products
    return y[:, : x.shape[1], : x.shape[2]]


def kernel_gradient(
    x: Float[Array, "B H W C"], gradient: Float[Array, "B H W D"], size: int, tile: Sequence[int]
) -> Float[Array, "{size} {size} C D"]:
    """What the output's gradient makes of the kernel's; no axis of `tile` is 1."""
    inputs, gradients = _see(x, size, tile), [gradient]
    for axis, m in enumerate(tile, 1):
        back = matrices(m, size)[2].T
        gradients = [g for part in gradients for g in _mix(back, _cut(part, axis, m, 1))]
    parts = [
        jnp.einsum("bhwc,bhwd->cd", *pair)[None, None]
        for pair in zip(inputs, gradients, strict=True)
    ]
    for axis, m in ((1, tile[1]), (0, tile[0])):
        groups = _grouped(parts, m + size - 1)
        parts = [jnp.concatenate(_mix(matrices(m, size)[1].T, g), axis) for g in groups]
    return parts[0]


def _see(x, size, tile):
    """The mixed windows of an image: tile + size - 1 arrays for each axis that is tiled."""
    parts = [x]
    for axis, m in enumerate(tile, 1):
        if m > 1:
            mix = matrices(m, size)[0]
            parts = [v for part in parts for v in _mix(mix, _cut(part, axis, m, size))]
    return parts


def _cut(x, axis, tile, size):
    """The i-th array holds cell i of every window that makes `tile` outputs along an axis."""
    count = -(-x.shape[axis] // tile)
    padding = [(0, 0)] * x.ndim
    padding[axis] = (size // 2, count * tile - x.shape[axis] + size // 2)
    x = jnp.pad(x, padding)
    stop = (count - 1) * tile + 1
    return [lax.slice_in_dim(x, i, i + stop, tile, axis) for i in range(tile + size - 1)]


def _mix(matrix, parts):
    """The matrix times a list of arrays, without products by 0 and 1."""
    return [
        functools.reduce(
            jnp.add, [p if w == 1 else p * w for w, p in zip(row, parts, strict=True) if w]
        )
        for row in matrix.tolist()
    ]


def _apply(x, kernel):
    if kernel.shape[:2] == (1, 1):
        return x @ kernel[0, 0]
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)


def _grouped(parts, count):
    return [parts[i : i + count] for i in range(0, len(parts), count)]


def _interleave(parts, axis):
    """The outputs of a tile, one array each, in their places along the axis."""
    y = jnp.stack(parts, axis + 1)
    return y.reshape(*y.shape[:axis], -1, *y.shape[axis + 2 :])
