"""Colours, fills and noise that the scenery is painted with."""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Num, UInt8

Image = UInt8[np.ndarray, "H W C"]
Colour = Num[np.ndarray, "3"]  # RGB, 0..255
Pixels = float | np.integer


def fill_box(
    image: Image, x: Pixels, y: Pixels, width: Pixels, height: Pixels, colour: Colour
) -> None:
    """Fills a rectangle; a fourth channel, if there is one, becomes 255."""
    x0, y0 = max(0, round(x)), max(0, round(y))
    x1, y1 = max(x0, round(x + width)), max(y0, round(y + height))
    image[y0:y1, x0:x1] = ink(colour)[: image.shape[-1]]


def fill_polygon(image: Image, points: Float[np.ndarray, "N 2"], colour: Colour) -> None:
    points = np.round(np.asarray(points)).astype(np.int32)
    cv2.fillPoly(image, [points], ink(colour))


def draw_colour(
    rng: np.random.Generator, saturation: float = 1.0, value: Sequence[float] = (0.2, 1.0)
) -> Colour:
    return hsv(rng.random(), rng.uniform(0, saturation), rng.uniform(*value))


def hsv(hue: float, saturation: float, value: float) -> Colour:
    return 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def ink(colour: Colour) -> tuple[int, ...]:
    """An OpenCV colour; opaque where the image has an owner channel."""
    return (*(int(c) for c in np.clip(colour, 0, 255)), 255)


def to_bytes(values: Num[np.ndarray, "*n"]) -> UInt8[np.ndarray, "*n"]:
    return np.clip(values, 0, 255).astype(np.uint8)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], width: float
) -> Float[np.ndarray, "H W"]:
    """Noise of unit deviation; `width` is its grain in pixels."""
    coarse = int(shape[0] / width) + 4, int(shape[1] / width) + 4
    small = rng.normal(size=coarse).astype(np.float32)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
