"""Cross-validation of a dance classifier: a training a fold, and one report over all of them."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from danceflax.dance.classifiers import load
from danceflax.dance.evaluate import (
    Answers,
    classify_batches,
    confusion_matrix,
    make_classify,
    measure,
    per_class_rows,
    write_confusion,
)
from danceflax.dance.inputs import make_mirror, make_prepare, make_view, open_people
from danceflax.dance.loss import make_apply
from danceflax.dance.task import make_task
from danceflax.data.folds import split_folds
from danceflax.data.loader import load_once
from danceflax.data.sources import open_clips
from danceflax.io.console import console, print_table
from danceflax.io.files import write_json
from danceflax.training import devices
from danceflax.training.train import train


def crossvalidate(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Trains on all folds but one, each in turn, in WORKDIR/fold<k>; then measures all together.

    Every clip is judged by the network that has not seen its group, as it is at the last step: the
    best step would be chosen by what it is measured on. Keypoint files are read once. WORKDIR gets
    folds.json and confusion.csv and .png, of all windows.

    Returns:
      What folds.json holds.
    """
    answers, groups, rows = [], [], []
    clips = open_clips(config.data, config.data.train_split, config.class_names)
    clips = open_people(clips, config.streams)
    for fold in range(config.data.folds):
        config = config.copy_and_resolve_references()
        config.data.fold = fold
        folder = f"{workdir}/fold{fold}"
        sources = _, val = split_folds(clips, config.data)
        variables = train(config, folder, functools.partial(make_task, sources=sources)).variables
        judge, names = make_judge(folder, config, variables)
        found = judge(val)
        answers.append(found)
        group_of = {f"{c.dance}/{c.name}": g for c, g in zip(val.clips, val.groups, strict=True)}
        groups += [group_of[name] for name in found.names]
    figures = summarise(answers, groups, names)
    confusion = np.array(figures["confusion"])
    header = ("figure", "all folds", "mean", "spread", *map(str, range(config.data.folds)))
    pair, apart = next(iter(figures["pairs"].items()))
    for name, values in figures["folds"].items():
        spread = (f"{np.mean(values):.4f}", f"{np.std(values):.4f}", *(f"{v:.4f}" for v in values))
        rows.append((name, f"{figures['metrics'][name]:.4f}", *spread))
    print_table(f"{workdir}: windows", header, rows)
    header = ("class", "windows", "precision", "recall", "F1", "most taken for")
    print_table("classes", header, per_class_rows(confusion, names))
    console.print(f"told apart worst: {pair}, {apart:.4f} of their windows right")
    console.print(
        f"by vote: {figures['groups_right']} of {figures['groups']} groups right"
        + (f"; wrong: {', '.join(figures['groups_wrong'])}" if figures["groups_wrong"] else "")
    )
    write_json(pathlib.Path(workdir, "folds.json"), figures)
    write_confusion(pathlib.Path(workdir, "confusion"), confusion, names)
    return figures


def make_judge(
    folder: str, config: ConfigDict, variables: Any = None
) -> tuple[Callable[[Any], Answers], list[str]]:
    """(judge(source of clips) -> `Answers` with each window's probabilities [N, V, C], the class
    names) of a checkpoint, with other variables than its own if they are given."""
    classifier, own, checkpoint = load(folder)
    variables = variables or own
    prepare, apply = make_prepare(classifier), make_apply(classifier.model)
    classify = make_classify(prepare, apply, make_mirror(classifier), each_view=True)
    classify = devices.map_inference(classify)

    def judge(source: Any) -> Answers:
        batches = load_once(source, make_view(classifier), config)
        return classify_batches(classify, variables, batches)

    return judge, checkpoint["class_names"]


def summarise(
    answers: Sequence[Any], groups: Sequence[str], names: Sequence[str]
) -> dict[str, Any]:
    """The figures of all folds together.

    Args:
      answers: `Answers` of each fold, of every window.
      groups: of all their clips, in order.
      names: of the classes.

    Returns:
      {"metrics": of all windows, "folds": {figure: of each fold}, "pairs": {"a / b": accuracy among
      the windows of the two dances, judged between these alone, which are told apart worst},
      "confusion": of all windows, "groups", "groups_right", "groups_wrong": by the vote of their
      windows, "names"}.
    """
    windows = [_windows(found) for found in answers]
    probabilities, labels = (np.concatenate(x) for x in zip(*windows, strict=True))
    counts = [found.probabilities.shape[1] for found in answers for _ in found.labels]
    metrics = measure(probabilities, labels)
    keys = ("top1", "mean_class_accuracy", "macro_f1")
    folds = {key: [measure(*window)[key] for window in windows] for key in keys}
    votes = vote(probabilities, np.repeat(np.array(groups), counts))
    truth = dict(zip(np.repeat(np.array(groups), counts).tolist(), labels.tolist(), strict=True))
    wrong = sorted(group for group, found in votes.items() if found != truth[group])
    return {
        "metrics": metrics,
        "folds": folds,
        "pairs": tell_apart(probabilities, labels, names),
        "confusion": confusion_matrix(probabilities, labels).tolist(),
        "groups": len(votes),
        "groups_right": len(votes) - len(wrong),
        "groups_wrong": wrong,
        "names": list(names),
    }


def vote(probabilities: Float[np.ndarray, "N C"], groups: np.ndarray) -> dict[str, int]:
    """The class that most windows of each group are taken for; of equals, the likelier in sum."""
    result = {}
    for group in np.unique(groups).tolist():
        own = probabilities[groups == group]
        counts = np.bincount(own.argmax(1), minlength=own.shape[1])
        result[group] = int(np.argmax(counts + own.mean(0) * 0.5))
    return result


def tell_apart(
    probabilities: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"], names: Sequence[str]
) -> Mapping[str, float]:
    """{"a / b": the share of both dances' windows that is right, judged between the two}, worst
    first."""
    found = {}
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            own = (labels == a) | (labels == b)
            if own.any():
                right = (probabilities[own, b] > probabilities[own, a]) == (labels[own] == b)
                found[f"{names[a]} / {names[b]}"] = float(right.mean())
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _windows(answers):
    probabilities = answers.probabilities
    return (
        probabilities.reshape(-1, probabilities.shape[-1]),
        np.repeat(answers.labels, probabilities.shape[1]),
    )
