"""Layers that several networks share."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

# The plain deep ReLU stacks of OpenPose sit on the background plateau for hundreds of steps with
# flax's default (LeCun) initialisation; with He's they learn at once.
he_normal = nn.initializers.he_normal()


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
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    top = jnp.maximum(x[:, ::2, ::2], x[:, ::2, 1::2])
    bottom = jnp.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2])
    return jnp.maximum(top, bottom)
