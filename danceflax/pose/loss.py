"""What pose training minimises: the masked squared error of every stage's maps."""

import jax.numpy as jnp
import numpy as np

from danceflax.pose.targets import make_targets


def make_loss(apply, skeleton, *, stride, sigma, limb_width, mode, train=False):
    """Builds the loss of a batch.

    Args:
      apply: of `on_images`.
      skeleton, stride, sigma, limb_width, mode: as in `make_targets`.
      train: batch norm uses the batch's statistics and updates the running ones.

    Returns:
      loss(params, model_state, batch, rng) -> (sum over stages and samples, (number of samples,
      {stage: (sum, count)}, model_state)).
    """

    def loss(params, model_state, batch, rng):
        del rng  # these networks draw nothing
        variables = {"params": params, **model_state}
        if train:
            maps, new_state = apply(variables, batch["image"], train=True)
            model_state = model_state | new_state
        else:
            maps = apply(variables, batch["image"])
        heatmaps, pafs = make_targets(
            batch["people"], skeleton, maps.pafs[0].shape[1:3], stride, sigma, limb_width, mode
        )
        losses = stage_losses(maps, heatmaps, pafs, batch, skeleton, mode)
        count = batch["weight"].sum()
        metrics = {name: (value, count) for name, value in losses.items()}
        return sum(losses.values()), (count, metrics, model_state)

    return loss


def stage_losses(maps, heatmaps, pafs, batch, skeleton, mode="paper"):
    """Half the squared error of each stage, summed over channels and cells and over the batch.

    Divided by the number of samples this is Caffe's EuclideanLoss, 1 / (2 N) * sum, so that values
    compare with published training logs. It grows with the map's area.

    Args:
      maps: the network's output; `maps.pafs` and `maps.heatmaps` list [B, h, w, C] arrays.
      heatmaps, pafs: targets of the same shapes.
      batch: holds `mask` uint8 [B, h, w] (0..255), `labelled` bool [B, J], `weight` [B].
      skeleton: says which joints a limb joins.
      mode: "paper" weighs a cell by its mask once, "caffe" by its square, as the older code does.

    Returns:
      {"paf_stage0": sum, ..., "heatmap_stage0": sum, ...}: scalars, one a stage.
    """
    mask = batch["mask"].astype(jnp.float32) / 255.0
    mask = mask * mask if mode == "caffe" else mask
    mask = (mask * batch["weight"][:, None, None])[..., None]
    joints = batch["labelled"].astype(jnp.float32)  # [B, J]
    a, b = np.array(skeleton.limbs).T
    limbs = jnp.repeat(joints[:, a] * joints[:, b], 2, axis=-1)
    background = jnp.ones_like(joints[:, :1])

    def total(predicted, target, channels):
        error = jnp.square(predicted - target) * mask * channels[:, None, None, :]
        return 0.5 * error.sum()

    losses = {}
    for i, predicted in enumerate(maps.pafs):
        losses[f"paf_stage{i}"] = total(predicted, pafs, limbs)
    for i, predicted in enumerate(maps.heatmaps):
        channels = jnp.concatenate([joints, background], -1)
        losses[f"heatmap_stage{i}"] = total(predicted, heatmaps, channels)
    return losses
