"""Geometry and colour on the host: a record becomes an item of a batch.

`augment` is for training: one affine warp takes image, keypoints and mask to a crop about a person
(Cao et al. 2017 and its training code). `letterbox` is for evaluation: the whole image, to scale.
Both give the batch item of docs/architecture.md. Pixel centres are at integers, and an affine map
is a [2, 3] or [3, 3] matrix from a record's pixels to the item's.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from danceflax.errors import BadSampleError, UserError
from danceflax.people import keypoint_boxes, resize_affine, transform_people
from danceflax.pose.appearance import (
    COLOUR,
    GREY,
    random_blur,
    random_colours,
    random_grey,
    random_patches,
)
from danceflax.pose.grid import to_grid
from danceflax.skeleton import ABSENT, Skeleton

MIN_EXTENT = 32.0  # of a main person, in pixels; less says nothing about the person's scale
MIN_JOINTS = 5  # of a person to centre on, if the image has one
# Samples of the mask along a side of a map cell: a cell's value is their mean.
MASK_SAMPLES = 4
SIZES = ("height", "longer")


def augment(
    record: Mapping[str, Any],
    rng: np.random.Generator,
    *,
    skeleton: Skeleton,
    size: Sequence[int],
    stride: int,
    max_people: int,
    size_by: str = "height",
    target_scale: float = 0.6,
    scale: Sequence[float] = (0.5, 1.1),
    rotation: float = 40.0,
    inverted: float = 0.0,
    jitter: float = 40.0,
    flip: float = 0.5,
    colour: Sequence[float] = COLOUR,
    grey: float = 0.0,
    blur: float = 0.0,
    patches: int = 0,
    patch_size: float = 0.3,
) -> dict[str, Any]:
    """A random training crop about the record's main person, or a person drawn if it has none.

    The main person becomes target_scale * U(scale) of the crop's height, by the height of the box
    as published; or of the crop's shorter side, by the longer side of the box, so that who lies is
    as large as who stands. Outside the image the crop is grey and the mask counts, as in the
    published training code. Joints outside the crop are absent; people without joints in it are
    dropped.

    Args:
      record: a record of docs/architecture.md.
      rng: the only source of chance.
      skeleton: of the record, for left and right.
      size: (height, width) of the crop in pixels.
      stride: pixels a map cell.
      max_people: P of the batch: the largest that are in the crop. Those that are left out are
        counted in the log, and their places do not count in the loss.
      size_by: "height" or "longer", see above.
      target_scale: the main person's size over the crop's, at scale 1.
      scale: (low, high) of the random factor.
      rotation: largest angle in degrees, either way; 180 is any.
      inverted: probability of half a turn more.
      jitter: largest shift in pixels of a crop 368 high; larger crops in proportion.
      flip: probability of a mirrored crop.
      colour: strengths as `COLOUR`; zeros leave colours alone.
      grey, blur: probabilities of a crop without colours and of a blurred one.
      patches: most patches laid over the crop.
      patch_size: their longest side over the crop's.

    Returns:
      {image uint8 [H, W, 3], people float32 [max_people, J, 3], mask uint8 [h, w],
      labelled bool [J], weight float32 []}.

    Raises:
      UserError: `size_by` is not known.
    """
    center, extent = _main_person(record, rng, size_by)
    mirrored = rng.random() < flip
    reach = size[0] if size_by == "height" else min(size)
    factor = target_scale * reach / extent * rng.uniform(*scale)
    angle = np.deg2rad(rng.uniform(-rotation, rotation))
    shift = rng.uniform(-jitter, jitter, 2) * size[0] / 368
    matrix, offset = random_colours(rng, *colour)
    # The border is what becomes GREY once the colours change.
    border = np.linalg.solve(matrix, GREY - offset).clip(0, 255)
    colours = np.column_stack([random_grey(matrix, rng, grey), offset]).astype(np.float32)
    if inverted and rng.random() < inverted:
        angle += np.pi
    to_crop = _random_map(center, factor, angle, shift, mirrored, size)
    image = cv2.transform(_warp(record["image"], to_crop, size, border), colours)
    image = random_blur(image, rng, blur)
    people, labelled = transform_people(record["people"], to_crop), record["labelled"]
    if mirrored:
        people, labelled = people[:, skeleton.flip], labelled[skeleton.flip]
    image, people = random_patches(image, people, rng, patches, patch_size)
    mask = _warp_mask(record["mask"], to_crop, size, stride)
    people = _keep_inside(people, size)
    if len(people) > max_people:
        people, mask = _keep_largest(people, mask, stride, max_people)
    return _item(image, people, mask, labelled, max_people)


def letterbox(
    record: Mapping[str, Any], *, size: Sequence[int], stride: int, max_people: int | None = None
) -> dict[str, Any]:
    """The whole image, as large as fits, at the top left of a grey canvas.

    Args:
      record, size, stride: as for `augment`.
      max_people: P of the batch, which holds everybody; by default as many as there are.

    Returns:
      The item that `augment` gives, with two entries more: to_image float32 [2, 3], the affine map
      from the canvas to the image's pixels (`transform_people` applies it), and id int64 [], the
      record's id or -1.

    Raises:
      BadSampleError: more than max_people people are in the image.
    """
    image, to_image = fit_image(record["image"], size)
    to_canvas = cv2.invertAffineTransform(to_image)
    mask = _warp_mask(record["mask"], to_canvas, size, stride)
    people = transform_people(record["people"], to_canvas)
    people = _keep_inside(people, size)
    if max_people is not None and len(people) > max_people:
        raise BadSampleError(f"{record['name']}: {len(people)} people, more than {max_people}")
    item = _item(image, people, mask, record["labelled"], max_people or len(people))
    return item | {
        "to_image": to_image.astype(np.float32),
        "id": np.int64(record.get("id", -1)),
    }


def fit_image(
    image: UInt8[np.ndarray, "H W 3"], size: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "2 3"]]:
    """The whole image, as large as fits, at the top left of a grey canvas of (height, width); and
    the affine map from the canvas's pixels to the image's."""
    height, width = image.shape[:2]
    ratio = min(size[0] / height, size[1] / width)
    fitted = max(1, round(height * ratio)), max(1, round(width * ratio))
    canvas = np.full((*size, 3), GREY, np.uint8)
    if ratio < 0.5 and height % 2 == width % 2 == 0:
        # Whole cells are averaged several times as fast: most of the work is done when half is.
        image = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    method = cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC
    canvas[: fitted[0], : fitted[1]] = cv2.resize(image, fitted[::-1], interpolation=method)
    return canvas, resize_affine(fitted[::-1], (width, height))


def _main_person(record, rng, size_by):
    """(center [2], height or longer side) in pixels of the person to centre on; of the image if it
    has nobody."""
    if size_by not in SIZES:
        raise UserError(f"config.augment.size_by={size_by!r}; choose {' or '.join(SIZES)}")
    extent = max if size_by == "longer" else lambda height, width: height
    shape, index = record["image"].shape[:2], record["main"]
    if index < 0:
        joints = (record["people"][..., 2] > 0).sum(1)
        candidates = np.flatnonzero(joints >= MIN_JOINTS)
        if not len(candidates):
            candidates = np.flatnonzero(joints)
        if not len(candidates):
            return np.array([shape[1] - 1, shape[0] - 1]) / 2, float(extent(*shape))
        index = rng.choice(candidates)
    x, y, width, height = record["boxes"][index]
    center = np.array([x + width / 2, y + height / 2])
    return center, max(float(extent(height, width)), MIN_EXTENT)


def _random_map(center, factor, angle, shift, mirrored, size):
    """[2, 3] from the record's pixels to the crop's: scale and turn about `center`, put it at the
    crop's centre, shift, mirror."""
    cos, sin = factor * np.cos(angle), factor * np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    middle = np.array([size[1] - 1, size[0] - 1]) / 2
    affine = np.column_stack([linear, middle + shift - linear @ center])
    if mirrored:
        affine[0] *= -1
        affine[0, 2] += size[1] - 1
    return affine


