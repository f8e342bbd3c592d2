"""Dance classifiers of one I3D stream or several, joined by a 3-D convolution.

The fusion follows the 3D-fused two-stream network (Carreira and Zisserman, CVPR 2017, section 2):
the streams' last grids are concatenated, convolved, pooled and classified.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from danceflax.errors import UserError
from danceflax.models.i3d import I3D, Unit3D

STREAMS = ("rgb", "flow", "pose")


class Head(nn.Module):
    """Features [B, t, h, w, C] -> logits [B, num_classes] float32.

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
    def __call__(self, x, train=False):
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


def align(x, grid):
    """Resamples features [B, t, h, w, C] to a grid (t, h, w), linearly, cell centres aligned."""
    if x.shape[1:4] == tuple(grid):
        return x
    return jax.image.resize(x, (x.shape[0], *grid, x.shape[4]), "linear")


class StreamClassifier(nn.Module):
    """One or more clips of the same moment -> logits [B, num_classes].

    Inputs are a dict with one entry a stream: `rgb` [B, T, H, W, 3] and `flow` [B, T', H, W, 2] in
    [-1, 1], `pose` maps [B, T'', h, w, C] at stride 8 (or at full resolution, see `pose_entry`).
    Every stream is an `I3D` up to its last block; later streams are resampled to the first one's
    grid.

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
      head_channels: of the 3-D convolution; 0 leaves it out.
      head_kernel: its (time, height, width).
      dropout, bn_decay, remat, dtype: as for `I3D`.
    """

    num_classes: int
    streams: tuple = ("rgb",)
    frozen: tuple = ()
    pose_entry: str = "grid"
    last: str = "Mixed_5c"
    width: float = 1.0
    head_channels: int = 512
    head_kernel: tuple = (3, 3, 3)
    dropout: float = 0.5
    bn_decay: float = 0.999
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self):
        unknown = [s for s in (*self.streams, *self.frozen) if s not in STREAMS]
        if unknown or not self.streams or len(set(self.streams)) < len(self.streams):
            raise UserError(
                f"streams={tuple(self.streams)}, frozen={tuple(self.frozen)}: name each stream "
                f"once, choosing from {', '.join(STREAMS)}"
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
        self.head = Head(
            self.num_classes,
            self.head_channels,
            self.head_kernel,
            self.dropout,
            self.bn_decay,
            self.dtype,
        )

    def __call__(self, inputs, train=False):
        """The logits, float32. `train` holds for the head and for the streams not frozen."""
        return self.classify(self.features(inputs, train), train)

    def features(self, inputs, train=False):
        """The streams' last blocks side by side; Mixed_5c: [B, t, h, w, streams * 1024 * width]."""
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
            grids.append(align(x, grids[0].shape[1:4]) if grids else x)
        return jnp.concatenate(grids, -1)

    def classify(self, features, train=False):
        """The head alone: features [B, t, h, w, C] -> logits [B, num_classes] float32."""
        return self.head(features, train)
