"""PoseC3D (Duan et al., CVPR 2022): 3-D convolutions over volumes of joint heatmaps.

The network is SlowOnly's ResNet-50 without its first stage, half as wide; the volumes are drawn
here, on the device.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from danceflax.models.conv3d import Conv3D

STAGES = ((4, 1), (6, 3), (3, 3))  # blocks, and the frames that their first convolution sees
MARGIN = 1.25  # of the square about all people of the clip


def draw_volumes(
    x: Float[Array, "B T P J 3"], size: int, sigma: float
) -> Float[Array, "B T size size J"]:
    """Gaussians of `sigma` cells about the joints of all people, the highest where they overlap.

    The square that holds everybody in the clip, and a margin, becomes the grid.
    """
    seen = x[..., 2:] > 0
    axes = (1, 2, 3)
    low = jnp.where(seen, x[..., :2], jnp.inf).min(axes, keepdims=True)
    high = jnp.where(seen, x[..., :2], -jnp.inf).max(axes, keepdims=True)
    anyone = jnp.isfinite(low)
    middle = jnp.where(anyone, (low + high) / 2, 0.0)
    side = jnp.where(anyone, high - low, 1.0).max(-1, keepdims=True) * MARGIN
    cells = ((x[..., :2] - middle) / jnp.maximum(side, 1e-3) + 0.5) * size - 0.5
    grid = jnp.arange(size, dtype=x.dtype)
    columns, rows = (jnp.exp(-((cells[..., i, None] - grid) ** 2) / (2 * sigma**2)) for i in (0, 1))
    heat = jnp.einsum("btpjh,btpjw->btphwj", rows * seen, columns)
    return heat.max(2)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 over space; the first also sees `frames` in time."""

    channels: int
    frames: int
    stride: int
    train: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "B T h w C"]) -> Float[Array, "B T h2 w2 4*{self.channels}"]:
        def conv(x, channels, kernel, stride, name):
            strides = (1, stride, stride)
            x = Conv3D(channels, kernel, strides, use_bias=False, dtype=self.dtype, name=name)(x)
            norm = nn.BatchNorm(
                not self.train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, name=f"{name}_norm"
            )
            return norm(x)

        y = nn.relu(conv(x, self.channels, (self.frames, 1, 1), 1, "conv1"))
        y = nn.relu(conv(y, self.channels, (1, 3, 3), self.stride, "conv2"))
        y = conv(y, 4 * self.channels, (1, 1, 1), 1, "conv3")
        if x.shape != y.shape:
            x = conv(x, 4 * self.channels, (1, 1, 1), self.stride, "down")
        return nn.relu(x + y)


class PoseC3D(nn.Module):
    """People over time -> logits.

    Attributes:
      num_classes: outputs.
      size: cells of the volumes' height and width, 56 as published.
      sigma: of the Gaussians, cells.
      width: channels of the first layer, 32 as published.
      dropout: in front of the last layer.
      dtype: compute type; parameters and logits stay float32.
    """

    num_classes: int
    size: int = 56
    sigma: float = 0.6
    width: int = 32
    dropout: float = 0.5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B T P J 3"], train: bool = False
    ) -> Float[Array, "B {self.num_classes}"]:
        x = draw_volumes(x, self.size, self.sigma).astype(self.dtype)
        x = Conv3D(self.width, (1, 7, 7), use_bias=False, dtype=self.dtype, name="stem")(x)
        norm = nn.BatchNorm(
            not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, name="stem_norm"
        )
        x = nn.relu(norm(x))
        for stage, (blocks, frames) in enumerate(STAGES):
            for i in range(blocks):
                channels, stride = self.width * 2**stage, 1 if i else 2
                block = Bottleneck(
                    channels, frames, stride, train, self.dtype, name=f"stage{stage}_block{i}"
                )
                x = block(x)
        x = x.astype(jnp.float32).mean((1, 2, 3))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="linear")(x)
