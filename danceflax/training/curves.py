"""What a training has logged, as curves: of metrics.jsonl, and drawn beside it."""

import json
import logging
import os
import pathlib

import matplotlib.figure

from danceflax.io.files import open_regular, write_whole

NAME, PICTURE = "metrics.jsonl", "curves.png"
SHOWN = ("score", "AP", "AP50", "PCK", "top1", "mean_class_accuracy")  # in validation
Curves = dict[tuple[str, str], tuple[list[int], list[float]]]


def find_metrics(checkpoint: str | os.PathLike) -> pathlib.Path | None:
    """The log of the training that a checkpoint, a workdir or a step in it, is of."""
    path = pathlib.Path(checkpoint).absolute()
    places = [path / NAME, path.parent.parent / NAME]
    return next((place for place in places if place.is_file()), None)


def read_curves(path: str | os.PathLike) -> Curves:
    """{(split, figure): (steps, values)} of a metrics.jsonl; other lines are passed over."""
    curves = {}
    with open(path, errors="replace", opener=open_regular) as file:
        lines = file.read().splitlines()
    for text in lines:
        try:
            line = json.loads(text)
            step, split = line.pop("step"), line.pop("split")
        except (ValueError, KeyError, AttributeError, TypeError):
            continue
        for name, value in line.items():
            if isinstance(value, (int, float)):
                steps, values = curves.setdefault((split, name), ([], []))
                steps.append(step)
                values.append(value)
    return curves


def draw_curves(workdir: str | os.PathLike) -> None:
    """Writes WORKDIR/curves.png: losses, figures in validation and learning rates over the steps.
    Whatever goes wrong, a training does not end by it."""
    try:
        _draw(pathlib.Path(workdir))
    except Exception as error:
        logging.debug("%s/%s cannot be drawn: %s", workdir, PICTURE, error, exc_info=True)


def _draw(workdir):
    curves = read_curves(workdir / NAME)
    panels = {
        "loss": {f"{s} loss": c for (s, n), c in curves.items() if n == "loss"},
        "validation": {
            n: c for (s, n), c in curves.items()
            if s != "train" and n.rpartition("/")[2] in SHOWN
        },
        "learning rate": {n[3:]: c for (_, n), c in curves.items() if n.startswith("lr/")},
    }  # fmt: skip
    panels = {title: lines for title, lines in panels.items() if lines}
    if not panels:
        return
    figure = matplotlib.figure.Figure((5 * len(panels), 3.6))
    figure.subplots_adjust(0.05, 0.14, 0.99, 0.92, wspace=0.2)
    for axes, (title, lines) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for name, (steps, values) in lines.items():
            axes.plot(steps, values, label=name, marker="." if len(steps) < 30 else None)
        axes.set(title=title, xlabel="step", yscale="linear" if title == "validation" else "log")
        axes.legend(loc="best", fontsize="small")
    with write_whole(workdir / PICTURE) as temporary:
        figure.savefig(temporary, format="png", dpi=80)
