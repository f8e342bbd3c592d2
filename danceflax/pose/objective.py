"""What pose training minimises, in the form `make_train_step` takes."""

from danceflax.pose.loss import stage_losses
from danceflax.pose.targets import make_targets


def make_loss(apply, skeleton, *, stride, sigma, limb_width, mode):
    """Builds the loss of a batch.

    Args:
      apply: (variables, images uint8 [B, H, W, 3]) -> the network's `Maps`.
      skeleton, stride, sigma, limb_width, mode: as in `make_targets`.

    Returns:
      loss(params, model_state, batch, rng) -> (sum over stages and samples, (number of samples,
      {stage: (sum, count)}, model_state)).
    """

    def loss(params, model_state, batch, rng):
        del rng  # these networks draw nothing
        maps = apply({"params": params, **model_state}, batch["image"])
        heatmaps, pafs = make_targets(
            batch["people"], skeleton, maps.pafs[0].shape[1:3], stride, sigma, limb_width, mode
        )
        losses = stage_losses(maps, heatmaps, pafs, batch, skeleton, mode)
        count = batch["weight"].sum()
        metrics = {name: (value, count) for name, value in losses.items()}
        return sum(losses.values()), (count, metrics, model_state)

    return loss
