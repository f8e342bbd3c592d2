"""Things that stand about: decoys behind the dancers, and what hides them in the foreground."""

import cv2
import numpy as np
from jaxtyping import UInt8

from danceflax.prepare.synthetic.camera import Camera
from danceflax.prepare.synthetic.ink import (
    draw_colour,
    fill_box,
    fill_polygon,
    hsv,
    ink,
)


def place_decoys(
    rng: np.random.Generator,
    image: UInt8[np.ndarray, "H W 3"],
    camera: Camera,
    scale: int,
    kind: str,
) -> None:
    """Stands lamps, plants, balloons, loudspeakers and coat racks behind the dancers."""
    choices = [_lamp, _plant, _speaker, _coat_rack, _balloons]
    for _ in range(rng.integers(0, 4)):
        foot = np.array([rng.uniform(-2.6, 2.6), rng.uniform(1.4, 2.4), 0.0])
        (x, y), depth = camera.project(foot)
        choices[rng.integers(len(choices))](
            rng, image, scale * x, scale * y, scale * camera.focal / depth
        )


def sample_foreground(
    rng: np.random.Generator, camera: Camera, scale: int
) -> UInt8[np.ndarray, "H W 4"] | None:
    """Draws what stands between the camera and the dancers: RGBA with alpha 255 where it is, or
    None, most often."""
    if rng.random() > 0.3:
        return None
    width, height = (scale * n for n in camera.size)
    layer = np.zeros((height, width, 4), np.uint8)
    colour = draw_colour(rng, 0.6, (0.1, 0.7))
    side = rng.choice([-1, 1])
    edge = width * (0.5 + side * rng.uniform(0.25, 0.48))
    kind = rng.choice(["rail", "pole", "plant", "table", "balloons"])
    if kind == "rail":
        y = height * rng.uniform(0.72, 0.9)
        fill_box(layer, 0, y, width, height * 0.025, colour)
        for k in range(9):
            fill_box(layer, width * (k + rng.uniform(0, 0.2)) / 8, y, width * 0.012, height, colour)
    elif kind == "pole":
        fill_box(layer, edge, 0, width * rng.uniform(0.02, 0.06), height, colour)
    elif kind == "plant":
        _leaves(rng, layer, edge, height * 1.02, height * rng.uniform(0.3, 0.5))
    elif kind == "table":
        y, half = height * rng.uniform(0.76, 0.9), width * rng.uniform(0.12, 0.25)
        fill_box(layer, edge - half, y, 2 * half, height, colour * 0.8)
        fill_box(layer, edge - 1.06 * half, y, 2.12 * half, height * 0.03, colour * 1.2)
        fill_box(layer, edge, y - height * 0.09, width * 0.03, height * 0.09, draw_colour(rng, 0.8))
    else:
        for _ in range(3):
            xy = (edge + width * rng.normal(0, 0.06), height * rng.uniform(0.1, 0.9))
            _balloon(rng, layer, xy, height * rng.uniform(0.04, 0.08))
    return layer


def _lamp(rng, image, x, y, metre):
    top = rng.uniform(1.4, 1.9)
    dark = draw_colour(rng, 0.3, (0.1, 0.5))
    fill_box(image, x - 0.015 * metre, y - top * metre, 0.03 * metre, top * metre, dark)
    fill_box(image, x - 0.15 * metre, y - 0.04 * metre, 0.3 * metre, 0.04 * metre, dark)
    shade = np.array([[-0.12, -0.15], [0.12, -0.15], [0.22, 0.18], [-0.22, 0.18]]) - (0, top)
    fill_polygon(
        image, (x, y) + shade * metre, hsv(rng.uniform(0.05, 0.16), rng.uniform(0.1, 0.7), 0.97)
    )


def _plant(rng, image, x, y, metre):
    _leaves(rng, image, x, y - 0.3 * metre, rng.uniform(0.5, 1.0) * metre)
    pot = np.array([[-0.2, -0.36], [0.2, -0.36], [0.14, 0], [-0.14, 0]])
    fill_polygon(
        image, (x, y) + pot * metre, hsv(rng.uniform(0.02, 0.1), 0.6, rng.uniform(0.3, 0.7))
    )


def _speaker(rng, image, x, y, metre):
    tall, half = rng.uniform(0.7, 1.4), rng.uniform(0.18, 0.3)
    case = draw_colour(rng, 0.2, (0.05, 0.3))
    fill_box(image, x - half * metre, y - tall * metre, 2 * half * metre, tall * metre, case)
    for share in (0.3, 0.72):
        centre = (round(x), round(y - share * tall * metre))
        cv2.circle(image, centre, round(0.75 * half * metre), ink(case + 50), -1, cv2.LINE_AA)
        cv2.circle(image, centre, round(0.3 * half * metre), ink(case + 15), -1, cv2.LINE_AA)


def _coat_rack(rng, image, x, y, metre):
    """The nearest thing to a person that is none: a coat and a hat on a pole."""
    wood = hsv(0.07, 0.5, 0.35)
    fill_box(image, x - 0.02 * metre, y - 1.75 * metre, 0.04 * metre, 1.75 * metre, wood)
    for sign in (-1, 1):
        foot = np.array([[0, -0.15], [sign * 0.25, 0], [sign * 0.2, 0]])
        fill_polygon(image, (x, y) + foot * metre, wood)
    coat = np.array(
        [[-0.08, -1.55], [0.08, -1.55], [0.22, -1.4], [0.26, -0.6], [-0.26, -0.6], [-0.22, -1.4]]
    )
    cloth = draw_colour(rng, 0.7, (0.2, 0.8))
    fill_polygon(image, (x, y) + coat * metre, cloth)
    fill_box(image, x - 0.008 * metre, y - 1.5 * metre, 0.016 * metre, 0.9 * metre, cloth * 0.7)
    if rng.random() < 0.5:
        axes = (round(0.16 * metre), round(0.05 * metre))
        cv2.ellipse(
            image, (round(x), round(y - 1.72 * metre)), axes, 0, 0, 360, ink(cloth * 0.6), -1
        )


def _balloons(rng, image, x, y, metre):
    for _ in range(int(rng.integers(1, 5))):
        xy = (x + 0.3 * metre * rng.normal(), y - rng.uniform(1.2, 2.2) * metre)
        _balloon(rng, image, xy, rng.uniform(0.1, 0.16) * metre)


def _balloon(rng, image, xy, radius):
    colour = draw_colour(rng, 0.9, (0.5, 1.0))
    centre = (round(xy[0]), round(xy[1]))
    cv2.ellipse(image, centre, (round(radius), round(1.2 * radius)), 0, 0, 360, ink(colour), -1)
    shine = (round(xy[0] - 0.35 * radius), round(xy[1] - 0.45 * radius))
    cv2.circle(image, shine, max(1, round(0.22 * radius)), ink(colour + 70), -1)


def _leaves(rng, image, x, y, length):
    green = hsv(rng.uniform(0.22, 0.42), rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.65))
    for angle in np.linspace(-1.1, 1.1, int(rng.integers(5, 11))):
        angle, reach = angle + rng.normal(0, 0.12), length * rng.uniform(0.7, 1.0)
        tip = np.array([np.sin(angle), -np.cos(angle)])
        across = np.array([-tip[1], tip[0]]) * reach * 0.09
        leaf = [0 * tip, 0.5 * reach * tip + across, reach * tip, 0.5 * reach * tip - across]
        fill_polygon(image, (x, y) + np.array(leaf), green * rng.uniform(0.75, 1.25))
