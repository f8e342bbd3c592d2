"""Pictures in rows and columns: what a network says beside what it should say."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import jax
import numpy as np
from jaxtyping import Float, UInt8

from danceflax.io.images import write_image
from danceflax.pose.draw import Image, draw_heatmaps, draw_pafs, draw_people
from danceflax.pose.targets import make_targets
from danceflax.skeleton import Skeleton

Picture = UInt8[np.ndarray, "_ _ 3"]
Pair = tuple[Float[np.ndarray, "N h w _"], Float[np.ndarray, "N h w _"]]  # heatmaps, PAFs
TITLES = (
    "input",
    "target heatmaps",
    "predicted heatmaps",
    "target PAFs",
    "predicted PAFs",
    "people found",
)
PAPER, INK, GAP, TITLE_HEIGHT = 250, 40, 6, 26


def training_panel(
    images: UInt8[np.ndarray, "N H W 3"],
    targets: Pair,
    predictions: Pair,
    people: Float[np.ndarray, "N P J 3"],
    skeleton: Skeleton,
    threshold: float = 0.05,
) -> Picture:
    """One picture for a training report: a row a sample, titled columns: input, target and
    predicted heatmaps, target and predicted PAFs, people found in the predictions."""
    rows = [
        (
            image,
            draw_heatmaps(image, targets[0][n]),
            draw_heatmaps(image, predictions[0][n]),
            draw_pafs(image, targets[1][n]),
            draw_pafs(image, predictions[1][n]),
            draw_people(image, people[n], skeleton, threshold),
        )
        for n, image in enumerate(images)
    ]
    return make_grid(rows, TITLES)


def make_panel(
    apply: Callable, decode: Callable, skeleton: Skeleton, count: int, **targets: Any
) -> Callable:
    """Builds panel(variables, batches) -> (the same batches, an RGB picture of the first: what the
    network says of it and should say).

    Args:
      apply: (variables, images) -> the network's `Maps`.
      decode: from `make_decoder`.
      count: samples drawn; 0: the picture is None.
      **targets: stride, sigma, limb_width and mode of `make_targets`.
    """

    @jax.jit
    def compute(variables, batch):
        maps = apply(variables, batch["image"])
        predicted = maps.heatmaps[-1], maps.pafs[-1]
        shape = predicted[0].shape[1:3]
        return (
            make_targets(batch["people"], skeleton, shape, **targets),
            predicted,
            decode(*predicted),
        )

    def panel(variables: Any, batches: Iterator) -> tuple[Iterator, Image | None]:
        if not count:
            return batches, None
        first = next(batches)
        sample = {key: value[:count] for key, value in first[0].items()}
        target, predicted, (people, _) = jax.device_get(compute(variables, sample))
        picture = training_panel(sample["image"], target, predicted, people, skeleton)
        return itertools.chain([first], batches), picture

    return panel


def write_comparison(
    path: str | os.PathLike,
    source: Any,
    images: Sequence[Any],
    skeleton: Skeleton,
    columns: int = 4,
) -> None:
    """Writes a PNG of images with the people labelled and the people found, side by side.

    Args:
      source: the records that were evaluated.
      images: of an `Evaluation`.
      columns: pairs in a row.
    """
    cells = []
    for image in images:
        record = source[image.index]
        for people in (record["people"], image.people):
            drawn = draw_people(record["image"], people, skeleton)
            cells.append(cv2.resize(drawn, (256, 256 * drawn.shape[0] // drawn.shape[1])))
    height = max(cell.shape[0] for cell in cells)
    cells = [cv2.copyMakeBorder(c, 0, height - len(c), 0, 0, cv2.BORDER_CONSTANT) for c in cells]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % (2 * columns))
    rows = [cells[i : i + 2 * columns] for i in range(0, len(cells), 2 * columns)]
    picture = make_grid(rows, ("labelled", "found") * columns)
    write_image(path, picture)


def make_grid(rows: Sequence[Sequence[Image]], titles: Sequence[str]) -> Picture:
    """Rows of images of one size as one picture, with a title over each column. Small images
    are enlarged so that titles can be read."""
    height, width = rows[0][0].shape[:2]
    zoom = max(1, -(-200 // width))
    height, width = height * zoom, width * zoom
    shape = (
        TITLE_HEIGHT + len(rows) * (height + GAP),
        GAP + len(titles) * (width + GAP),
        3,
    )
    picture = np.full(shape, PAPER, np.uint8)
    for column, title in enumerate(titles):
        left = GAP + column * (width + GAP)
        _write(picture, title, left + width // 2, TITLE_HEIGHT // 2, width)
        for row, images in enumerate(rows):
            top = TITLE_HEIGHT + row * (height + GAP)
            image = images[column]
            if zoom > 1:
                image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
            picture[top : top + height, left : left + width] = image
    return picture


def _write(picture, text, x, y, width):
    """Writes text centred on (x, y), shrunk to fit the width."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.55
    (extent, _), _ = cv2.getTextSize(text, font, scale, 1)
    scale *= min(1, width / extent)
    (extent, rise), _ = cv2.getTextSize(text, font, scale, 1)
    origin = (int(x - extent / 2), int(y + rise / 2))
    cv2.putText(picture, text, origin, font, scale, (INK,) * 3, 1, cv2.LINE_AA)
