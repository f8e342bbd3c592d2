"""Draws clips: a camera, the dancers as shaded convex parts, whatever stands before them, the film.

Everything that can be is computed for a whole clip at once; what is left for a frame is a list of
polygons, painted from back to front at twice the resolution into four channels: red, green, blue,
and the owner of the pixel, who is asked which joints the camera sees.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from danceflax.prepare.synthetic import (
    backdrop,
    choreography,
    figure,
    props,
    wardrobe,
)
from danceflax.prepare.synthetic.camera import Camera
from danceflax.prepare.synthetic.ink import to_bytes
from danceflax.skeleton import COCO17_JOINTS

SCALE = 2  # canvas pixels per picture pixel
CORNERS = 18  # of every hull's polygon
SHIFT = 4  # fractional bits of the polygons' coordinates
OCCLUDER = 255  # owner of pixels that something in the foreground covers
# (share of the radii, shift toward the light in bulks, brightness) of the layers of a shaded part.
TONES = np.array([(1.0, 0.0, 0.72), (0.76, 0.18, 0.92), (0.45, 0.34, 1.06)])
CROWD = (0.4, 0.3, 0.2, 0.1)  # how often 1, 2, 3, 4 people dance together


def render_clip(
    seed: int | Sequence[int],
    dance: str,
    frames: int,
    fps: float,
    size: Sequence[int],
    *,
    max_people: int = 4,
) -> tuple[UInt8[np.ndarray, "T H W 3"], Float[np.ndarray, "T P 17 3"]]:
    """Renders a clip of people who dance `dance`, each in their own phase.

    All that the dance does not decide (dancers, clothes, place, camera, light, and where in their
    movements the dancers begin) follows from the seed alone: the first frames of two dances with
    the same seed are equal.

    Args:
      dance: one of `choreography.DANCES`.
      frames, fps: length T of the clip and frames per second.
      size: (width, height) in pixels.
      max_people: at most this many dancers, 1 to 4; the first is the main one.

    Returns:
      RGB frames and the people's COCO-17 joints (x, y, visibility) in pixels, float32. A joint
      outside the picture or hidden by another dancer or the foreground is (0, 0, 0).
    """
    stage, cast, move, film_rng = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)
    )
    odds = np.array(CROWD[:max_people])
    people = 1 + int(cast.choice(len(odds), p=odds / odds.sum()))
    body = figure.sample_body(cast, people)
    camera = Camera.sample(stage, size, float(body["height"][0, 0]))
    home = camera.place_people(cast, people)
    parts = [wardrobe.dress(cast, body, person) for person in range(people)]
    style = choreography.sample_style(move, people)
    phases = choreography.sample_phases(move, dance, people, frames, fps)
    points = figure.pose_figure(body, style, phases, home)

    light = stage.uniform(-1, 1)
    toward_light = np.array([light, -np.sqrt(1 - 0.7 * light**2)])
    background = backdrop.paint_background(stage, camera, SCALE)
    foreground = props.sample_foreground(stage, camera, SCALE)
    film = _Film.sample(film_rng, size)
    polygons, colours, depth = _project_parts(parts, points, camera, toward_light)
    people_order = np.argsort(-camera.depth(points["pelvis"]), axis=0)  # [P, T], farthest first
    rank = np.argsort(people_order, axis=0)
    owner = np.concatenate([np.full(len(p), i) for i, p in enumerate(parts)])
    order = np.argsort(1e3 * rank[owner] - depth, axis=0)  # [M, T]
    joints, _ = camera.project(
        np.stack([points[name] for name in COCO17_JOINTS], 2)
    )  # [P, T, 17, 2]
    spots = _shadow_spots(points, camera)

    images = np.empty((frames, size[1], size[0], 3), np.uint8)
    keypoints = np.zeros((frames, people, len(COCO17_JOINTS), 3), np.float32)
    for t in range(frames):
        canvas = background.copy()
        for spot in spots[t]:
            _darken(canvas, *spot)
        for m in order[:, t]:
            for polygon, colour in zip(polygons[m][t], colours[m], strict=True):
                cv2.fillConvexPoly(canvas, polygon, colour, cv2.LINE_8, SHIFT)
        if foreground is not None:
            cv2.copyTo(foreground, foreground[..., 3], canvas)
        images[t] = film.develop(canvas, t)
        keypoints[t] = _look_up(canvas[..., 3], joints[:, t], rank[:, t])
    return images, keypoints


def _project_parts(parts, points, camera, toward_light):
    """Turns parts into polygons.

    Returns:
      polygons: list of M arrays, int32 [T, tones, CORNERS, 2] in canvas pixels << SHIFT.
      colours: list of M lists of (r, g, b, owner) a tone.
      depth: [M, T] what the painter sorts by, in metres.
    """
    flat = [(person, part) for person, wardrobe_ in enumerate(parts) for part in wardrobe_]
    frames = points["pelvis"].shape[1]
    polygons, colours, depth = [None] * len(flat), [None] * len(flat), np.empty((len(flat), frames))
    sizes = np.array([len(part.points) for _, part in flat])
    shaded = np.array([part.bulk > 0 for _, part in flat])
    for size in np.unique(sizes):
        for tones in (TONES, TONES[:1] * (1, 0, 0) + (0, 0, 1)):
            rows = np.flatnonzero((sizes == size) & (shaded == (len(tones) > 1)))
            if not len(rows):
                continue
            members = [flat[m] for m in rows]
            centres = np.stack(
                [np.stack([points[n][i] for n in part.points], 1) for i, part in members]
            )  # [M, T, K, 3]
            radii = np.array([part.radii for _, part in members])[:, None]
            bulk = np.array([part.bulk for _, part in members])[:, None, None]
            xy, z = camera.project(centres)
            hulls = _outline(xy, z, radii, bulk, tones, toward_light, camera.focal)
            depth[rows] = z.mean(-1) + np.array([part.bias for _, part in members])[:, None]
            for m, hull, (person, part) in zip(rows, hulls, members, strict=True):
                polygons[m] = list(map(list, hull))
                rgb = np.clip(part.colour * tones[:, 2:], 0, 255)
                colours[m] = [(*map(int, tone), person + 1) for tone in rgb]
    return polygons, colours, depth


def _outline(xy, z, radii, bulk, tones, toward_light, focal):
    """[M, T, K, 2] centres of circles -> int32 [M, T, tones, CORNERS, 2] hulls.

    A hull's support in direction u is the farthest of `centre . u + radius`, so its outline is the
    support points of directions all around.
    """
    pixels = SCALE * focal / z
    xy = (SCALE * xy + 0.5)[:, :, None]  # [M, T, 1, K, 2]
    share, offset = tones[:, 0, None], tones[:, 1, None]
    middle = xy.mean(-2, keepdims=True)
    # Highlights of round things shrink toward the middle, those of limbs run along the limb.
    keep = 1 - (1 - share) * (0.15 if xy.shape[-2] <= 2 else 0.6)
    centre = middle + keep[..., None] * (xy - middle)
    centre = centre + ((offset * bulk[:, :, None]) * pixels[:, :, None])[..., None] * toward_light
    radius = share * (radii * pixels)[:, :, None]  # [M, T, tones, K]
    angle = 2 * np.pi * np.arange(CORNERS) / CORNERS
    u = np.stack([np.cos(angle), np.sin(angle)])
    best = np.argmax(centre @ u + radius[..., None], axis=-2)[..., None]  # [M, T, tones, N, 1]
    hull = np.take_along_axis(centre, best, -2)
    hull = hull + np.take_along_axis(radius[..., None], best, -2) * u.T
    return np.round(np.clip(hull, -4000, 8000) * (1 << SHIFT)).astype(np.int32)


def _look_up(owners, joints, rank):
    """[P, 17, 2] projections -> [P, 17, 3] with visibility 2, or zeros where nobody could see."""
    height, width = owners.shape[0] // SCALE, owners.shape[1] // SCALE
    x, y = joints[..., 0], joints[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    column = np.clip(np.round(SCALE * x + 0.5), 0, SCALE * width - 1).astype(int)
    row = np.clip(np.round(SCALE * y + 0.5), 0, SCALE * height - 1).astype(int)
    owner = owners[row, column].astype(int)  # 0 nobody, 1 + person, OCCLUDER
    nearness = np.concatenate([[-1], rank, np.full(OCCLUDER - len(rank), len(rank))])[owner]
    seen = inside & (nearness <= rank[:, None])
    return np.concatenate([joints, np.full(x.shape + (1,), 2.0)], -1) * seen[..., None]


def _shadow_spots(points, camera):
    """For each frame the ellipses (x, y, width, height, darkness) in canvas pixels."""
    spots = []
    for name, reach, dark in (
        ("pelvis", 0.42, 0.5),
        ("left_ankle", 0.15, 0.4),
        ("right_ankle", 0.15, 0.4),
    ):
        floor = points[name] * (1, 1, 0)
        (x, y), z = np.moveaxis(camera.project(floor)[0], -1, 0), camera.depth(floor)
        width = SCALE * reach * camera.focal / z
        height = width * np.maximum(np.sin(camera.pitch), 0.12)
        spots.append(np.stack([SCALE * x, SCALE * y, width, height, np.full_like(x, dark)], -1))
    return np.concatenate(spots).swapaxes(0, 1)


_RADIUS = np.hypot(*np.meshgrid(np.linspace(-1, 1, 48), np.linspace(-1, 1, 48)))
_SPOT = np.clip(1.1 - _RADIUS, 0, 1) ** 1.2


def _darken(canvas, x, y, width, height, darkness):
    """Multiplies a soft elliptic shadow into the canvas."""
    left, top = round(x - width), round(y - height)
    right, bottom = round(x + width) + 1, round(y + height) + 1
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(right, canvas.shape[1]), min(bottom, canvas.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    shade = cv2.resize(
        (255 - 255 * darkness * _SPOT).astype(np.uint8), (right - left, bottom - top)
    )
    shade = cv2.merge([shade[y0 - top : y1 - top, x0 - left : x1 - left]] * 4)
    canvas[y0:y1, x0:x1] = cv2.multiply(canvas[y0:y1, x0:x1], shade, scale=1 / 255)


class _Film(NamedTuple):
    """Light, colour cast, vignette, blur and grain of one camera: constant within a clip."""

    size: tuple
    gain: np.ndarray  # uint8 [H, W, 3]; 160 leaves a pixel as it is
    grain: np.ndarray  # uint8 [H + 32, W + 32, 3] about 128
    blur: float  # pixels

    @classmethod
    def sample(cls, rng, size):
        width, height = size
        x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        slope = rng.normal(0, 0.12, 2)
        gain = rng.uniform(0.75, 1.15) * (1 + slope[0] * x + slope[1] * y)
        gain = gain * (1 - rng.uniform(0, 0.25) * (x**2 + y**2))
        gain = gain[..., None] * rng.normal(1, 0.05, 3)
        grain = rng.normal(128, rng.uniform(1, 6), (height + 32, width + 32, 3))
        return cls(size, to_bytes(160 * gain), to_bytes(grain), max(0, rng.uniform(-0.5, 0.8)))

    def develop(self, canvas, t):
        image = cv2.resize(canvas, self.size, interpolation=cv2.INTER_AREA)
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)
        if self.blur > 0.2:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        image = cv2.multiply(image, self.gain, scale=1 / 160)
        x, y = 7 * t % 32, 13 * t % 32
        grain = self.grain[y : y + self.size[1], x : x + self.size[0]]
        return cv2.addWeighted(image, 1, grain, 1, -128)
