"""What a training crop looks like: its colours, blur, and patches that hide parts of people."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from danceflax.skeleton import ABSENT, OCCLUDED

GREY = 128  # around the image; what OpenPose pads with, near 0 once normalised
# Full strengths of (brightness, contrast, saturation, hue): a shift in grey levels, two factors'
# distance from 1, and an angle in degrees.
COLOUR = (24.0, 0.25, 0.3, 10.0)
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
BLUR_KERNELS = (3, 5)  # pixels
MIN_PATCH = 0.05  # smallest side of a patch over the crop's


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


def random_grey(
    matrix: Float[np.ndarray, "3 3"], rng: np.random.Generator, probability: float
) -> Float[np.ndarray, "3 3"]:
    """A matrix of colours, or with that probability one that leaves nothing but their luma."""
    if not probability or rng.random() >= probability:
        return matrix
    return np.tile(LUMA, (3, 1)) @ matrix


def random_blur(
    image: UInt8[np.ndarray, "H W 3"], rng: np.random.Generator, probability: float
) -> UInt8[np.ndarray, "H W 3"]:
    """The image, or with that probability its Gaussian blur of 3 or 5 pixels."""
    if not probability or rng.random() >= probability:
        return image
    size = int(rng.choice(BLUR_KERNELS))
    return cv2.GaussianBlur(image, (size, size), 0)


def random_patches(
    image: UInt8[np.ndarray, "H W 3"],
    people: Float[np.ndarray, "P J 3"],
    rng: np.random.Generator,
    most: int,
    size: float,
) -> tuple[UInt8[np.ndarray, "H W 3"], Float[np.ndarray, "P J 3"]]:
    """Lays 0 to `most` rectangles over the image, of one colour each, and marks the joints below
    as occluded: they stay targets, so that the network learns to infer them.

    Args:
      size: a patch's longest side over the image's, more than `MIN_PATCH`.
    """
    if not most:
        return image, people
    image, people = image.copy(), people.copy()
    shape = np.array(image.shape[1::-1])
    for _ in range(rng.integers(most + 1)):
        sides = np.maximum(1, rng.uniform(MIN_PATCH, size, 2) * shape)
        low = np.round(rng.uniform(0, shape - sides)).astype(int)
        high = np.round(low + sides).astype(int)
        image[low[1] : high[1], low[0] : high[0]] = rng.integers(0, 256, 3)
        # A pixel covers half a unit on each side of its centre.
        hidden = ((people[..., :2] >= low - 0.5) & (people[..., :2] < high - 0.5)).all(-1)
        people[hidden & (people[..., 2] > ABSENT), 2] = OCCLUDED
    return image, people
