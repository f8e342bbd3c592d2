"""Colours, fills and noise that the scenery is painted with."""

import colorsys

import cv2
import numpy as np


def fill_box(image, x, y, width, height, colour):
    """Fills a rectangle; a fourth channel, if there is one, becomes 255."""
    x0, y0 = max(0, round(x)), max(0, round(y))
    x1, y1 = max(x0, round(x + width)), max(y0, round(y + height))
    image[y0:y1, x0:x1] = ink(colour)[: image.shape[-1]]


def fill_polygon(image, points, colour):
    points = np.round(np.asarray(points)).astype(np.int32)
    cv2.fillPoly(image, [points], ink(colour))


def draw_colour(rng, saturation=1.0, value=(0.2, 1.0)):
    return hsv(rng.random(), rng.uniform(0, saturation), rng.uniform(*value))


def hsv(hue, saturation, value):
    return 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def ink(colour):
    """An OpenCV colour; opaque where the image has an owner channel."""
    return (*(int(c) for c in np.clip(colour, 0, 255)), 255)


def to_bytes(values):
    return np.clip(values, 0, 255).astype(np.uint8)


def smooth_noise(rng, shape, width):
    """[H, W] noise of unit deviation and the given grain in pixels."""
    coarse = int(shape[0] / width) + 4, int(shape[1] / width) + 4
    small = rng.normal(size=coarse).astype(np.float32)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
