"""What the networks of keypoint sequences share.

Their input is float32 [B, T, P, J, 3]: x and y of the joints of P people in lengths of the torso
about the mean root of the clip, and whether the joint is seen, 1 or 0. A frame after the end of a
clip shows nobody, nor does a place for a person that is not taken: so lengths and numbers vary. A
joint that is not seen is (0, 0, 0).

A skeleton is known by its joints' parents (joint j hangs on `parents[j]`, the root on itself) and
by the joints whose mean is its `centre`.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from danceflax.models.layers import product


def dense(features: int, name: str) -> nn.Dense:
    """A linear layer of the last axis."""
    return nn.Dense(features, name=name, dot_general=lambda x, kernel, *_, **__: product(x, kernel))


def split_people(
    x: Float[Array, "B T P J 3"],
) -> tuple[Float[Array, "N T J 2"], Float[Array, "N T J 1"]]:
    """(places, seen) of each of the N = B x P people alone."""
    batch, frames, people = x.shape[:3]
    x = jnp.moveaxis(x, 2, 1).reshape(batch * people, frames, *x.shape[3:])
    seen = (x[..., 2:] > 0).astype(x.dtype)
    return x[..., :2] * seen, seen


def join_people(
    values: Float[Array, "N D"], seen: Float[Array, "N T J 1"], people: int
) -> Float[Array, "B D"]:
    """The mean of a value over the people of each sample who are there."""
    there = seen.max((1, 2, 3)).reshape(-1, people, 1)
    values = values.reshape(-1, people, values.shape[-1])
    return (values * there).sum(1) / jnp.maximum(there.sum(1), 1.0)


def find_bones(
    places: Float[Array, "N T J 2"], seen: Float[Array, "N T J 1"], parents: Sequence[int]
) -> tuple[Float[Array, "N T J 2"], Float[Array, "N T J 1"]]:
    """(from its parent to each joint, whether both are seen); the root's bone is 0."""
    parents = np.array(parents)
    both = seen * seen[:, :, parents]
    return (places - places[:, :, parents]) * both, both


def find_motion(
    places: Float[Array, "N T J 2"], seen: Float[Array, "N T J 1"]
) -> tuple[Float[Array, "N T J 2"], Float[Array, "N T J 1"]]:
    """(from each frame to the next, whether both are seen); 0 at the last one, as published."""
    both = jnp.pad(seen[:, 1:] * seen[:, :-1], ((0, 0), (0, 1), (0, 0), (0, 0)))
    change = jnp.pad(places[:, 1:] - places[:, :-1], ((0, 0), (0, 1), (0, 0), (0, 0)))
    return change * both, both


def find_root(
    places: Float[Array, "N T J 2"], seen: Float[Array, "N T J 1"], centre: Sequence[int]
) -> tuple[Float[Array, "N T 1 2"], Float[Array, "N T 1 1"]]:
    """(the mean of the joints `centre`, whether one is seen) of each frame."""
    centre = np.array(centre)
    count = seen[:, :, centre].sum(2, keepdims=True)
    mean = places[:, :, centre].sum(2, keepdims=True) / jnp.maximum(count, 1.0)
    return mean, (count > 0).astype(seen.dtype)


class SeenNorm(nn.Module):
    """Batch norm whose statistics leave out whoever is not there, or each number that is not known.
    [N, ..., C] -> the same.

    Attributes:
      train: whether statistics are the batch's, and the running ones follow.
      decay: of the running statistics.
      affine: whether a scale and bias follow.
    """

    train: bool
    decay: float = 0.9
    affine: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, "N *d C"], there: Float[Array, " N *k"]
    ) -> Float[Array, "..."]:
        there = there.reshape(*there.shape, *[1] * (x.ndim - there.ndim))
        mask = jnp.broadcast_to(there > 0, x.shape)
        norm = nn.BatchNorm(
            not self.train,
            momentum=self.decay,
            epsilon=1e-5,
            use_bias=self.affine,
            use_scale=self.affine,
            name="norm",
        )
        return norm(x, mask=mask)
