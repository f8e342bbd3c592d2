"""Geometry and colour on the host: a record becomes an item of a batch.

`augment` is for training: one affine warp takes image, keypoints and mask to a crop about a person
(Cao et al. 2017 and its training code). `letterbox` is for evaluation: the whole image, to scale.
Both give the batch item of docs/architecture.md. Pixel centres are at integers, and an affine map
is a [2, 3] or [3, 3] matrix from a record's pixels to the item's.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from danceflax.errors import BadSampleError
from danceflax.people import resize_affine, transform_people
from danceflax.pose.grid import to_grid
from danceflax.skeleton import Skeleton

GREY = 128  # around the image; what OpenPose pads with, near 0 once normalised
MIN_HEIGHT = 32.0  # of a main person, in pixels; less says nothing about the person's scale
MIN_JOINTS = 5  # of a person to centre on, if the image has one
# Samples of the mask along a side of a map cell: a cell's value is their mean.
MASK_SAMPLES = 4
# Full strengths of (brightness, contrast, saturation, hue): a shift in grey levels, two factors'
# distance from 1, and an angle in degrees.
COLOUR = (24.0, 0.25, 0.3, 10.0)


def augment(
    record,
    rng,
    *,
    skeleton: Skeleton,
    size,
    stride,
    max_people,
    target_scale=0.6,
    scale=(0.5, 1.1),
    rotation=40.0,
    jitter=40.0,
    flip=0.5,
    colour=COLOUR,
):
    """A random training crop about the record's main person, or a person drawn if it has none.

    What the main person's box height is multiplied with is target_scale * height of the crop / box
    height * U(scale). Outside the image the crop is grey and the mask counts, as in the published
    training code. Joints outside the crop are absent; people without joints in it are dropped.

    Args:
      record: a record of docs/architecture.md.
      rng: np.random.Generator, the only source of chance.
      skeleton: the record's `Skeleton`, for left and right.
      size: (height, width) of the crop in pixels.
      stride: pixels a map cell.
      max_people: P of the batch.
      target_scale: the main person's box height over the crop's, at scale 1.
      scale: (low, high) of the random factor.
      rotation: largest angle in degrees, either way.
      jitter: largest shift in pixels of a crop 368 high; larger crops in proportion.
      flip: probability of a mirrored crop.
      colour: strengths as `COLOUR`; zeros leave colours alone.

    Returns:
      {image uint8 [H, W, 3], people float32 [max_people, J, 3], mask uint8 [h, w],
      labelled bool [J], weight float32 []}.

    Raises:
      BadSampleError: more than max_people people are in the crop.
    """
    height = size[0]
    center, person_height = _main_person(record, rng)
    mirrored = rng.random() < flip
    to_crop = _random_map(
        center,
        target_scale * height / person_height * rng.uniform(*scale),
        np.deg2rad(rng.uniform(-rotation, rotation)),
        rng.uniform(-jitter, jitter, 2) * height / 368,
        mirrored,
        size,
    )
    matrix, offset = random_colours(rng, *colour)
    # The border is what becomes GREY once the colours change.
    border = np.linalg.solve(matrix, GREY - offset).clip(0, 255)
    image = _warp(record["image"], to_crop, size, border)
    image = cv2.transform(image, np.column_stack([matrix, offset]).astype(np.float32))
    people, labelled = transform_people(record["people"], to_crop), record["labelled"]
    if mirrored:
        people, labelled = people[:, skeleton.flip], labelled[skeleton.flip]
    mask = _warp_mask(record["mask"], to_crop, size, stride)
    return _item(record["name"], image, people, mask, labelled, max_people)


def letterbox(record, *, size, stride, max_people):
    """The whole image, as large as fits, at the top left of a grey canvas.

    Args:
      record, size, stride, max_people: as for `augment`.

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
    item = _item(record["name"], image, people, mask, record["labelled"], max_people)
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
    method = cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC
    canvas[: fitted[0], : fitted[1]] = cv2.resize(image, fitted[::-1], interpolation=method)
    return canvas, resize_affine(fitted[::-1], (width, height))


def random_colours(
    rng: np.random.Generator,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float = 0.0,
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """(matrix, offset) of colour' = matrix @ colour + offset, in grey levels.

    One linear map for everything: hue turns about the grey axis, saturation stretches away from
    it, contrast about the middle grey, brightness shifts.
    """
    brightness, contrast, saturation, hue = rng.uniform(-1, 1, 4) * (
        brightness, contrast, saturation, np.deg2rad(hue),
    )  # fmt: skip
    grey = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = np.cos(hue) * (np.eye(3) - grey) + np.sin(hue) * cross
    matrix = (1 + contrast) * (grey + (1 + saturation) * turn)
    return matrix, np.full(3, GREY + brightness - (1 + contrast) * GREY)


def _main_person(record, rng):
    """(center [2], height) in pixels of the person to centre on; of the image if it has nobody."""
    image_height, image_width = record["image"].shape[:2]
    index = record["main"]
    if index < 0:
        joints = (record["people"][..., 2] > 0).sum(1)
        candidates = np.flatnonzero(joints >= MIN_JOINTS)
        if not len(candidates):
            candidates = np.flatnonzero(joints)
        if not len(candidates):
            return np.array([image_width - 1, image_height - 1]) / 2, float(image_height)
        index = rng.choice(candidates)
    x, y, width, height = record["boxes"][index]
    return np.array([x + width / 2, y + height / 2]), max(float(height), MIN_HEIGHT)


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


def _item(name, image, people, mask, labelled, max_people):
    """The batch item: joints outside the image become absent, people are padded to max_people."""
    xy, (height, width) = people[..., :2], image.shape[:2]
    inside = ((xy >= -0.5) & (xy < (width - 0.5, height - 0.5))).all(-1, keepdims=True)
    people = np.where(inside, people, np.float32(0))
    people = people[(people[..., 2] > 0).any(1)]
    if len(people) > max_people:
        raise BadSampleError(
            f"{name}: {len(people)} people, more than config.data.max_people = {max_people}; "
            f"raise it"
        )
    padded = np.zeros((max_people, *people.shape[1:]), np.float32)
    padded[: len(people)] = people
    return {
        "image": image,
        "people": padded,
        "mask": mask,
        "labelled": labelled,
        "weight": np.float32(1.0),
    }
