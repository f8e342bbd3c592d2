"""From uint8 RGB to what a network was trained on. Statistics travel with the weights."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

# OpenPose: x / 256 - 0.5 on each channel.
OPENPOSE = {"mean": (128.0, 128.0, 128.0), "std": (256.0, 256.0, 256.0)}
# I3D: [-1, 1].
SYMMETRIC = {"mean": (127.5, 127.5, 127.5), "std": (127.5, 127.5, 127.5)}


def normalise(
    images: Num[ArrayLike, "*n 3"], normalisation: Mapping[str, Sequence[float]]
) -> Float[Array, "*n 3"]:
    """(images - mean) / std of RGB 0..255, float32; mean and std are per channel."""
    mean = jnp.array(normalisation["mean"], jnp.float32)
    std = jnp.array(normalisation["std"], jnp.float32)
    return (images.astype(jnp.float32) - mean) / std


def on_images(model: nn.Module, normalisation: Mapping[str, Sequence[float]]) -> Callable:
    """apply(variables, images of RGB 0..255): the model on the normalised images.

    With `train` (True, or names of the parts that train) it gives (the same by the batch's own
    statistics, the new model state).
    """

    def apply(
        variables: Mapping[str, Any],
        images: Num[ArrayLike, "B H W 3"],
        train: bool | Collection[str] = False,
    ) -> Any:
        images = normalise(images, normalisation)
        if not train:
            return model.apply(variables, images)
        output, state = model.apply(variables, images, train, mutable=["batch_stats"])
        return output, dict(state)

    return apply
