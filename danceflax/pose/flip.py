"""Maps of a mirrored image turned back into maps of the image: for flip testing."""

import jax.numpy as jnp
import numpy as np


def flip_maps(heatmaps, pafs, skeleton):
    """Mirrors maps left to right and swaps what is left and right in them.

    Mirroring the people and mirroring the maps commute: `flip_maps` of what a network says of the
    mirrored image is what it should say of the image. It is its own inverse.

    Args:
      heatmaps: [..., h, w, J + 1], background last.
      pafs: [..., h, w, 2 L].
      skeleton: a `Skeleton` with J joints and L limbs.

    Returns:
      Heatmaps and PAFs of the same shapes.
    """
    joints = np.append(skeleton.flip, skeleton.num_joints)
    limb, sign = skeleton.limb_flip
    channels = np.stack([2 * limb, 2 * limb + 1], -1).ravel()
    signs = np.stack([-sign, sign], -1).ravel()
    heatmaps = jnp.flip(heatmaps, -2)[..., joints]
    return heatmaps, jnp.flip(pafs, -2)[..., channels] * signs.astype(pafs.dtype)
