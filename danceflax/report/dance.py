"""The report of dance classifiers."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from danceflax.dance.evaluate import Answers, confusion_matrix, measure, per_class
from danceflax.data.clip_table import group_of, read_clip_table
from danceflax.data.splits import Clip
from danceflax.errors import BadSampleError, UserError
from danceflax.io.images import find_image, read_image
from danceflax.people import resize_affine, transform_people
from danceflax.pose.draw import draw_people
from danceflax.report.bootstrap import (
    LEVEL,
    RESAMPLES,
    Intervals,
    find_intervals,
    least_share,
)
from danceflax.report.page import Cell, Section, figure_table, show_figure, write_page
from danceflax.report.runs import Run, learning_curves, model_card, name_runs
from danceflax.skeleton import Skeleton
from danceflax.training.curves import SHOWN

MISTAKES, MOMENTS, SIDE = 12, 3, 160  # shown; frames of each; pixels of a frame


def write_report(
    path: str | os.PathLike,
    runs: Sequence[Run],
    source: Any,
    settings: Mapping[str, Any],
) -> None:
    """Writes the report of one run, or of two side by side.

    Args:
      path: the HTML file.
      runs: evaluated on the same clips, their results (metrics, `Answers`).
      source: of the clips.
      settings: that the evaluation writes down.

    Raises:
      UserError: two runs know other classes, or saw other clips.
    """
    check_alike(runs)
    names, classes = name_runs(runs), runs[0].loaded[2]["class_names"]
    answers = [run.result[1] for run in runs]
    groups = find_groups(answers[0].names, runs[0].config)
    intervals = find_intervals([make_measure(found, classes) for found in answers], groups)
    figures = {
        name: {key: value for key, value in run.result[0].items() if key != "clips"}
        for name, run in zip(names, runs, strict=True)
    }
    confusions = [confusion_matrix(found.probabilities, found.labels) for found in answers]
    sections = [
        Section(
            "Figures",
            describe_sureness(answers, groups),
            tables=[("", *figure_table(figures, intervals))],
        ),
        learning_curves(runs, SHOWN),
        Section(
            "Classes",
            tables=[
                (f"classes by {name}", *class_table(confusion, classes, intervals, number))
                for number, (name, confusion) in enumerate(zip(names, confusions, strict=True))
            ],
        ),
        Section(
            "Confusion",
            "Rows: the true class; columns: what it was taken for; clips, and their share of the "
            "row.",
            tables=[
                (f"confusion of {name}", *confusion_table(confusion, classes))
                for name, confusion in zip(names, confusions, strict=True)
            ],
        ),
        mistakes_section(names[0], answers[0], source, classes),
        *model_card(runs, settings, settings["split"]),
    ]
    write_page(path, f"{' and '.join(names)} on {settings['split']}", sections)


def describe_sureness(answers: Sequence[Answers], groups: Sequence[str]) -> str:
    """What the figures are of, and what their intervals are."""
    count = len(set(groups))
    of = f"{len(groups):,} clips of {count:,} videos or groups."
    if count < 2:
        return f"{of} Of one alone nothing can be said about how sure the figures are."
    text = (
        f"{of} In brackets the {LEVEL} % interval of {RESAMPLES} bootstrap samples of these; of "
        "two runs, of the difference on the same samples."
    )
    if any((found.probabilities.argmax(1) == found.labels).all() for found in answers):
        text += (
            f" Where all are right, every sample is, and there is no such interval: by {count} "
            f"alone the share of right ones may be as low as {least_share(count):.0%}."
        )
    return text


def check_alike(runs: Sequence[Run]) -> None:
    """Raises UserError: two runs cannot be set side by side."""
    first, *others = runs
    for other in others:
        if other.loaded[2].get("class_names") != first.loaded[2]["class_names"]:
            raise UserError(f"--compare={other.name}: has other classes than {first.name}")
        if other.result[1].names != first.result[1].names:
            raise UserError(f"--compare={other.name}: cannot read the clips of {first.name}")


def find_groups(names: Sequence[str], config: Any) -> list[str]:
    """The video, or the group of clips.csv, of each clip "<dance>/<clip>"."""
    table = read_clip_table(config.data.root) if config.data.source == "folder" else {}
    clips = [Clip(*name.partition("/")[::2], 0, None, 0) for name in names]
    return [group_of(clip, table) or clip.name for clip in clips]


def make_measure(answers: Answers, classes: Sequence[str]) -> Callable:
    """The figures of answers where each clip counts as often as it is drawn."""

    def measure_drawn(weights):
        drawn = np.repeat(np.arange(len(weights)), weights)
        probabilities, labels = answers.probabilities[drawn], answers.labels[drawn]
        table = per_class(confusion_matrix(probabilities, labels))
        f1 = np.where(table["clips"] > 0, table["f1"], np.nan)
        own = {f"f1/{name}": value for name, value in zip(classes, f1, strict=True)}
        return measure(probabilities, labels) | own

    return measure_drawn


def class_table(
    confusion: Int[np.ndarray, "C C"], classes: Sequence[str], intervals: Intervals, number: int
) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of the classes' figures."""
    table, rows = per_class(confusion), []
    for k, name in enumerate(classes):
        f1 = show_figure(table["f1"][k], intervals.runs[number].get(f"f1/{name}"))
        figures = [f"{table[key][k]:.3f}" for key in ("precision", "recall")]
        rows.append([name, f"{table['clips'][k]}", *figures, f1])
    return ["class", "clips", "precision", "recall", "F1"], rows


