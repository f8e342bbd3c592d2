"""Dance classifiers of one I3D stream or several, joined by a 3-D convolution.

The fusion follows the 3D-fused two-stream network (Carreira and Zisserman, CVPR 2017, section 2):
the streams' last grids are concatenated, convolved, pooled and classified.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from danceflax.errors import UserError
from danceflax.models.conv3d import Conv3D
from danceflax.models.i3d import I3D, Unit3D

STREAMS = ("rgb", "flow", "pose")
JOINS = ("channels", "time")
HEADS = ("mean", "time")


class Head(nn.Module):
    """Features to logits.

    A convolution with batch norm and ReLU (none if `channels` is 0), the mean over time and space,
    dropout, a linear layer.
    """

    num_classes: int
    channels: int = 512
    kernel_size: tuple = (3, 3, 3)
    dropout: float = 0.5
    bn_decay: float = 0.999
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B t h w C"], train: bool = False
    ) -> Float[Array, "B {self.num_classes}"]:
        if self.channels:
            x = Unit3D(
                self.channels,
                tuple(self.kernel_size),
                train=train,
                bn_decay=self.bn_decay,
                dtype=self.dtype,
                name="fusion",
            )(x)
        x = x.astype(jnp.float32).mean((1, 2, 3))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="linear")(x)


class TimeHead(nn.Module):
    """Features of t >= 2 time steps to logits; knows the order of time.

    A 1x1x1 convolution to the classes, ReLU, the mean over space and over pairs of time steps,
    dropout, a linear layer over what is left: so its parameters fit one length of clip.
    """

    num_classes: int
    dropout: float = 0.5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B t h w C"], train: bool = False
    ) -> Float[Array, "B {self.num_classes}"]:
        if x.shape[1] < 2:
            raise UserError(
                f"config.model.head_kind='time' needs features of 2 time steps, got {x.shape[1]}; "
                "raise config.clip.frames"
            )
        x = nn.relu(Conv3D(self.num_classes, (1, 1, 1), dtype=self.dtype, name="classes")(x))
        x = x.astype(jnp.float32).mean((2, 3))
        x = ((x[:, :-1] + x[:, 1:]) / 2).transpose(0, 2, 1).reshape(x.shape[0], -1)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="linear")(x)


def align(
    x: Float[Array, "B t h w C"], grid: Sequence[int]
) -> Float[Array, "B {grid[0]} {grid[1]} {grid[2]} C"]:
    """Resamples features to a grid (t, h, w), linearly, cell centres aligned."""
    if x.shape[1:4] == tuple(grid):
        return x
    return jax.image.resize(x, (x.shape[0], *grid, x.shape[4]), "linear")


class StreamClassifier(nn.Module):
    """One or more clips of the same moment to logits.

    Inputs are a dict with one entry a stream: `rgb` [B, T, H, W, 3] and `flow` [B, T', H, W, 2] in
    [-1, 1], `pose` maps [B, T'', h, w, C] at stride 8 (or at full resolution, see `pose_entry`).
    Every stream is an `I3D` up to its last block; later streams are resampled to the first one's
    grid, in space alone where the streams are joined along time.

    Parameters fall into the groups `stream_rgb`, `stream_flow`, `stream_pose` and `head`. The head
    can be applied by itself to features computed once: `features` and `classify` are methods.

    Attributes:
      num_classes: outputs.
      streams: any of "rgb", "flow", "pose", in the order of concatenation.
      frozen: the streams that do not train: they use and keep their running statistics and pass
        no gradient, neither to their parameters nor to their input.
      pose_entry: where the maps enter, "grid" or "full" (see `I3D`).
      last: the streams' last block, "Mixed_5c" as published (see `I3D`).
      width: multiplies the streams' channel counts.
      join: the axis of concatenation: "channels", or "time": the head sees one stream's moments
        after the other's.
      head_kind: "mean" over time (`Head`), or "time" (`TimeHead`).
      head_channels: of `Head`'s 3-D convolution; 0 leaves it out.
      head_kernel: its (time, height, width).
      dropout, bn_decay, remat, dtype: as for `I3D`.
    """

    num_classes: int
    streams: tuple = ("rgb",)
    frozen: tuple = ()
    pose_entry: str = "grid"
    last: str = "Mixed_5c"
    width: float = 1.0
    join: str = "channels"
    head_kind: str = "mean"
    head_channels: int = 512
    head_kernel: tuple = (3, 3, 3)
    dropout: float = 0.5
    bn_decay: float = 0.999
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        unknown = [s for s in (*self.streams, *self.frozen) if s not in STREAMS]
        if unknown or not self.streams or len(set(self.streams)) < len(self.streams):
            raise UserError(
                f"streams={tuple(self.streams)}, frozen={tuple(self.frozen)}: name each stream "
                f"once, choosing from {', '.join(STREAMS)}"
            )
        for key, known in (("join", JOINS), ("head_kind", HEADS)):
            if getattr(self, key) not in known:
                raise UserError(
                    f"config.model.{key}={getattr(self, key)!r}; choose {' or '.join(known)}"
                )
        for name in self.streams:
            stream = I3D(
                num_classes=None,
                last=self.last,
                entry=self.pose_entry if name == "pose" else "full",
                width=self.width,
                bn_decay=self.bn_decay,
                remat=self.remat,
                dtype=self.dtype,
            )
            setattr(self, f"stream_{name}", stream)
        if self.head_kind == "time":
            self.head = TimeHead(self.num_classes, self.dropout, self.dtype)
        else:
            self.head = Head(
                self.num_classes,
                self.head_channels,
                self.head_kernel,
                self.dropout,
                self.bn_decay,
                self.dtype,
            )

    def __call__(
        self, inputs: Mapping[str, Float[Array, "B ..."]], train: bool = False
    ) -> Float[Array, "B {self.num_classes}"]:
        """The logits. `train` holds for the head and for the streams not frozen."""
        return self.classify(self.features(inputs, train), train)

    def features(
        self, inputs: Mapping[str, Float[Array, "B ..."]], train: bool = False
    ) -> Float[Array, "B t h w C"]:
        """The streams' last blocks, joined; by channels C = streams * 1024 * width."""
        missing = [name for name in self.streams if name not in inputs]
        if missing:
            raise UserError(
                f"the classifier has the streams {', '.join(self.streams)}, but its input lacks "
                f"{', '.join(missing)}"
            )
        grids = []
        for name in self.streams:
            still = name in self.frozen
            x = getattr(self, f"stream_{name}")(inputs[name], train and not still)
            x = jax.lax.stop_gradient(x) if still else x
            time, *space = (grids or [x])[0].shape[1:4]
            grids.append(align(x, (x.shape[1] if self.join == "time" else time, *space)))
        return jnp.concatenate(grids, 1 if self.join == "time" else -1)

    def classify(
        self, features: Float[Array, "B t h w C"], train: bool = False
    ) -> Float[Array, "B {self.num_classes}"]:
        """The head alone."""
        return self.head(features, train)
