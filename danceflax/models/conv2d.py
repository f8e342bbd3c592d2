"""2-D convolution written as what runs fastest on each backend; chosen by kernel and size.

On a GPU or TPU it is the library's own. XLA's CPU backend convolves at the processor's full speed,
so that only fewer products are faster: `winograd` makes do with half of them. Its gradient to the
kernel is a convolution that has a channel an image: of few images the inner loops, which run along
the channels, are short, and tiles stand in for images. benchmarks/bench_layers.py measures it.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from danceflax.models import winograd
from danceflax.models.gradients import kernel_first
from danceflax.models.layers import he_normal, on_cpu
from danceflax.models.winograd import LAYOUT

OUTPUTS = {3: 4, 7: 2}  # that `winograd` makes at once, by the kernel's side
WORTH = 1.2e8  # products of numbers: of fewer, the program's compilation takes longer than it saves
SIDES = 12, 256  # longest side, cells: less is mostly margin, and to mix more takes longer
THIN = 64  # channels, of input and output: fewer take less time to multiply than to mix
FEW = 8  # images; of so many the library's own gradient is as fast
TILE = 24  # longest side of a tile that stands in for an image, cells
LARGE = 128  # longest side that is cut into those: beyond, to copy them takes longer


def conv(features: int, size: int, name: str, dtype: Any) -> nn.Conv:
    """A square convolution with bias that keeps height and width."""
    options = dict(kernel_init=he_normal, conv_general_dilated=_for_flax, dtype=dtype)
    return nn.Conv(features, (size, size), name=name, **options)


def _for_flax(x, kernel, *_, **__):
    return convolve(x, kernel)  # the rest is what `conv` leaves as it is


def convolve(
    x: Float[Array, "B H W C"], kernel: Float[Array, "kh kw C D"], strides: Sequence[int] = (1, 1)
) -> Float[Array, "B h w D"]:
    """2-D convolution, SAME padding, strides over height and width."""
    height, width = kernel.shape[:2]
    usual = tuple(strides) == (1, 1) and height == width and height % 2
    if usual and on_cpu() and x.dtype == jnp.float32:
        return _with_gradients(x, kernel)
    return _plain(x, kernel, "SAME", strides)


def _plain(x, kernel, padding="SAME", strides=(1, 1)):
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=LAYOUT)


def _fast(x, kernel):
    tile = OUTPUTS.get(len(kernel))
    worth = x.size * kernel.size // x.shape[3] >= WORTH and min(kernel.shape[2:]) >= THIN
    if tile and worth and SIDES[0] <= max(x.shape[1:3]) <= SIDES[1]:
        return winograd.convolve(x, kernel, tile)
    return _plain(x, kernel)


def _kernel_gradient(x, kernel, gradient):
    seen, padding = x, "SAME"
    if x.shape[0] < FEW and max(x.shape[1:3]) <= LARGE:
        seen, gradient, padding = cut(x, len(kernel)), cut(gradient, 1), "VALID"
    back = jax.linear_transpose(lambda kernel: _plain(seen, kernel, padding), kernel)
    return back(gradient)[0]


def _input_gradient(x, kernel, gradient):
    return _fast(gradient, kernel[::-1, ::-1].swapaxes(2, 3))


_with_gradients = kernel_first(_fast, _kernel_gradient, _input_gradient)


def cut(x: Float[Array, "B H W C"], size: int) -> Float[Array, "N h w C"]:
    """Tiles of one shape that cover the images, each with the margin that a window of this odd size
    about its cells sees; beyond the images there are zeros."""
    for axis in (1, 2):
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
