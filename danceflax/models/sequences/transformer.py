"""A Transformer encoder (Vaswani et al. 2017, normalised first) over frames or joints."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from danceflax.errors import UserError
from danceflax.models.sequences.features import frame_features
from danceflax.models.sequences.layers import find_root, join_people, split_people

TOKENS = ("frames", "joints")


def sinusoids(length: int, width: int) -> Float[np.ndarray, "{length} {width}"]:
    """Position codes of Vaswani et al. 2017: sines, then cosines."""
    rates = 10_000.0 ** -(np.arange(width // 2) / (width // 2))
    angles = np.outer(np.arange(length), rates)
    return np.concatenate([np.sin(angles), np.cos(angles)], -1).astype(np.float32)


class Block(nn.Module):
    """Self-attention and a layer for each token."""

    heads: int
    dropout: float
    train: bool

    @nn.compact
    def __call__(
        self, x: Float[Array | np.ndarray, "N K D"], shown: Float[Array | np.ndarray, "N K"]
    ) -> Float[Array, "N K D"]:
        drop = nn.Dropout(self.dropout, deterministic=not self.train)
        y = nn.LayerNorm(name="attention_norm")(x)
        mask = nn.make_attention_mask(jnp.ones_like(shown), shown)
        x = x + drop(nn.MultiHeadDotProductAttention(self.heads, name="attention")(y, mask=mask))
        y = nn.LayerNorm(name="mlp_norm")(x)
        y = nn.gelu(nn.Dense(4 * x.shape[-1], name="mlp_in")(y))
        return x + drop(nn.Dense(x.shape[-1], name="mlp_out")(y))


class SequenceTransformer(nn.Module):
    """People over time -> logits.

    A token is all joints, or one joint, over `patch` frames; the answer is of the mean of those
    that show anything.

    Attributes:
      num_classes: outputs.
      centre: of the skeleton; see `layers`.
      tokens: "frames" or "joints".
      patch: frames a token.
      width: of the tokens.
      layers, heads: of the encoder.
      dropout: of what each layer adds.
    """

    num_classes: int
    centre: tuple
    tokens: str = "frames"
    patch: int = 8
    width: int = 128
    layers: int = 4
    heads: int = 4
    dropout: float = 0.2

    @nn.compact
    def __call__(
        self, x: Float[Array, "B T P J 3"], train: bool = False
    ) -> Float[Array, "B {self.num_classes}"]:
        if self.tokens not in TOKENS:
            raise UserError(f"config.model.tokens={self.tokens!r}; choose {' or '.join(TOKENS)}")
        places, seen = split_people(x)
        values, shown = self.cut(places, seen)
        y = nn.Dense(self.width, name="embed")(values)
        y = y + sinusoids(y.shape[1], self.width)[None, :, None]
        if self.tokens == "joints":
            y = y + nn.Dense(self.width, use_bias=False, name="joint")(jnp.eye(y.shape[2]))
        y = y.reshape(y.shape[0], -1, self.width)
        shown = shown.reshape(y.shape[0], -1)
        for i in range(self.layers):
            y = Block(self.heads, self.dropout, train, name=f"block{i}")(y, shown)
        y = nn.LayerNorm(name="norm")(y)
        count = jnp.maximum(shown.sum(1), 1.0)[:, None]
        y = (y * shown[..., None]).sum(1) / count
        return join_people(nn.Dense(self.num_classes, name="output")(y), seen, x.shape[2])

    def cut(
        self, places: Float[Array, "N T J 2"], seen: Float[Array, "N T J 1"]
    ) -> tuple[Float[Array, "N K I D"], Float[Array, "N K I"]]:
        """Values of K = T / patch tokens, of I = 1 or J items, and which of them show anything; a
        rest of frames is filled with ones that show nothing."""
        rest = ((0, 0), (0, -places.shape[1] % self.patch), (0, 0), (0, 0))
        places, seen = jnp.pad(places, rest), jnp.pad(seen, rest)
        if self.tokens == "joints":
            root, _ = find_root(places, seen, self.centre)
            values, shown = jnp.concatenate([(places - root) * seen, seen], -1), seen[..., 0]
        else:
            values = frame_features(places, seen, self.centre)[:, :, None]
            shown = seen.max((2, 3))[:, :, None]
        batch, _, items, channels = values.shape
        values = values.reshape(batch, -1, self.patch, items, channels)
        values = jnp.moveaxis(values, 2, 3).reshape(batch, -1, items, self.patch * channels)
        return values, shown.reshape(batch, -1, self.patch, items).max(2)
