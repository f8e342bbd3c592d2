"""Procedural textures of floors and walls: RGB, TEXELS pixels a metre."""

import cv2
import numpy as np
from jaxtyping import UInt8

from danceflax.prepare.synthetic.ink import (
    draw_colour,
    fill_box,
    hsv,
    ink,
    smooth_noise,
    to_bytes,
)

Texture = UInt8[np.ndarray, "H W 3"]
TEXELS = 48  # texture pixels per metre
CEILING = 3.2  # metres


def planks(rng: np.random.Generator) -> Texture:
    """4 m x 4 m of boards."""
    side, rows = 4 * TEXELS, int(rng.choice([16, 24, 32]))
    wood = hsv(rng.uniform(0.04, 0.11), rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.85))
    tone = np.repeat(rng.uniform(0.82, 1.08, rows), side // rows)
    image = np.broadcast_to(wood * np.ones((side, side, 1)), (side, side, 3)) * tone[:, None, None]
    grain = cv2.GaussianBlur(rng.normal(0, 26, (side, side)), (0, 0), 6, sigmaY=0.6)
    image = image + grain[..., None]
    image[:: side // rows] *= 0.6
    for row in range(rows):
        cut = rng.integers(side)
        image[row * side // rows : (row + 1) * side // rows, cut] *= 0.6
    return to_bytes(image if rng.random() < 0.5 else image.swapaxes(0, 1))


def tiles(rng: np.random.Generator) -> Texture:
    side, count = 4 * TEXELS, int(rng.choice([4, 6, 8]))
    a, b = draw_colour(rng, 0.4, (0.5, 1.0)), draw_colour(rng, 0.5, (0.1, 0.7))
    if rng.random() < 0.4:
        b = a * 0.93
    cell = np.arange(side) * count // side
    odd = (cell[:, None] + cell) % 2
    image = np.where(odd[..., None], a, b) + rng.normal(0, 3, (side, side, 1))
    image[:: side // count] *= 0.7
    image[:, :: side // count] *= 0.7
    return to_bytes(image)


def carpet(rng: np.random.Generator) -> Texture:
    side = 4 * TEXELS
    cloud = smooth_noise(rng, (side, side), 10) * 7 + rng.normal(0, 7, (side, side))
    return to_bytes(draw_colour(rng, 0.7, (0.2, 0.8)) + cloud[..., None])


def grass(rng: np.random.Generator) -> Texture:
    side = 4 * TEXELS
    green = hsv(rng.uniform(0.2, 0.38), rng.uniform(0.3, 0.7), rng.uniform(0.35, 0.7))
    cloud = smooth_noise(rng, (side, side), 6) * 16 + rng.normal(0, 16, (side, side))
    return to_bytes(green + cloud[..., None])


def wallpaper(rng: np.random.Generator) -> Texture:
    """16 m of wall: plain, striped, dotted, brick or panelled, with skirting, pictures, windows."""
    height, width = int(CEILING * TEXELS), 16 * TEXELS
    paint = draw_colour(rng, 0.5, (0.45, 1.0))
    other = paint * rng.uniform(0.75, 0.95) + rng.normal(0, 8, 3)
    y, x = np.mgrid[:height, :width]
    kind = rng.choice(["plain", "stripes", "dots", "bricks", "panels"])
    period = int(rng.integers(10, 40))
    mark = {
        "plain": np.zeros((height, width), bool),
        "stripes": x % period < period // 2,
        "dots": (x % period - period / 2) ** 2 + (y % period - period / 2) ** 2 < period,
        "bricks": (y % 8 == 0) | ((x + 8 * (y // 8 % 2)) % 16 == 0),
        "panels": (x % (2 * period) < 2) | (y % 60 < 2),
    }[kind]
    image = (
        np.where(mark[..., None], other, paint)
        + smooth_noise(rng, (height, width), 30)[..., None] * 6
    )
    image = to_bytes(image)
    for left in np.arange(0.3, 15, 1.9):
        if rng.random() < 0.5:
            x0, w = (left + rng.uniform(0, 0.5)) * TEXELS, rng.uniform(0.5, 1.2) * TEXELS
            y0, h = rng.uniform(0.6, 1.2) * TEXELS, rng.uniform(0.6, 1.1) * TEXELS
            _picture(rng, image, x0, y0, w, h)
    skirting = paint * rng.uniform(0.4, 1.2)
    fill_box(image, 0, height - 0.12 * TEXELS, width, height, skirting)
    if rng.random() < 0.3:  # wainscot
        fill_box(
            image, 0, height - 1.0 * TEXELS, width, 0.88 * TEXELS, paint * rng.uniform(0.5, 0.9)
        )
        fill_box(image, 0, height - 1.05 * TEXELS, width, 0.06 * TEXELS, skirting)
    return image


def _picture(rng, image, x, y, w, h):
    """A framed painting, a window or a mirror."""
    fill_box(image, x - 3, y - 3, w + 6, h + 6, draw_colour(rng, 0.5, (0.1, 0.95)))
    kind = rng.choice(["painting", "window", "mirror"])
    if kind == "window":
        fill_box(image, x, y, w, h, hsv(0.56, rng.uniform(0.1, 0.4), rng.uniform(0.75, 1.0)))
        fill_box(image, x, y + 0.6 * h, w, 0.4 * h, hsv(0.3, 0.3, rng.uniform(0.4, 0.7)))
        fill_box(image, x + w / 2 - 1.5, y, 3, h, np.full(3, 235.0))
        fill_box(image, x, y + h / 2 - 1.5, w, 3, np.full(3, 235.0))
    elif kind == "mirror":
        fill_box(image, x, y, w, h, np.full(3, rng.uniform(150, 220)))
    else:
        fill_box(image, x, y, w, h, draw_colour(rng, 0.7))
        for _ in range(4):
            centre = (round(x + rng.uniform(0.2, 0.8) * w), round(y + rng.uniform(0.2, 0.8) * h))
            cv2.circle(image, centre, round(0.18 * min(w, h)), ink(draw_colour(rng, 0.9)), -1)


def curtain(rng: np.random.Generator) -> Texture:
    height, width = int(CEILING * TEXELS), 16 * TEXELS
    cloth = draw_colour(rng, 0.95, (0.15, 0.7))
    x = np.arange(width) / TEXELS
    folds = 0.72 + 0.28 * np.sin(2 * np.pi * (rng.uniform(2, 5) * x + 0.3 * np.sin(3 * x)))
    image = cloth * folds[None, :, None] * np.linspace(1.1, 0.75, height)[:, None, None]
    return to_bytes(image)


def skyline(rng: np.random.Generator) -> Texture:
    """64 m of sky and of hills or houses, at a quarter of the other textures' scale."""
    height, width = int(CEILING * TEXELS), 16 * TEXELS
    top = hsv(rng.uniform(0.5, 0.65), rng.uniform(0.2, 0.6), rng.uniform(0.5, 1.0))
    glow = hsv(rng.uniform(0.0, 0.15), rng.uniform(0.0, 0.4), 1.0)
    image = top + (glow - top) * np.linspace(0, 1, height)[:, None, None] ** 1.5
    clouds = np.clip(smooth_noise(rng, (height, width), 22), 0, 2)[..., None]
    image = to_bytes(image + clouds * 28)
    x = np.arange(width)
    houses = rng.random() < 0.5
    for layer in range(3):
        colour = (
            draw_colour(rng, 0.4, (0.25, 0.7))
            if houses
            else hsv(rng.uniform(0.22, 0.4), 0.4, 0.7 - 0.15 * layer)
        )
        base = height * (0.72 + 0.08 * layer)
        if houses:
            left = 0
            while left < width:
                w, h = rng.integers(25, 70), rng.integers(15, 70)
                fill_box(image, left, base - h, w - 2, height, colour * rng.uniform(0.7, 1.2))
                for row in range(int(h) // 12):
                    for column in range(int(w) // 12):
                        fill_box(
                            image,
                            left + 4 + 12 * column,
                            base - h + 4 + 12 * row,
                            5,
                            6,
                            colour * 0.5,
                        )
                left += int(w)
        else:
            ridge = (
                base - 14 * np.sin(x / rng.uniform(25, 60) + rng.uniform(0, 6)) - 6 * np.sin(x / 9)
            )
            outline = np.stack([np.r_[0, x, width], np.r_[height, ridge, height]], -1)
            cv2.fillPoly(image, [outline.astype(np.int32)], ink(colour))
    return cv2.GaussianBlur(image, (0, 0), 0.9)
