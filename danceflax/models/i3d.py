"""I3D: Inception-v1 inflated to three dimensions (Carreira and Zisserman, CVPR 2017).

Modules carry the names of the published endpoints, `Mixed_3b/Branch_0/Conv3d_0a_1x1/{conv,bn}`, so
that weights convert by name.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from danceflax.errors import UserError
from danceflax.models.conv3d import Conv3D, max_pool3d

# Channels of Branch_0; Branch_1 (1x1, 3x3); Branch_2 (1x1, 3x3); Branch_3 of each Inception block.
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
# (name, window, strides) of the pooling in front of a block.
POOLS = {
    "Mixed_4b": ("MaxPool3d_4a_3x3", (3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ("MaxPool3d_5a_2x2", (2, 2, 2), (2, 2, 2)),
}
ENTRY_STRIDE = {"full": 1, "grid": 8}
MIN_SIZE = 32  # pixels: Mixed_5c is one cell; 224 is what the network was made for
MIN_FRAMES = 9  # two time steps at Mixed_5c, which the average in front of the logits spans


class Unit3D(nn.Module):
    """Convolution without bias, batch norm with an offset and no scale, ReLU.

    With `train` batch statistics are used and the running ones updated, else the running ones are
    used. They stay float32.
    """

    features: int
    kernel_size: tuple = (1, 1, 1)
    strides: tuple = (1, 1, 1)
    train: bool = False
    bn_decay: float = 0.999
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T H W C"]) -> Float[Array, "B t h w {self.features}"]:
        conv = Conv3D(
            self.features, self.kernel_size, self.strides, False, dtype=self.dtype, name="conv"
        )
        bn = nn.BatchNorm(
            use_running_average=not self.train,
            momentum=self.bn_decay,
            epsilon=1e-3,
            use_scale=False,
            dtype=self.dtype,
            name="bn",
        )
        return nn.relu(bn(conv(x)))


class Branch(nn.Module):
    """A 1x1x1 unit, then a 3x3x3 unit if it has a second channel count."""

    channels: tuple
    names: tuple = ("Conv3d_0a_1x1", "Conv3d_0b_3x3")
    train: bool = False
    bn_decay: float = 0.999
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T H W C"]) -> Float[Array, "B T H W {self.channels[-1]}"]:
        for features, name in zip(self.channels, self.names, strict=False):
            size = int(name[-1])
            x = Unit3D(
                features,
                (size,) * 3,
                train=self.train,
                bn_decay=self.bn_decay,
                dtype=self.dtype,
                name=name,
            )(x)
        return x


class Mixed(nn.Module):
    """An Inception block: four branches side by side, concatenated."""

    channels: tuple
    train: bool = False
    bn_decay: float = 0.999
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T H W C"]) -> Float[Array, "B T H W D"]:
        b0, b1a, b1b, b2a, b2b, b3b = self.channels
        options = {"train": self.train, "bn_decay": self.bn_decay, "dtype": self.dtype}
        pooled = max_pool3d(x, (3, 3, 3), (1, 1, 1))
        return jnp.concatenate(
            [
                Branch((b0,), name="Branch_0", **options)(x),
                Branch((b1a, b1b), name="Branch_1", **options)(x),
                Branch((b2a, b2b), name="Branch_2", **options)(x),
                Branch((b3b,), ("Conv3d_0b_1x1",), name="Branch_3", **options)(pooled),
            ],
            -1,
        )


class I3D(nn.Module):
    """Clips [B, T, H, W, C] in [-1, 1], any C, to logits.

    H and W >= 32 (the published network was trained at 224), T >= 9. Mixed_5c is [B, ceil(T / 8),
    ceil(H / 32), ceil(W / 32), 1024 * width]; the logits average over its T' = ceil(T / 8) - 1
    overlapping pairs of time steps and over space.

    Attributes:
      num_classes: None leaves the logits out: the network returns its last block.
      last: the last block, "Mixed_5c" as published; an earlier one is a smaller network.
      entry: "full", or "grid" for maps of stride 8 (H and W are then the grid's, >= 4): an adapter
        with a time stride of 2 takes the stem's place and Mixed_3b follows.
      width: multiplies every channel count but the input's and the classes'.
      dropout: the rate in front of the logits, when training.
      bn_decay: of the running statistics; 0.9 suits short fine-tuning, 0.999 is the published one.
      remat: recompute every unit's and block's inside in the backward pass: less memory on a GPU or
        TPU (benchmarks/bench_memory.py), for one more forward pass.
      dtype: compute type; parameters, statistics and logits stay float32.
    """

    num_classes: int | None = 400
    last: str = "Mixed_5c"
    entry: str = "full"
    width: float = 1.0
    dropout: float = 0.5
    bn_decay: float = 0.999
    remat: bool = False
    dtype: Any = jnp.float32

    def __call__(self, x: Float[Array, "..."], train: bool = False) -> Float[Array, "B ..."]:
        """The logits, or the last block without classes. `train`: batch statistics and dropout.

        Raises:
          UserError: the clip is too short or too small.
        """
        endpoints = self.endpoints(x, train)
        return endpoints[self.last if self.num_classes is None else "Logits"]

    @nn.compact
    def endpoints(
        self, x: Float[Array, "..."], train: bool = False
    ) -> dict[str, Float[Array, "B ..."]]:
        """Every endpoint in order, from Conv3d_1a_7x7 (or Adapter) to `last` or Logits."""
        self._check(x.shape)
        unit, mixed = (nn.remat(Unit3D), nn.remat(Mixed)) if self.remat else (Unit3D, Mixed)
        options = {"train": train, "bn_decay": self.bn_decay, "dtype": self.dtype}
        ends = {}

        def keep(name, value):
            ends[name] = value
            return value

        def layer(x, name, features, size, strides=(1, 1, 1)):
            features, size = max(1, round(features * self.width)), (size,) * 3
            return keep(name, unit(features, size, strides, name=name, **options)(x))

        x = x.astype(self.dtype)
        if self.entry == "full":
            x = layer(x, "Conv3d_1a_7x7", 64, 7, (2, 2, 2))
            x = keep("MaxPool3d_2a_3x3", max_pool3d(x, (1, 3, 3), (1, 2, 2)))
            x = layer(x, "Conv3d_2b_1x1", 64, 1)
            x = layer(x, "Conv3d_2c_3x3", 192, 3)
            x = keep("MaxPool3d_3a_3x3", max_pool3d(x, (1, 3, 3), (1, 2, 2)))
        else:
            x = layer(x, "Adapter", 192, 3, (2, 1, 1))
        for name, channels in MIXED.items():
            if name in POOLS:
                pool, window, strides = POOLS[name]
                x = keep(pool, max_pool3d(x, window, strides))
            channels = tuple(max(1, round(c * self.width)) for c in channels)
            x = keep(name, mixed(channels, name=name, **options)(x))
            if name == self.last:
                break
        if self.num_classes is not None:
            x = ((x[:, :-1] + x[:, 1:]) / 2).mean((2, 3), keepdims=True)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            x = Conv3D(self.num_classes, (1, 1, 1), name="Logits")(x)
            keep("Logits", x.mean((1, 2, 3)))
        return ends

    def _check(self, shape):
        if self.entry not in ENTRY_STRIDE:
            raise UserError(f"I3D entry {self.entry!r} is not known; choose 'full' or 'grid'")
        if self.last not in MIXED:
            raise UserError(f"I3D has no block {self.last!r}; choose {', '.join(MIXED)}")
        if len(shape) != 5:
            raise UserError(f"I3D expects clips [B, T, H, W, C], got an array of shape {shape}")
        frames, smallest = shape[1], MIN_SIZE // ENTRY_STRIDE[self.entry]
        if self.num_classes is not None and frames < MIN_FRAMES:
            raise UserError(
                f"I3D needs clips of at least {MIN_FRAMES} frames, got {frames}; "
                "take longer clips or a smaller frame stride"
            )
        if min(shape[2:4]) < smallest:
            what = "pixels" if self.entry == "full" else "cells of 8 pixels"
            raise UserError(
                f"I3D needs at least {smallest}x{smallest} {what}, got {shape[2]}x{shape[3]}; "
                "raise the crop size"
            )
