"""Pictures of what a classifier says."""

import os
from collections.abc import Sequence

import cv2
import matplotlib.figure
import numpy as np
from jaxtyping import Float, Int, UInt8

from danceflax.io.files import write_whole


def draw_prediction(
    frame: UInt8[np.ndarray, "H W 3"], labels: Sequence[str], probabilities: Float[np.ndarray, " K"]
) -> UInt8[np.ndarray, "H W 3"]:
    """The RGB frame with a bar and a name for each of a few classes."""
    height, width = frame.shape[:2]
    scale = max(0.35, height / 900)
    line, margin = round(34 * scale), round(12 * scale)
    bottom, right = margin * 2 + line * len(labels), min(width, round(520 * scale))
    picture = frame.copy()
    picture[:bottom, :right] = picture[:bottom, :right] // 3
    for k, (label, probability) in enumerate(zip(labels, probabilities, strict=True)):
        top = margin + k * line
        end = margin + round((right - 2 * margin) * float(probability))
        cv2.rectangle(picture, (margin, top), (end, top + line - 4), (46, 117, 182), -1)
        cv2.putText(
            picture, f"{label}  {probability:.2f}", (margin + 4, top + round(0.72 * line)),
            cv2.FONT_HERSHEY_SIMPLEX, 0.8 * scale, (255, 255, 255), max(1, round(1.6 * scale)),
            cv2.LINE_AA,
        )  # fmt: skip
    return picture


def draw_confusion(
    path: str | os.PathLike, confusion: Int[np.ndarray, "C C"], class_names: Sequence[str]
) -> None:
    """Writes a picture of a confusion matrix: counts, shaded by their share of the true class."""
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
    with write_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def draw_timeline(
    path: str | os.PathLike,
    dancers: Sequence[str],
    spans: Sequence[Float[np.ndarray, "_ 2"]],
    probabilities: Sequence[Float[np.ndarray, "_ C"]],
    class_names: Sequence[str],
) -> None:
    """Writes a picture of what each dancer dances when: a panel each, a curve a class.

    Args:
      path: a PNG file.
      dancers: what to write beside each panel.
      spans: of each dancer's windows, seconds.
      probabilities: of the classes in each window.
      class_names: of the C classes; those that are never likely are left out.
    """
    size = (9, 1 + 1.6 * len(spans))
    figure = matplotlib.figure.Figure(size, layout="constrained")
    panels = figure.subplots(len(spans), sharex=True, squeeze=False)[:, 0]
    shown = np.flatnonzero(np.max([x.max(0) for x in probabilities], 0) > 0.05)
    for number, axes in enumerate(panels):
        middles = spans[number].mean(1)
        for k in shown:
            colour, curve = f"C{k % 10}", probabilities[number][:, k]
            axes.plot(middles, curve, color=colour, marker=".", label=class_names[k])
        axes.set(ylim=(-0.02, 1.02), ylabel=dancers[number])
    panels[0].legend(loc="upper left", bbox_to_anchor=(1, 1))
    panels[-1].set_xlabel("seconds, middle of the window")
    with write_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
