"""What classifier training minimises, on the device."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from danceflax.dance.inputs import OPENPOSE
from danceflax.errors import UserError
from danceflax.models.streams import StreamClassifier


def make_apply(
    model: nn.Module, features: bool = False, freeze_batchnorm: bool = False
) -> Callable:
    """Builds apply(variables, clips, train, rng) -> (logits [B, C], new model state).

    Args:
      model: of a `Classifier`.
      features: clips are the streams' features, computed once; the head alone runs.
      freeze_batchnorm: training streams use their running statistics too.
    """

    def run(module, x, train):
        if features:
            return module.classify(x, train)
        if freeze_batchnorm and isinstance(module, StreamClassifier):
            return module.classify(module.features(x, False), train)
        return module(x, train)

    def apply(
        variables: Mapping[str, Any],
        clips: Mapping[str, Array],
        train: bool = False,
        rng: Key[Array, ""] | None = None,
    ) -> tuple[Float[Array, "B C"], dict[str, Any]]:
        own = {
            kind: {name: leaf for name, leaf in tree.items() if name != OPENPOSE}
            for kind, tree in variables.items()
        }
        if features or not isinstance(model, StreamClassifier):
            (clips,) = clips.values()
        if not train:
            return model.apply(own, clips, False, method=run), {}
        logits, state = model.apply(
            own, clips, True, method=run, rngs={"dropout": rng}, mutable=["batch_stats"]
        )
        return logits, dict(state)

    return apply


def make_loss(
    prepare: Callable,
    apply: Callable,
    num_classes: int,
    *,
    label_smoothing: float,
    class_weights: Sequence[float] | Float[np.ndarray, " C"] | None,
    mixup_alpha: float,
) -> Callable:
    """Builds the loss in the form `make_train_step` takes; its metric is top1."""

    def loss(
        params: Any, model_state: Mapping[str, Any], batch: Mapping[str, Array], rng: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Float[Array, ""], dict[str, Any], dict[str, Any]]]:
        mix_rng, dropout_rng = jax.random.split(rng)
        clips = prepare(params, batch)
        targets = jax.nn.one_hot(batch["label"], num_classes)
        if mixup_alpha:
            clips, targets = mixup(mix_rng, clips, targets, mixup_alpha)
        logits, new_state = apply({"params": params, **model_state}, clips, True, dropout_rng)
        total, count = cross_entropy(
            logits, targets, batch["weight"], label_smoothing, class_weights
        )
        hits = (logits.argmax(-1) == batch["label"]) * batch["weight"]
        metrics = {"top1": (hits.sum(), batch["weight"].sum())}
        return total, (count, metrics, model_state | new_state)

    return loss


def cross_entropy(
    logits: Float[Array | np.ndarray, "B C"],
    targets: Float[Array, "B C"],
    weight: Float[Array | np.ndarray, " B"],
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | Float[np.ndarray, " C"] | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Cross-entropy of a batch, as PyTorch defines it with class weights and smoothing.

    Args:
      logits: of the network.
      targets: one-hot or a mixture; rows add to 1.
      weight: 0 for padding.
      label_smoothing: share of each target spread evenly over all classes (Szegedy et al. 2016).
      class_weights: of `choose_class_weights`.

    Returns:
      (sum, count): the mean loss is sum / count; count adds the class weights of the targets.
    """
    factors = jnp.ones(logits.shape[-1]) if class_weights is None else jnp.asarray(class_weights)
    smooth = (1 - label_smoothing) * targets + label_smoothing / logits.shape[-1]
    losses = -(factors * smooth * jax.nn.log_softmax(logits)).sum(-1)
    return (losses * weight).sum(), ((factors * targets).sum(-1) * weight).sum()


def mixup(
    rng: Key[Array, ""], inputs: Any, targets: Float[Array, "B C"], alpha: float
) -> tuple[Any, Float[Array, "B C"]]:
    """Mixes every sample with another of its shard (Zhang et al. 2018).

    Args:
      rng: of the share and of who is mixed with whom.
      inputs: a tree of float [B, ...].
      targets: as for `cross_entropy`.
      alpha: of the Beta distribution of the share.

    Returns:
      Inputs and targets, mixed alike.
    """
    share_rng, order_rng = jax.random.split(rng)
    share = jax.random.beta(share_rng, alpha, alpha)
    order = jax.random.permutation(order_rng, len(targets))
    mix = lambda x: share * x + (1 - share) * x[order]  # noqa: E731
    return jax.tree.map(mix, inputs), mix(targets)


def choose_class_weights(
    kind: str, labels: Int[np.ndarray, " N"], num_classes: int
) -> Float[np.ndarray, " C"] | None:
    """Class weights: "balanced", inverse to the class counts, 1 in the mean over clips; or None
    for "none"."""
    if kind not in ("none", "balanced"):
        raise UserError(f"config.loss.class_weights={kind!r}; choose none or balanced")
    if kind == "none":
        return None
    counts = np.bincount(labels, minlength=num_classes)
    return (len(labels) / (num_classes * np.maximum(counts, 1))).astype(np.float32)