def _warp(image, affine, size, border):
    """Warps an image [H, W, 3]; first shrinks it by a whole factor where the warp would skip
    pixels, since a bilinear warp looks at no more than four."""
    reduce = int(1 / np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    if reduce > 1:
        height, width = image.shape[0] // reduce, image.shape[1] // reduce
        image = image[: height * reduce, : width * reduce]
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        half = (reduce - 1) / 2  # the first shrunk pixel's centre
        affine = np.column_stack([affine[:, :2] * reduce, affine @ (half, half, 1)])
    # OpenCV warps four channels in less than half the time it takes for three.
    warped = cv2.warpAffine(
        cv2.cvtColor(image, cv2.COLOR_RGB2RGBA),
        affine,
        size[::-1],
        flags=cv2.INTER_LINEAR,
        borderValue=(*border, 0),
    )
    return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)


def _warp_mask(mask, affine, size, stride):
    """uint8 [h, w] in 0..255 on the grid: the share of each cell that counts."""
    height, width = size[0] // stride, size[1] // stride
    if mask is None:
        return np.full((height, width), 255, np.uint8)
    step = stride / MASK_SAMPLES
    to_samples = np.column_stack([affine[:, :2] / step, to_grid(affine[:, 2], step)])
    samples = cv2.warpAffine(
        mask * np.uint8(255),
        to_samples,
        (width * MASK_SAMPLES, height * MASK_SAMPLES),
        flags=cv2.INTER_LINEAR,
        borderValue=255,
    )
    return cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA)


