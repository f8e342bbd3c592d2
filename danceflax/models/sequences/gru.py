"""A bidirectional gated recurrent unit over the frames."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from danceflax.models.sequences.features import frame_features
from danceflax.models.sequences.layers import join_people, split_people


class SequenceGRU(nn.Module):
    """People over time -> logits.

    A linear layer on each frame's features, recurrent layers in both directions, the mean over the
    frames that show the person.

    Attributes:
      num_classes: outputs.
      centre: of the skeleton; see `layers`.
      width: of the states.
      layers: recurrent ones.
      dropout: after each.
    """

    num_classes: int
    centre: tuple
    width: int = 128
    layers: int = 2
    dropout: float = 0.3

    @nn.compact
    def __call__(
        self, x: Float[Array, "B T P J 3"], train: bool = False
    ) -> Float[Array, "B {self.num_classes}"]:
        places, seen = split_people(x)
        shown = seen.max((2, 3))
        y = nn.Dense(self.width, name="embed")(frame_features(places, seen, self.centre))
        for i in range(self.layers):
            both = nn.Bidirectional(
                nn.RNN(nn.GRUCell(self.width, parent=None)),
                nn.RNN(nn.GRUCell(self.width, parent=None)),
                name=f"gru{i}",
            )
            y = nn.Dropout(self.dropout, deterministic=not train)(both(y))
        count = jnp.maximum(shown.sum(1), 1.0)[:, None]
        y = (y * shown[..., None]).sum(1) / count
        return join_people(nn.Dense(self.num_classes, name="output")(y), seen, x.shape[2])
