"""Layers that several networks share."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

# The plain deep ReLU stacks of OpenPose sit on the background plateau for hundreds of steps with
# flax's default (LeCun) initialisation; with He's they learn at once.
he_normal = nn.initializers.he_normal()

_portable = contextvars.ContextVar("portable", default=False)


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """A block in which networks are traced in the library's own operations, which other platforms
    and formats know, and not in what is fastest on this one."""
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


def is_portable() -> bool:
    """Whether a block of `portable` is traced."""
    return _portable.get()


class PReLU(nn.Module):
    """Parametric ReLU, one slope a channel, from Caffe's default 0.25."""

    @nn.compact
    def __call__(self, x: Float[Array, "*n C"]) -> Float[Array, "*n C"]:
        slope = self.param("slope", nn.initializers.constant(0.25), (x.shape[-1],), jnp.float32)
        return jnp.where(x >= 0, x, x * slope.astype(x.dtype))


def conv(features: int, size: int, name: str, dtype: Any) -> nn.Conv:
    """A square convolution with bias that keeps height and width."""
    return nn.Conv(features, (size, size), kernel_init=he_normal, dtype=dtype, name=name)


def max_pool_2x2(x: Float[Array, "B H W C"]) -> Float[Array, "B H//2 W//2 C"]:
    """2x2 max-pooling with stride 2.

    Four strided slices instead of a window: its gradient is nine times faster on the CPU. Among
    equal values the gradient is shared.
    """
    if is_portable():
        return nn.max_pool(x, (2, 2), (2, 2))
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    top = jnp.maximum(x[:, ::2, ::2], x[:, ::2, 1::2])
    bottom = jnp.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2])
    return jnp.maximum(top, bottom)
