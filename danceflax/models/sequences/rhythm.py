"""Small networks on the spectra of joints: rhythm and coordination, no order of frames."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from danceflax.models.sequences.features import rhythm_features
from danceflax.models.sequences.layers import SeenNorm, join_people, split_people


class RhythmNet(nn.Module):
    """People over time -> logits.

    The features of `features.rhythm_features`, each in units of its spread over the training set,
    about its mean, which stands for what is not known; then towers side by side of fully connected
    layers with layer norm. Each drops other numbers, and the logits are their mean: so a training
    window is seen several ways at once.

    Attributes:
      num_classes: outputs.
      parents, centre: of the skeleton; see `layers`.
      span: frames of a short-time spectrum.
      harmonics: of each; the highest swings `harmonics / span` times a frame.
      channels: of each hidden layer of a tower.
      towers: how many there are.
      dropout: in front of every layer.
    """

    num_classes: int
    parents: tuple
    centre: tuple
    span: int = 32
    harmonics: int = 5
    channels: tuple = (256, 256)
    towers: int = 1
    dropout: float = 0.3

    @nn.compact
    def __call__(
        self, x: Float[Array, "B T P J 3"], train: bool = False
    ) -> Float[Array, "B {self.num_classes}"]:
        places, seen = split_people(x)
        of = self.parents, self.centre, self.span, self.harmonics
        y, known = rhythm_features(places, seen, *of)
        counted = jnp.where(known.any(0), known, 1.0)  # what nobody shows has statistics as well
        y = SeenNorm(train, decay=0.99, affine=False, name="input_norm")(y, counted) * known
        drop = nn.Dropout(self.dropout, deterministic=not train)

        def tower(prefix, y):
            for i, features in enumerate(self.channels):
                y = nn.Dense(features, name=f"{prefix}hidden{i}")(drop(y))
                y = nn.gelu(nn.LayerNorm(name=f"{prefix}norm{i}")(y))
            return nn.Dense(self.num_classes, name=f"{prefix}output")(drop(y))

        # The first has no prefix: it is what networks of one tower have been.
        prefixes = ["", *(f"tower{i}_" for i in range(1, self.towers))]
        logits = sum(tower(prefix, y) for prefix in prefixes) / self.towers
        return join_people(logits, seen, x.shape[2])