def confusion_table(
    confusion: Int[np.ndarray, "C C"], classes: Sequence[str]
) -> tuple[list[str], list[list[Any]]]:
    """(header, rows) of the confusion matrix: counts, and shares of the true class."""
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    rows = []
    for name, counts, share in zip(classes, confusion, shares, strict=True):
        cells = [
            Cell(f"{n}", f"{part:.0%}", float(part)) if n else Cell("", "", 0.0)
            for n, part in zip(counts, share, strict=True)
        ]
        rows.append([name, *cells])
    return ["", *classes], rows


def mistakes_section(name: str, answers: Answers, source: Any, classes: Sequence[str]) -> Section:
    """The clips that a run is surest of, and wrong."""
    taken = answers.probabilities.argmax(1)
    sure = answers.probabilities.max(1)
    wrong = np.flatnonzero(taken != answers.labels)
    chosen = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    pictures = []
    for n in chosen:
        caption = (
            f"{answers.names[n]}: {classes[answers.labels[n]]}, taken for {classes[taken[n]]} "
            f"({sure[n]:.0%}; {classes[answers.labels[n]]} "
            f"{answers.probabilities[n, answers.labels[n]]:.0%})"
        )
        pictures.append((caption, draw_moments(source[int(answers.indices[n])], source)))
    text = f"{len(wrong):,} of {len(taken):,} clips are taken for another dance by {name}."
    return Section("The surest mistakes", text, pictures=pictures)


def draw_moments(record: Mapping[str, Any], source: Any) -> UInt8[np.ndarray, "H W 3"]:
    """Frames of a clip, evenly drawn, side by side; keypoints on them where the record has some,
    on black where there is no frame."""
    count = len(record["files"])
    chosen = np.linspace(0, count - 1, MOMENTS + 2).round().astype(int)[1:-1]
    skeleton, people = getattr(source, "skeleton", None), record.get("people")
    panels = []
    for k in chosen:
        path = f"{record['folders']['rgb']}/{record['files'][k]}{record['suffix']}"
        try:
            frame = read_image(find_image(path))
        except BadSampleError:
            frame = None
        own = None if people is None else people[k]
        panels.append(draw_moment(frame, own, people, skeleton))
    return np.concatenate(panels, 1)


def draw_moment(
    frame: UInt8[np.ndarray, "H W 3"] | None,
    own: Float[np.ndarray, "P J 3"] | None,
    people: Float[np.ndarray, "N P J 3"] | None,
    skeleton: Skeleton | None,
) -> UInt8[np.ndarray, "S T 3"]:
    """One frame with its people, SIDE pixels high and 4/3 as wide."""
    wide = SIDE * 4 // 3
    panel = np.full((SIDE, wide, 3), 24, np.uint8)
    seen = people[people[..., 2] > 0][:, :2] if people is not None else np.zeros((0, 2))
    if frame is None and not len(seen):
        return panel
    low = np.zeros(2) if frame is not None else seen.min(0) - 10
    extent = np.array(frame.shape[1::-1]) if frame is not None else np.ptp(seen, axis=0) + 20
    factor = min(wide / extent[0], SIDE / extent[1])
    size = tuple(np.maximum(1, np.round(extent * factor)).astype(int).tolist())
    left, top = (wide - size[0]) // 2, (SIDE - size[1]) // 2
    if frame is not None:
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        panel[top : top + size[1], left : left + size[0]] = small
    if own is None or skeleton is None:
        return panel
    affine = resize_affine(tuple(extent.astype(float).tolist()), tuple(map(float, size)))
    affine[:, 2] += (left, top) - affine[:, :2] @ low
    return draw_people(panel, transform_people(own, affine), skeleton)
