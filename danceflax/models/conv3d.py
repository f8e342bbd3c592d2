"""3-D convolution and max-pooling over clips, written as what runs fastest on each backend.

On a GPU or TPU they are the library's own operations. XLA's CPU backend is slow at both: there a
convolution becomes one 2-D convolution (or a matrix product) and pooling one axis after another,
with the same values; `benchmarks/bench_layers.py` measures the difference. Padding is TensorFlow's
SAME throughout, which the published I3D weights expect: the odd cell goes at the end.
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from danceflax.models.conv2d import convolve
from danceflax.models.gradients import kernel_first, recomputed
from danceflax.models.layers import he_normal, on_cpu, product


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """(before, after) such that ceil(size / stride) windows cover the axis."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def _windows(x, axis, window, stride, fill=0.0):
    """The `window` shifted and strided views of a padded axis: the i-th holds cell i of each."""
    before, after = same_padding(x.shape[axis], window, stride)
    out = -(-x.shape[axis] // stride)
    padding = [(0, 0)] * x.ndim
    padding[axis] = (before, after)
    x = jnp.pad(x, padding, constant_values=fill)
    stop = (out - 1) * stride + 1
    return [lax.slice_in_dim(x, i, i + stop, stride, axis) for i in range(window)]


def conv3d(
    x: Float[Array, "B T H W C"],
    kernel: Float[ArrayLike, "kt kh kw C D"],
    strides: Sequence[int] = (1, 1, 1),
) -> Float[Array, "B t h w D"]:
    """3-D convolution, SAME padding, strides over time, height and width: t = ceil(T / stride)."""
    if not on_cpu():
        layout = ("NDHWC", "DHWIO", "NDHWC")
        return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=layout)
    if kernel.shape[1:3] == (1, 1):
        x = x[:, :, :: strides[1], :: strides[2]]
        views = _windows(x, 1, kernel.shape[0], strides[0])
        taps = jnp.asarray(kernel)[:, 0, 0]
        return sum(product(view, tap) for view, tap in zip(views, taps, strict=True))
    return kernel_first(functools.partial(_stacked, strides=strides))(x, jnp.asarray(kernel))


def _stacked(x, kernel, strides):
    # The frames a time step sees are stacked as channels: one 2-D convolution does the rest.
    x = jnp.concatenate(_windows(x, 1, kernel.shape[0], strides[0]), -1)
    kt, kh, kw, c, d = kernel.shape
    kernel = kernel.transpose(1, 2, 0, 3, 4).reshape(kh, kw, kt * c, d)
    y = convolve(x.reshape(-1, *x.shape[2:]), kernel, strides[1:])
    return y.reshape(*x.shape[:2], *y.shape[1:])


def max_pool3d(
    x: Float[Array, "B T H W C"], window: Sequence[int], strides: Sequence[int]
) -> Float[Array, "B t h w C"]:
    """Max-pooling over time, height and width, SAME padding.

    On the CPU a maximum that several cells share hands each a part of the gradient, elsewhere the
    first cell all of it. After a ReLU only the ties at zero are common, and they carry none.
    """
    if not on_cpu():
        return nn.max_pool(x, window_shape=tuple(window), strides=tuple(strides), padding="SAME")
    return recomputed(functools.partial(_by_axis, window=window, strides=strides))(x)


def _by_axis(x, window, strides):
    for axis in (3, 2, 1):
        views = _windows(x, axis, window[axis - 1], strides[axis - 1], -jnp.inf)
        x = functools.reduce(jnp.maximum, views)
    return x


class Conv3D(nn.Module):
    """A 3-D convolution layer, SAME padding.

    Its parameters are those of `nn.Conv`: `kernel` [kt, kh, kw, C, features] and `bias`.
    """

    features: int
    kernel_size: tuple = (3, 3, 3)
    strides: tuple = (1, 1, 1)
    use_bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T H W C"]) -> Float[Array, "B t h w {self.features}"]:
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", he_normal, shape, jnp.float32)
        y = conv3d(x.astype(self.dtype), kernel.astype(self.dtype), self.strides)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype)
        return y
