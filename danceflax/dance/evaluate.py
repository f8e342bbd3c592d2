"""What classifier training minimises (device), and what an evaluation reports (numpy)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from danceflax.errors import UserError
from danceflax.io.files import write_csv, write_whole

TOP = (1, 3, 5)


def cross_entropy(logits, targets, weight, label_smoothing=0.0, class_weights=None):
    """Cross-entropy of a batch, as PyTorch defines it with class weights and smoothing.

    Args:
      logits: [B, C].
      targets: [B, C], one-hot or a mixture; rows add to 1.
      weight: [B], 0 for padding.
      label_smoothing: share of each target spread evenly over all classes (Szegedy et al. 2016).
      class_weights: [C] or None.

    Returns:
      (sum, count): the mean loss is sum / count; count adds the class weights of the targets.
    """
    factors = jnp.ones(logits.shape[-1]) if class_weights is None else jnp.asarray(class_weights)
    smooth = (1 - label_smoothing) * targets + label_smoothing / logits.shape[-1]
    losses = -(factors * smooth * jax.nn.log_softmax(logits)).sum(-1)
    return (losses * weight).sum(), ((factors * targets).sum(-1) * weight).sum()


def mixup(rng, inputs, targets, alpha):
    """Mixes every sample with another of its shard (Zhang et al. 2018).

    Args:
      rng: a jax key.
      inputs: a tree of float [B, ...].
      targets: [B, C].
      alpha: of the Beta distribution of the share.

    Returns:
      (inputs, targets), mixed alike.
    """
    share_rng, order_rng = jax.random.split(rng)
    share = jax.random.beta(share_rng, alpha, alpha)
    order = jax.random.permutation(order_rng, len(targets))
    mix = lambda x: share * x + (1 - share) * x[order]  # noqa: E731
    return jax.tree.map(mix, inputs), mix(targets)


def choose_class_weights(kind, labels, num_classes):
    """Class weights [C]: "balanced", inverse to the class counts, 1 in the mean over clips; or None
    for "none"."""
    if kind not in ("none", "balanced"):
        raise UserError(f"config.loss.class_weights={kind!r}; choose none or balanced")
    if kind == "none":
        return None
    counts = np.bincount(labels, minlength=num_classes)
    return (len(labels) / (num_classes * np.maximum(counts, 1))).astype(np.float32)


def top_k_hits(probabilities, labels, k):
    """[N] bool: is the label among the k most probable classes? A tie counts against it."""
    own = np.take_along_axis(probabilities, labels[:, None], 1)
    rivals = (probabilities >= own).sum(1) - 1
    return rivals < k


def confusion_matrix(probabilities, labels):
    """int [C, C]: how many clips of class i (row) were taken for class j (column)."""
    num_classes = probabilities.shape[1]
    pairs = labels * num_classes + probabilities.argmax(1)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def measure(probabilities, labels):
    """The figures of an evaluation, one answer a video.

    Args:
      probabilities: [N, C], averaged over the views of each video.
      labels: int [N].

    Returns:
      {"top1", "top3", "top5" (where there are more classes), "mean_class_accuracy",
      "macro_precision", "macro_recall", "macro_f1", "loss", "clips"}. A class that is never
      predicted has precision 0; classes without clips are left out of the means.
    """
    table = per_class(confusion_matrix(probabilities, labels))
    there = table["clips"] > 0
    metrics = {
        f"top{k}": float(top_k_hits(probabilities, labels, k).mean())
        for k in TOP
        if k < probabilities.shape[1] or k == 1
    }
    metrics["mean_class_accuracy"] = float(table["recall"][there].mean())
    for name in ("precision", "recall", "f1"):
        metrics[f"macro_{name}"] = float(table[name][there].mean())
    own = np.take_along_axis(probabilities, labels[:, None], 1)
    metrics["loss"] = float(-np.log(np.maximum(own, 1e-12)).mean())
    return metrics | {"clips": len(labels)}


def per_class(confusion):
    """{"clips", "precision", "recall", "f1"}: an array [C] each, of a confusion matrix."""
    right, clips, taken = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    precision, recall = right / np.maximum(taken, 1), right / np.maximum(clips, 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return {"clips": clips, "precision": precision, "recall": recall, "f1": f1}


def per_class_rows(confusion, class_names):
    """Rows of text of the per-class table: class, clips, precision, recall, F1, taken most for."""
    table, rows = per_class(confusion), []
    for k, name in enumerate(class_names):
        others = np.where(np.arange(len(class_names)) == k, 0, confusion[k])
        rival = others.argmax()
        rows.append(
            (name, f"{table['clips'][k]}")
            + tuple(f"{table[key][k]:.3f}" for key in ("precision", "recall", "f1"))
            + (f"{class_names[rival]} ({others[rival]})" if others[rival] else "-",)
        )
    return rows


def write_confusion(stem, confusion, class_names):
    """Writes STEM.csv (rows: true, columns: predicted) and STEM.png, each whole or not at all."""
    import matplotlib.figure  # takes a second to import

    stem = pathlib.Path(stem)
    table, picture = stem.with_name(stem.name + ".csv"), stem.with_name(stem.name + ".png")
    rows = ([n, *row] for n, row in zip(class_names, confusion.tolist(), strict=True))
    write_csv(table, [["true \\ predicted", *class_names], *rows])

    count = len(class_names)
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    side = min(24, 2.5 + 0.5 * count)
    figure = matplotlib.figure.Figure((side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(count), class_names, rotation=90)
    axes.set_yticks(range(count), class_names)
    axes.set(xlabel="predicted", ylabel="true")
    for i, j in np.argwhere(confusion) if count <= 40 else ():
        colour = "white" if share[i, j] > 0.5 else "black"
        axes.text(j, i, confusion[i, j], ha="center", va="center", color=colour)
    with write_whole(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
    return table, picture
