"""Part affinity fields joined to one field, which looks like optical flow of the bodies."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def join_pafs(pafs: Float[Array, "... C"]) -> Float[Array, "... 2"]:
    """For x and for y the limb's value of the largest magnitude, with its sign.

    So an I3D that starts from flow weights can read where the limbs of all people point.

    Args:
      pafs: C = 2 L channels, (x, y) of limb after limb.
    """
    axes = pafs.reshape(*pafs.shape[:-1], -1, 2)
    high, low = axes.max(-2), axes.min(-2)
    return jnp.where(high >= -low, high, low)
