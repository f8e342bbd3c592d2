"""The report of pose networks."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from danceflax.errors import UserError
from danceflax.pose import pck, tilt
from danceflax.pose.diagnosis import KINDS, MATCHED, Diagnosis, add_up, diagnose
from danceflax.pose.draw import draw_people
from danceflax.pose.evaluate import Evaluation, ImageResult
from danceflax.pose.metrics import match_people, oks
from danceflax.pose.precision import weighted_precision
from danceflax.report import charts
from danceflax.report.bootstrap import LEVEL, RESAMPLES, Intervals, find_intervals
from danceflax.report.page import Section, figure_table, write_page
from danceflax.report.runs import Run, learning_curves, model_card, name_runs
from danceflax.skeleton import Skeleton
from danceflax.training.curves import SHOWN

REACHES = np.linspace(0.0, 0.5, 51)  # torso lengths
PICTURES, WIDTH = 8, 320  # shown of the worst and of the median; pixels of a panel
SIZE_NAMES = {"M": "32 to 96", "96-192": "96 to 192", "192+": "192 and more"}  # px


def write_report(
    path: str | os.PathLike, runs: Sequence[Run], source: Any, settings: Mapping[str, Any]
) -> None:
    """Writes the report of one run, or of two side by side.

    Args:
      path: the HTML file.
      runs: evaluated on the same images, their results `Evaluation`s.
      source: of the images.
      settings: that the evaluation writes down.

    Raises:
      UserError: two runs have other joints, or saw other images.
    """
    skeleton = Skeleton.from_dict(runs[0].loaded[2]["skeleton"])
    names, found = name_runs(runs), [run.result for run in runs]
    check_alike(runs)
    measures = [make_measure(evaluation, skeleton) for evaluation in found]
    groups = range(len(found[0].images))
    intervals = find_intervals(measures, groups)
    figures = {name: run.metrics for name, run in zip(names, found, strict=True)}
    header, rows = figure_table(figures, intervals)
    joints = [row for row in rows if row[0].startswith("PCK/") and "tilt" not in row[0]]
    others = [row for row in rows if row not in joints]
    joints = [[name.removeprefix("PCK/"), *cells] for name, *cells in joints]
    sections = [
        Section(
            "Figures",
            f"{len(groups):,} images. In brackets the {LEVEL} % interval of {RESAMPLES} bootstrap "
            "samples of the images; of two runs, of the difference on the same samples. AP and AR "
            "are COCO's: 50 and 75 take matches from OKS 0.50 and 0.75 on, M people of 32 to 96 "
            "pixels, L larger ones, coco17 the joints of COCO alone.",
            tables=[("", header, others)],
        ),
        learning_curves(runs, SHOWN),
        Section(
            "Joints",
            "The share of joints found within a distance, in lengths of the torso; left and right "
            "together. PCK is the share within 0.2.",
            [("PCK", draw_pck(dict(zip(names, found, strict=True)), skeleton))],
            [("PCK of each joint", ("joint", *header[1:]), joints)],
        ),
        Section(
            "Sizes and tilts",
            "Size is the square root of a person's area in pixels; tilt the angle of the torso "
            f"({describe_tilts()}). Sizes and tilts that nobody has are left out.",
            draw_kinds(names, found, measures, intervals),
        ),
        diagnosis_section(names, found, skeleton),
        *picture_sections(names, found, source, skeleton),
        *model_card(runs, settings, settings["split"]),
    ]
    write_page(path, f"{' and '.join(names)} on {settings['split']}", sections)


def check_alike(runs: Sequence[Run]) -> None:
    """Raises UserError: two runs cannot be set side by side."""
    first, *others = runs
    for other in others:
        ours, theirs = (run.loaded[2]["skeleton"]["joints"] for run in (first, other))
        if ours != theirs:
            raise UserError(
                f"--compare={other.name}: finds other joints than {first.name}; compare networks "
                "of one skeleton"
            )
        seen = [[image.index for image in run.result.images] for run in (first, other)]
        if seen[0] != seen[1]:
            raise UserError(f"--compare={other.name}: did not see the images that {first.name} saw")


def make_measure(evaluation: Evaluation, skeleton: Skeleton) -> Callable:
    """The figures of an evaluation where each image counts as often as it is drawn."""
    images = evaluation.images
    right = np.array([(image.errors <= pck.THRESHOLD).sum(0) for image in images])
    count = np.array([image.labelled.sum(0) for image in images])
    tilted = np.array([
        tilt.sum_by_tilt(image.true, image.errors <= pck.THRESHOLD, image.labelled, skeleton)
        for image in images
    ])  # fmt: skip

    def measure(weights):
        result = {}
        for prefix, matches in evaluation.matches.items():
            precision = weighted_precision(matches, weights)
            result |= {f"{prefix}{name}": value for name, value in precision.items()}
        result |= pck.pck_metrics(weights @ right, weights @ count, skeleton)
        result |= tilt.precision_by_tilt(evaluation.tilted, weights)
        return result | tilt.tilt_metrics(np.tensordot(weights, tilted, 1))

    return measure


def pck_curves(evaluation: Evaluation, skeleton: Skeleton) -> dict[str, Float[np.ndarray, " R"]]:
    """{joint, left and right together: the share found within each of REACHES}, and "all"."""
    errors = np.concatenate([image.errors for image in evaluation.images])
    labelled = np.concatenate([image.labelled for image in evaluation.images])
    kinds = [name.removeprefix("left_").removeprefix("right_") for name in skeleton.joints]
    curves = {}
    for kind in ("all", *dict.fromkeys(kinds)):
        own = [kind in ("all", name) for name in kinds]
        known = errors[:, own][labelled[:, own]]
        if len(known):
            curves[kind] = (known[:, None] <= REACHES).mean(0)
    return curves


def draw_pck(found: Mapping[str, Evaluation], skeleton: Skeleton) -> Any:
    """The curves of `pck_curves` of one run, or of two, the second dashed."""
    lines = []
    for number, (name, evaluation) in enumerate(found.items()):
        for k, (joint, curve) in enumerate(pck_curves(evaluation, skeleton).items()):
            label = joint.replace("_", " ") + (f" ({name})" if len(found) > 1 else "")
            colour = "#000000" if joint == "all" else charts.choose_colour(k - 1)
            lines.append((label, REACHES.tolist(), curve.tolist(), colour, charts.DASHES[number]))
    labels = ("distance, torso lengths", "share of joints found")
    return charts.draw_lines(lines, labels, height=420)


def draw_kinds(
    names: Sequence[str], found: Sequence[Evaluation], measures: Sequence, intervals: Intervals
) -> list[tuple[str, Any]]:
    """Charts of AP by size, and of AP and PCK by tilt, with intervals."""
    once = np.ones(len(found[0].images), int)
    measured, drawn = [measure(once) for measure in measures], []
    for caption, figures in (
        ("AP by size", {f"AP{size}": SIZE_NAMES[size] for size in SIZE_NAMES}),
        ("AP by tilt", {f"AP/tilt/{name}": name for name in tilt.TILTS}),
        ("PCK by tilt", {f"PCK/tilt/{name}": name for name in tilt.TILTS}),
    ):
        there = [key for key in figures if np.isfinite(measured[0].get(key, np.nan))]
        bars = {}
        for name, values, own in zip(names, measured, intervals.runs, strict=True):
            ends = [own.get(key, (values[key], values[key])) for key in there]
            bars[name] = ([values[key] for key in there], ends)
        if there:
            chart = charts.draw_bars([figures[key] for key in there], bars, caption.split()[0])
            drawn.append((caption, chart))
    return drawn


def describe_tilts() -> str:
    """'upright to 30 degrees, leaning to 60, ...'."""
    return ", ".join(f"{name} to {degrees}°" for name, degrees in tilt.TILTS.items())


def diagnosis_section(
    names: Sequence[str], found: Sequence[Evaluation], skeleton: Skeleton
) -> Section:
    """What kind of errors the joints of found people have, and who is missed or found falsely."""
    rows, drawn = [], []
    for name, evaluation in zip(names, found, strict=True):
        total = add_up([
            diagnose(image.true, image.people, skeleton, image.mask) for image in evaluation.images
        ])  # fmt: skip
        rows.append([name, *count_errors(total)])
        judged = total.joints.sum(1)
        known = judged > 0
        shares = total.joints[known] / judged[known, None]
        joints = [
            j.replace("_", " ") for j, there in zip(skeleton.joints, known, strict=True) if there
        ]
        if joints:
            kinds = {kind: shares[:, k].tolist() for k, kind in enumerate(KINDS)}
            drawn.append((f"joints of {name}", charts.draw_stack(joints, kinds, "share")))
    return Section(
        "Errors by kind",
        "Joints of people who were found, after Ronchi and Perona (ICCV 2017): good, at least 0.85 "
        "similar to the labelled place; jitter, at least 0.5; inversion, near the other side's "
        "joint of the same person; swap, near another person's; miss, near none, or not found. "
        f"People count as found from OKS {MATCHED} on; the others are missed, or false.",
        drawn,
        [("", ("run", *KINDS, "people found", "people missed", "false people"), rows)],
    )


def count_errors(total: Diagnosis) -> list[str]:
    """A row of the table: counts and shares of each kind of joint, and counts of people."""
    counts = total.joints.sum(0)
    shares = counts / max(counts.sum(), 1)
    joints = [f"{n:,} ({share:.1%})" for n, share in zip(counts, shares, strict=True)]
    return joints + [f"{n:,}" for n in total[1:]]


def rate_image(image: ImageResult, skeleton: Skeleton) -> float:
    """How well an image's people are found: the mean OKS of all labelled and false ones, of whom
    those without a match have 0; nan where nobody is labelled or found."""
    similarity = oks(image.true, image.people, skeleton.sigmas)
    pairs = match_people(np.where(similarity >= MATCHED, similarity, 0.0))
    total = diagnose(image.true, image.people, skeleton, image.mask)
    people = len(image.true) + total.false
    return sum(float(similarity[pair]) for pair in pairs) / people if people else float("nan")


def picture_sections(
    names: Sequence[str], found: Sequence[Evaluation], source: Any, skeleton: Skeleton
) -> list[Section]:
    """The images on which the first run is worst, and those in the middle."""
    rates = np.array([rate_image(image, skeleton) for image in found[0].images])
    order = [n for n in np.argsort(rates) if np.isfinite(rates[n])]
    worst, middle = order[:PICTURES], len(order) // 2
    median = [n for n in order[max(0, middle - PICTURES // 2) :][:PICTURES] if n not in worst]
    panels = "labelled, " + ", ".join(f"found by {name}" for name in names)
    sections = []
    for title, chosen in (("The worst images", worst), ("The median images", median)):
        pictures = []
        for n in chosen:
            record = source[found[0].images[n].index]
            people = [record["people"], *(evaluation.images[n].people for evaluation in found)]
            caption = f"{record['name']}: mean OKS {rates[n]:.3f}"
            pictures.append((caption, draw_panels(record["image"], people, skeleton)))
        if pictures:
            sections.append(Section(title, f"From left to right: {panels}.", pictures=pictures))
    return sections


def draw_panels(
    image: UInt8[np.ndarray, "H W 3"],
    people: Sequence[Float[np.ndarray, "_ J 3"]],
    skeleton: Skeleton,
) -> UInt8[np.ndarray, "h w 3"]:
    """An image beside itself, once for each of several groups of people."""
    height = round(WIDTH * image.shape[0] / image.shape[1])
    drawn = [draw_people(image, shown, skeleton) for shown in people]
    area = cv2.INTER_AREA if image.shape[1] > WIDTH else cv2.INTER_CUBIC
    small = [cv2.resize(panel, (WIDTH, height), interpolation=area) for panel in drawn]
    return np.concatenate(small, 1)
