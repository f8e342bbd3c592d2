"""How good a classifier is: its answers over a pass, on the device, and the figures of them."""

import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped
from ml_collections import ConfigDict

from danceflax.dance.classifiers import assemble
from danceflax.dance.draw import draw_confusion
from danceflax.dance.inputs import make_mirror, make_prepare, make_view, open_people
from danceflax.dance.loss import make_apply
from danceflax.data.loader import load_once
from danceflax.data.sources import Subset, open_clips
from danceflax.io.files import write_csv
from danceflax.training import devices

TOP = (1, 3, 5)


def make_classify(
    prepare: Callable, apply: Callable, mirror: Callable | None = None, each_view: bool = False
) -> Callable:
    """Builds classify(variables, batch of [B, V, ...]) -> probabilities, the views' mean; or those
    of each view. With a mirror each is the mean with the mirrored view's."""

    def classify(
        variables: Mapping[str, Any], batch: Mapping[str, Array]
    ) -> Float[Array, "B *V C"]:
        def one_view(view):
            clips = prepare(variables["params"], view)
            seen = [clips, mirror(clips)] if mirror else [clips]
            return sum(jax.nn.softmax(apply(variables, x)[0]) for x in seen) / len(seen)

        found = over_views(one_view, batch)
        return found if each_view else found.mean(1)

    return classify


def over_views(function: Callable, batch: Mapping[str, Array]) -> Float[Array, "B V ..."]:
    """function([B, ...]) of each view of [B, V, ...], one after the other: the memory of one."""
    views = {k: jnp.moveaxis(v, 1, 0) for k, v in batch.items() if v.ndim > 1}
    return jnp.moveaxis(jax.lax.map(function, views), 0, 1)


class Answers(NamedTuple):
    """What a classifier says of a pass: probabilities (or those of each view), true labels, names
    of this process's samples; and where each stands in the source, if that is known."""

    probabilities: Float[np.ndarray, "N *V C"]
    labels: Int[np.ndarray, " N"]
    names: list[str]
    indices: Int[np.ndarray, " N"] | None = None

    def __repr__(self) -> str:
        return f"Answers({len(self.labels):,} clips, {self.probabilities.shape[-1]} classes)"


def evaluate_batches(
    classify: Callable,
    variables: Any,
    batches: Iterable[tuple[dict[str, np.ndarray], list[str]]],
    gather: Callable = np.asarray,
) -> tuple[dict[str, float], Answers]:
    """(metrics of `measure`, answers) over one pass; arguments as for `classify_batches`."""
    answers = classify_batches(classify, variables, batches, gather)
    return measure(answers.probabilities, answers.labels), answers


def classify_batches(
    classify: Callable,
    variables: Any,
    batches: Iterable[tuple[dict[str, np.ndarray], list[str]]],
    gather: Callable = np.asarray,
) -> Answers:
    """The answers over one pass; padding is left out.

    Args:
      classify: from `make_classify`, mapped over devices.
      gather: puts the arrays of all processes one after the other.
    """
    probabilities, labels, names, indices = [], [], [], []
    for number, (batch, batch_names) in enumerate(batches):
        found = gather(classify(variables, batch))
        label, weight = (gather(batch[key]) for key in ("label", "weight"))
        probabilities.append(found[weight > 0])
        labels.append(label[weight > 0])
        indices.append(number * len(weight) + np.flatnonzero(weight))
        names += [n for n, w in zip(batch_names, batch["weight"], strict=True) if w > 0]
    probabilities, labels, indices = map(np.concatenate, (probabilities, labels, indices))
    return Answers(probabilities, labels.astype(int), names, indices)


def evaluate_split(
    model: nn.Module,
    variables: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    config: ConfigDict,
    split: str,
    limit: int = 0,
    **views: Any,
) -> tuple[dict[str, float], Answers, Subset]:
    """The figures of a checkpoint on a split.

    Args:
      model, variables, checkpoint: of `load_checkpoint`.
      config: of configs/; its data and eval.batch_size are used.
      split: a split's name, or a split file's path.
      limit: at most so many clips, evenly drawn; 0 means all.
      **views: clips, crops and crop, if not those of the training.

    Returns:
      (metrics, answers) of `evaluate_batches`, and the source of the clips.
    """
    devices.check_batch_size(config.eval.batch_size, where="--batch_size")
    classifier = assemble(model, checkpoint)
    views = classifier.inputs["views"] | views
    classifier = classifier._replace(inputs=classifier.inputs | {"views": views})
    source = open_clips(config.data, split, checkpoint["class_names"])
    source = Subset(open_people(source, classifier.inputs), limit)
    batches = load_once(source, make_view(classifier), config)
    answer = make_classify(make_prepare(classifier), make_apply(model), make_mirror(classifier))
    classify = devices.map_inference(answer)
    metrics, answers = evaluate_batches(classify, devices.replicate(variables), batches)
    return metrics, answers, source


def top_k_hits(
    probabilities: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"], k: int
) -> Bool[np.ndarray, " N"]:
    """Is the label among the k most probable classes? A tie counts against it."""
    own = np.take_along_axis(probabilities, labels[:, None], 1)
    rivals = (probabilities >= own).sum(1) - 1
    return rivals < k


def confusion_matrix(
    probabilities: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"]
) -> Int[np.ndarray, "C C"]:
    """How many clips of class i (row) were taken for class j (column)."""
    num_classes = probabilities.shape[1]
    pairs = labels * num_classes + probabilities.argmax(1)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def measure(
    probabilities: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"]
) -> dict[str, float]:
    """The figures of an evaluation, one answer a video.

    Args:
      probabilities: averaged over the views of each video.
      labels: the true classes.

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


def per_class(confusion: Int[np.ndarray, "C C"]) -> dict[str, Shaped[np.ndarray, " C"]]:
    """{"clips", "precision", "recall", "f1"} of each class, by a confusion matrix."""
    right, clips, taken = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    precision, recall = right / np.maximum(taken, 1), right / np.maximum(clips, 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return {"clips": clips, "precision": precision, "recall": recall, "f1": f1}


def per_class_rows(
    confusion: Int[np.ndarray, "C C"], class_names: Sequence[str]
) -> list[tuple[str, ...]]:
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


def write_confusion(
    stem: str | os.PathLike, confusion: Int[np.ndarray, "C C"], class_names: Sequence[str]
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes STEM.csv (rows: true, columns: predicted) and STEM.png; returns both paths."""
    stem = pathlib.Path(stem)
    table, picture = stem.with_name(stem.name + ".csv"), stem.with_name(stem.name + ".png")
    rows = ([n, *row] for n, row in zip(class_names, confusion.tolist(), strict=True))
    write_csv(table, [["true \\ predicted", *class_names], *rows])
    draw_confusion(picture, confusion, class_names)
    return table, picture
