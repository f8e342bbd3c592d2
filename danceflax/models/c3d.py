"""C3D (Tran et al., ICCV 2015): eight 3x3x3 convolutions, five pools, three linear layers."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from danceflax.errors import UserError
from danceflax.models.conv3d import Conv3D, max_pool3d

# Channels of each layer `conv1a`, `conv2a`, `conv3a`, `conv3b`, ... between the pools.
BLOCKS = ((64,), (128,), (256, 256), (512, 512), (512, 512))


class C3D(nn.Module):
    """Clips [B, T, H, W, C] to logits.

    The published input is 16 frames of 112x112. The first linear layer reads the whole last grid,
    so parameters fit the clip size they were made for. With 101 classes 78,409,573 parameters.

    Attributes:
      num_classes: outputs.
      width: multiplies every hidden channel count.
      dropout: the rate after each hidden linear layer, when training.
      dtype: compute type; parameters and logits stay float32.
    """

    num_classes: int
    width: float = 1.0
    dropout: float = 0.5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "..."], train: bool = False
    ) -> Float[Array, "B {self.num_classes}"]:
        if x.ndim != 5:
            raise UserError(f"C3D expects clips [B, T, H, W, C], got an array of shape {x.shape}")
        x = x.astype(self.dtype)
        for block, widths in enumerate(BLOCKS, 1):
            for channels, letter in zip(widths, "ab", strict=False):
                features, name = self._scaled(channels), f"conv{block}{letter}"
                x = nn.relu(Conv3D(features, dtype=self.dtype, name=name)(x))
            if block == len(BLOCKS):  # the published last pool pads one cell in front: 7 -> 4
                x = jnp.pad(x, ((0, 0), (0, 0), (1, 0), (1, 0), (0, 0)))
            pool = (1, 2, 2) if block == 1 else (2, 2, 2)
            x = max_pool3d(x, pool, pool)
        x = x.reshape(x.shape[0], -1)
        for name in ("fc6", "fc7"):
            x = nn.relu(nn.Dense(self._scaled(4096), dtype=self.dtype, name=name)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="fc8")(x.astype(jnp.float32))

    def _scaled(self, channels):
        return max(1, round(channels * self.width))
