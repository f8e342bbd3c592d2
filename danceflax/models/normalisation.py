"""From uint8 RGB to what a network was trained on. Statistics travel with the weights."""

import jax.numpy as jnp

# OpenPose: x / 256 - 0.5 on each channel.
OPENPOSE = {"mean": (128.0, 128.0, 128.0), "std": (256.0, 256.0, 256.0)}
# I3D: [-1, 1].
SYMMETRIC = {"mean": (127.5, 127.5, 127.5), "std": (127.5, 127.5, 127.5)}


def normalise(images, normalisation):
    """(images - mean) / std in float32. images [..., 3] uint8 RGB; mean and std are per channel."""
    mean = jnp.array(normalisation["mean"], jnp.float32)
    std = jnp.array(normalisation["std"], jnp.float32)
    return (images.astype(jnp.float32) - mean) / std


def on_images(model, normalisation):
    """apply(variables, images [B, H, W, 3] RGB 0..255): the model on the normalised images.

    With `train` it gives (the same by the batch's own statistics, the new model state).
    """

    def apply(variables, images, train=False):
        images = normalise(images, normalisation)
        if not train:
            return model.apply(variables, images)
        output, state = model.apply(variables, images, True, mutable=["batch_stats"])
        return output, dict(state)

    return apply