def _keep_inside(people, size):
    """People with joints outside the image absent; those of whom nothing is left are left out."""
    xy, (height, width) = people[..., :2], size
    inside = ((xy >= -0.5) & (xy < (width - 0.5, height - 0.5))).all(-1, keepdims=True)
    people = np.where(inside, people, np.float32(0))
    return people[(people[..., 2] != ABSENT).any(1)]


def _keep_largest(people, mask, stride, count):
    """The `count` people of the largest boxes, in their order, and the mask without the boxes of
    the others."""
    boxes = keypoint_boxes(people)
    order = np.argsort(-boxes[:, 2:].max(1), kind="stable")
    mask = mask.copy()
    for x, y, width, height in boxes[order[count:]]:
        left, top = np.floor(to_grid(np.array([x, y]), stride)).astype(int).clip(0)
        right, bottom = np.ceil(to_grid(np.array([x + width, y + height]), stride)).astype(int) + 1
        mask[top:bottom, left:right] = 0
    LEFT_OUT.add(len(people) - count, count)
    return people[np.sort(order[:count])], mask


class Count:
    """People left out of crops, over all threads; the log says so at 1, 10, 100, ..."""

    def __init__(self):
        self.total, self._next, self._lock = 0, 1, threading.Lock()

    def add(self, number: int, max_people: int) -> None:
        with self._lock:
            self.total += number
            if self.total < self._next:
                return
            self._next = 10 ** len(str(self.total))
        logging.warning(
            "crops hold more than config.data.max_people = %d people: so far %d, the smallest, are "
            "left out, and their places do not count; raise it to train on all",
            max_people, self.total,
        )  # fmt: skip


LEFT_OUT = Count()


def _item(image, people, mask, labelled, max_people):
    """The batch item, with people padded to max_people."""
    padded = np.zeros((max_people, *people.shape[1:]), np.float32)
    padded[: len(people)] = people
    return {
        "image": image,
        "people": padded,
        "mask": mask,
        "labelled": labelled,
        "weight": np.float32(1.0),
    }
