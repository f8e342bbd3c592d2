"""A classifier that sees frames one by one, and then, if told to, their order."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from danceflax.errors import UserError
from danceflax.models.layers import he_normal

TEMPORAL_HEADS = ("mean", "conv", "gru")


class FrameClassifier(nn.Module):
    """Frames or their features [B, T, h, w, C] to logits.

    Each frame alone passes 3x3 convolutions of stride 2, each with group norm and ReLU, and the
    mean over space; the temporal head joins the frames. Feed it the 128 feature channels of a
    frozen OpenPose network, or plain RGB with more layers: with T = 1, or with "mean", which does
    not see the order of frames, that is the baseline that knows pictures but no motion.

    Attributes:
      num_classes: outputs.
      channels: of each convolution.
      temporal: "mean" over frames; "conv": two convolutions over 3 frames, then the mean; "gru":
        the last state of a gated recurrent unit.
      dropout: the rate in front of the linear layer, when training.
      dtype: compute type; parameters and logits stay float32.
    """

    num_classes: int
    channels: tuple = (128, 256)
    temporal: str = "mean"
    dropout: float = 0.5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "..."], train: bool = False
    ) -> Float[Array, "B {self.num_classes}"]:
        if x.ndim != 5 or self.temporal not in TEMPORAL_HEADS:
            raise UserError(
                f"the frame classifier got input of shape {x.shape} and temporal="
                f"{self.temporal!r}; it expects [B, T, h, w, C] and one of "
                f"{', '.join(TEMPORAL_HEADS)}"
            )
        batch, frames = x.shape[:2]
        x = x.astype(self.dtype).reshape(-1, *x.shape[2:])
        for i, features in enumerate(self.channels, 1):
            x = nn.Conv(
                features,
                (3, 3),
                strides=(2, 2),
                kernel_init=he_normal,
                dtype=self.dtype,
                name=f"conv{i}",
            )(x)
            groups = next(g for g in (8, 4, 2, 1) if features % g == 0)
            x = nn.relu(nn.GroupNorm(groups, dtype=self.dtype, name=f"norm{i}")(x))
        x = x.mean((1, 2)).reshape(batch, frames, -1)
        features = x.shape[-1]
        if self.temporal == "conv":
            for i in (1, 2):
                layer = nn.Conv(features, (3,), dtype=self.dtype, name=f"temporal{i}")
                x = nn.relu(layer(x))
        if self.temporal == "gru":
            cell = nn.GRUCell(features, dtype=self.dtype)
            x = nn.RNN(cell, name="temporal")(x)[:, -1]
        else:
            x = x.mean(1)
        x = nn.Dropout(self.dropout, deterministic=not train)(x.astype(jnp.float32))
        return nn.Dense(self.num_classes, name="linear")(x)
