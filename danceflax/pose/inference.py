"""From images to people: network, flip and multi-scale averaging, decoding, in one function."""

import jax
import jax.numpy as jnp

from danceflax.pose.flip import flip_maps


def make_estimator(apply, skeleton, decode, *, stride=8, flip=False, scales=(1.0,)):
    """Builds the function that finds people.

    Args:
      apply: (variables, images [B, H, W, 3] float 0..255) -> the network's `Maps`.
      skeleton: of the network.
      decode: from `make_decoder`.
      stride: input pixels a map cell.
      flip: average with the maps of the mirrored image.
      scales: average over the image at these sizes; 1.0 is the size it comes in.

    Returns:
      estimate(variables, images uint8 [B, H, W, 3]) -> (people [B, P, J, 3] (x, y, score) in pixels
      of `images`, scores [B, P]). Not jitted: it runs inside the caller's.
    """

    def predict_maps(variables, images):
        maps = apply(variables, images)
        heatmaps, pafs = maps.heatmaps[-1], maps.pafs[-1]
        if flip:
            mirrored = apply(variables, images[:, :, ::-1])
            back = flip_maps(mirrored.heatmaps[-1], mirrored.pafs[-1], skeleton)
            heatmaps, pafs = (heatmaps + back[0]) / 2, (pafs + back[1]) / 2
        return heatmaps, pafs

    def estimate(variables, images):
        images = images.astype(jnp.float32)
        batch, height, width, _ = images.shape
        grid = (height // stride, width // stride)
        total = None
        for scale in scales:
            size = [max(stride, round(n * scale / stride) * stride) for n in (height, width)]
            scaled = images
            if tuple(size) != (height, width):
                scaled = jax.image.resize(images, (batch, *size, 3), "cubic")
            maps = [
                jax.image.resize(x, (batch, *grid, x.shape[-1]), "cubic")
                if x.shape[1:3] != grid
                else x
                for x in predict_maps(variables, scaled)
            ]
            total = maps if total is None else [a + b for a, b in zip(total, maps, strict=True)]
        return decode(*(x / len(scales) for x in total))

    return estimate
