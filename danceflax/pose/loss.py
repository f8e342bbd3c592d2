"""What pose training minimises: the masked squared error of every stage's maps."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from danceflax.models.openpose import Maps
from danceflax.pose.grid import to_grid
from danceflax.pose.targets import make_targets
from danceflax.skeleton import ABSENT, UNLABELLED, Skeleton

BOX_MARGIN = 0.15  # of a person's box over its longer side: people are larger than their keypoints


def make_loss(
    apply: Callable,
    skeleton: Skeleton,
    *,
    stride: int,
    sigma: float,
    limb_width: float,
    mode: str,
    train: bool | Collection[str] = False,
) -> Callable:
    """Builds the loss of a batch.

    Args:
      apply: of `on_images`.
      skeleton, stride, sigma, limb_width, mode: as in `make_targets`.
      train: batch norm uses the batch's statistics and updates the running ones; of these stages,
        if it names any.

    Returns:
      loss(params, model_state, batch, rng) -> (sum over stages and samples, (number of samples,
      {stage: (sum, count)}, model_state)).
    """

    def loss(
        params: Any, model_state: dict[str, Any], batch: Mapping[str, Array | np.ndarray], rng: Any
    ) -> tuple[Float[Array, ""], tuple]:
        del rng  # these networks draw nothing
        variables = {"params": params, **model_state}
        if train:
            maps, new_state = apply(variables, batch["image"], train=train)
            model_state = model_state | new_state
        else:
            maps = apply(variables, batch["image"])
        heatmaps, pafs = make_targets(
            batch["people"], skeleton, maps.pafs[0].shape[1:3], stride, sigma, limb_width, mode
        )
        losses = stage_losses(maps, heatmaps, pafs, batch, skeleton, mode, stride)
        count = batch["weight"].sum()
        metrics = {name: (value, count) for name, value in losses.items()}
        return sum(losses.values()), (count, metrics, model_state)

    return loss


def unlabelled_cells(
    people: Float[Array | np.ndarray, "B P J 3"],
    labelled: Bool[Array | np.ndarray, "B J"],
    shape: Sequence[int],
    stride: int,
) -> Bool[Array, "B h w J"]:
    """Where nobody knows of a joint: in the box around each person who has it unlabelled.

    Args:
      people: (x, y, visibility) in input pixels.
      labelled: False for a joint that the whole set leaves out.
      shape: (h, w) of the maps.
      stride: input pixels a map cell.
    """
    known = people[..., 2:] != ABSENT
    unlabelled = (people[..., 2] == UNLABELLED) | ~labelled[:, None]
    xy = to_grid(people[..., :2], stride)
    low = jnp.where(known, xy, jnp.inf).min(2)  # [B, P, 2]
    high = jnp.where(known, xy, -jnp.inf).max(2)
    margin = BOX_MARGIN * (high - low).max(-1, keepdims=True) + 1.0
    low, high = low - margin, high + margin
    x, y = jnp.arange(shape[1]), jnp.arange(shape[0])
    columns = (x >= low[..., :1]) & (x <= high[..., :1])
    rows = (y >= low[..., 1:]) & (y <= high[..., 1:])
    each = (unlabelled.astype(jnp.float32), rows.astype(jnp.float32), columns.astype(jnp.float32))
    return jnp.einsum("bpj,bph,bpw->bhwj", *each) > 0


def stage_losses(
    maps: Maps,
    heatmaps: Float[Array | np.ndarray, "B h w C"],
    pafs: Float[Array | np.ndarray, "B h w D"],
    batch: Mapping[str, Array | np.ndarray],
    skeleton: Skeleton,
    mode: str = "paper",
    stride: int = 8,
) -> dict[str, Float[Array, ""]]:
    """Half the squared error of each stage, summed over channels and cells and over the batch.

    Divided by the number of samples this is Caffe's EuclideanLoss, 1 / (2 N) * sum, so that values
    compare with published training logs. It grows with the map's area.

    Args:
      maps: the network's output.
      heatmaps, pafs: targets.
      batch: holds `people` [B, P, J, 3] in input pixels, `mask` uint8 [B, h, w] (0..255),
        `labelled` bool [B, J], `weight` [B].
      skeleton: says which joints a limb joins.
      mode: "paper" weighs a cell by its mask once, "caffe" by its square, as the older code does.
      stride: input pixels a map cell.

    Returns:
      A sum for each of "paf_stage0", ..., "heatmap_stage0", ...
    """
    mask = batch["mask"].astype(jnp.float32) / 255.0
    mask = mask * mask if mode == "caffe" else mask
    mask = (mask * batch["weight"][:, None, None])[..., None]
    unknown = unlabelled_cells(batch["people"], batch["labelled"], mask.shape[1:3], stride)
    joints = (batch["labelled"][:, None, None] & ~unknown).astype(jnp.float32)  # [B, h, w, J]
    a, b = np.array(skeleton.limbs).T
    limbs = jnp.repeat(joints[..., a] * joints[..., b], 2, axis=-1)
    sure = ~unknown.any(-1, keepdims=True)

    def total(predicted, target, channels):
        return 0.5 * (jnp.square(predicted - target) * mask * channels).sum()

    losses = {}
    for i, predicted in enumerate(maps.pafs):
        losses[f"paf_stage{i}"] = total(predicted, pafs, limbs)
    for i, predicted in enumerate(maps.heatmaps):
        # Where joints are unknown, the background is at most what the known ones leave of it.
        background = sure | (predicted[..., -1:] > heatmaps[..., -1:])
        channels = jnp.concatenate([joints, background], -1)
        losses[f"heatmap_stage{i}"] = total(predicted, heatmaps, channels)
    return losses
