"""A pinhole camera that looks at the dance floor."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Camera(NamedTuple):
    """Stands at (0, -distance, height), looks toward +y and `pitch` radians down.

    `size` is (width, height) in pixels, `focal` in pixels, `centre` the principal point.
    """

    size: tuple
    focal: float
    centre: np.ndarray
    distance: float
    height: float
    pitch: float

    @classmethod
    def sample(cls, rng: np.random.Generator, size: Sequence[int], tall: float) -> "Camera":
        """Draws a camera that sees a dancer of height `tall` metres at the origin whole, mostly."""
        distance, pitch = rng.uniform(3.4, 6.5), np.deg2rad(rng.uniform(-3, 24))
        share = rng.uniform(0.5, 0.82)  # of the picture's height that the dancer takes
        focal = share * min(size[1], 1.35 * size[0]) * distance / tall
        centre = np.array([size[0] - 1, size[1] - 1]) / 2
        centre = centre + rng.uniform(-1, 1, 2) * (0.08 * size[0], 0.04 * size[1])
        height = 0.52 * tall + distance * np.tan(pitch)
        return cls(tuple(size), focal, centre, distance, height, pitch)

    def project(
        self, xyz: Float[np.ndarray, "*n 3"]
    ) -> tuple[Float[np.ndarray, "*n 2"], Float[np.ndarray | np.floating, "*n"]]:
        """Where points in metres are seen, in pixels, and their depth in metres."""
        y, z = xyz[..., 1] + self.distance, xyz[..., 2] - self.height
        depth = np.maximum(y * np.cos(self.pitch) - z * np.sin(self.pitch), 0.2)
        down = -y * np.sin(self.pitch) - z * np.cos(self.pitch)
        xy = np.stack([xyz[..., 0] / depth, down / depth], -1)
        return self.focal * xy + self.centre, depth

    def depth(self, xyz: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray | np.floating, "*n"]:
        return self.project(xyz)[1]

    def rays(self, scale: int) -> Float[np.ndarray, "H W 3"]:
        """Directions through the pixels of a picture `scale` times as fine,
        of depth 1."""
        width, height = self.size
        x = ((np.arange(scale * width) + 0.5) / scale - 0.5 - self.centre[0]) / self.focal
        y = ((np.arange(scale * height) + 0.5) / scale - 0.5 - self.centre[1]) / self.focal
        x, y = np.meshgrid(x, y)
        sin, cos = np.sin(self.pitch), np.cos(self.pitch)
        return np.stack([x, cos - y * sin, -sin - y * cos], -1)

    def place_people(self, rng: np.random.Generator, people: int) -> Float[np.ndarray, "P 2"]:
        """Draws places on the floor, apart and with heads in the picture; the first at the
        origin."""
        places = [np.zeros(2)]
        for _ in range(200):
            if len(places) == people:
                break
            place = rng.uniform((-2.2, -0.8), (2.2, 3.0))
            (x, y), _ = self.project(np.array([*place, 1.7]))
            apart = min(np.hypot(*(place - other)) for other in places)
            if apart > 1.0 and 0.06 < x / self.size[0] < 0.94 and y > 0:
                places.append(place)
        while len(places) < people:  # a narrow picture: the rest dance behind
            places.append(np.array([0.3 * (-1) ** len(places), 1.2 * len(places)]))
        return np.array(places)
