"""2-D convolution whose gradient to the kernel is written as what runs fastest on each backend.

On a GPU or TPU it is the library's own. XLA's CPU backend computes it as a convolution of the input
by the output's gradient that has a channel an image: of few images its inner loops, which run along
the channels, are short. There both are cut into tiles that stand in for images: the same sum, twice
as fast for the 7x7 layers of two images (benchmarks/bench_networks.py).
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from danceflax.models.layers import he_normal, on_cpu

FEW = 8  # images; of so many the library's own gradient is as fast
TILE = 24  # longest side of a tile, cells
LARGE = 256  # longest side that is cut, cells: beyond, to copy the tiles takes longer
LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv(features: int, size: int, name: str, dtype: Any) -> nn.Conv:
    """A square convolution with bias that keeps height and width; its size is odd."""
    options = dict(kernel_init=he_normal, conv_general_dilated=_for_flax, dtype=dtype)
    return nn.Conv(features, (size, size), name=name, **options)


def _for_flax(x, kernel, *_, **__):
    return convolve(x, kernel)  # the rest is what `conv` leaves as it is


def convolve(
    x: Float[Array, "B H W C"], kernel: Float[Array, "kh kw C D"]
) -> Float[Array, "B H W D"]:
    """2-D convolution that keeps height and width, by a kernel of odd sides."""
    tiled = on_cpu() and len(x) < FEW and max(x.shape[1:3]) <= LARGE
    return _tiled(x, kernel) if tiled else _plain(x, kernel)


def _plain(x, kernel, padding="SAME"):
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=LAYOUT)


@jax.custom_vjp
def _tiled(x, kernel):
    return _plain(x, kernel)


def _forward(x, kernel):
    return _plain(x, kernel), (x, kernel)


def _backward(saved, gradient):
    x, kernel = saved
    (to_input,) = jax.linear_transpose(lambda x: _plain(x, kernel), x)(gradient)
    seen, tiles = cut(x, kernel.shape[:2]), cut(gradient, (1, 1))
    (to_kernel,) = jax.linear_transpose(lambda k: _plain(seen, k, "VALID"), kernel)(tiles)
    return to_input, to_kernel


_tiled.defvjp(_forward, _backward)


def cut(x: Float[Array, "B H W C"], window: Sequence[int]) -> Float[Array, "N h w C"]:
    """Tiles of one shape that cover the images, each with the margin that a window of odd sides
    about its cells sees; beyond the images there are zeros."""
    for axis, size in zip((1, 2), window, strict=True):
        count = -(-x.shape[axis] // TILE)
        side = -(-x.shape[axis] // count)
        padding = [(0, 0)] * 4
        padding[axis] = (size // 2, count * side - x.shape[axis] + size // 2)
        x = jnp.pad(x, padding)
        starts = range(0, count * side, side)
        x = jnp.concatenate(
            [lax.slice_in_dim(x, i, i + side + size - 1, axis=axis) for i in starts]
        )
    return x
