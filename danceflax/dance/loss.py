"""The steps of a classifier: training, evaluation, features; all on the device."""

import jax
import jax.numpy as jnp
import numpy as np

from danceflax.dance.evaluate import cross_entropy, mixup
from danceflax.dance.inputs import NETWORK
from danceflax.models.streams import StreamClassifier


def make_apply(model, features=False, freeze_batchnorm=False):
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

    def apply(variables, clips, train=False, rng=None):
        own = {
            kind: {name: leaf for name, leaf in tree.items() if name != NETWORK}
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


def make_loss(prepare, apply, num_classes, *, label_smoothing, class_weights, mixup_alpha):
    """Builds the loss in the form `make_train_step` takes; its metric is top1."""

    def loss(params, model_state, batch, rng):
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


def make_classify(prepare, apply):
    """Builds classify(variables, batch of [B, V, ...]) -> probabilities [B, C], the views' mean."""

    def classify(variables, batch):
        def one_view(view):
            logits, _ = apply(variables, prepare(variables["params"], view))
            return jax.nn.softmax(logits)

        return _over_views(one_view, batch).mean(1)

    return classify


def make_features(prepare, model):
    """Builds features(variables, batch of [B, V, ...]) -> the streams' features [B, V, ...]."""

    def features(variables, batch):
        def one_view(view):
            clips = prepare(variables["params"], view)
            return model.apply(variables, clips, method="features")

        return _over_views(one_view, batch)

    return features


def _over_views(function, batch):
    """function([B, ...]) of each view of [B, V, ...], one after the other: the memory of one."""
    views = {k: jnp.moveaxis(v, 1, 0) for k, v in batch.items() if v.ndim > 1}
    return jnp.moveaxis(jax.lax.map(function, views), 0, 1)


def classify_batches(classify, variables, batches, gather=np.asarray):
    """(probabilities [N, C], labels [N], names) over one pass; padding is left out.

    Args:
      classify: from `make_classify`, mapped over devices.
      gather: puts the arrays of all processes one after the other; names are this process's.
    """
    probabilities, labels, names = [], [], []
    for batch, batch_names in batches:
        found = gather(classify(variables, batch))
        label, weight = (gather(batch[key]) for key in ("label", "weight"))
        probabilities.append(found[weight > 0])
        labels.append(label[weight > 0])
        names += [n for n, w in zip(batch_names, batch["weight"], strict=True) if w > 0]
    return np.concatenate(probabilities), np.concatenate(labels).astype(int), names
