"""Where the dancers dance: rooms, stages, open air and studios.

A place is a floor and walls with procedural textures, seen through the clip's camera by casting one
ray a pixel. Nothing here knows of the dance.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

from danceflax.prepare.synthetic import textures
from danceflax.prepare.synthetic.camera import Camera
from danceflax.prepare.synthetic.ink import draw_colour, hsv, smooth_noise, to_bytes
from danceflax.prepare.synthetic.props import place_decoys
from danceflax.prepare.synthetic.textures import CEILING, TEXELS


def paint_background(
    rng: np.random.Generator, camera: Camera, scale: int
) -> UInt8[np.ndarray, "H W 4"]:
    """Draws a place, `scale` times as fine as the picture: RGB and zeros for the owner."""
    kind = rng.choice(["room", "stage", "outdoors", "studio"], p=[0.45, 0.2, 0.2, 0.15])
    if kind == "studio":
        image = _paint_studio(rng, camera, scale)
    else:
        image = _cast_rays(rng, camera, scale, kind)
    image = np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))
    if kind != "studio":
        place_decoys(rng, image, camera, scale, kind)
    if kind == "stage" and rng.random() < 0.7:
        image = _add_spotlights(rng, image)
    return np.dstack([image, np.zeros_like(image[..., :1])])


def _cast_rays(rng, camera, scale, kind):
    """Floor, back wall and side walls, whichever a pixel's ray meets first."""
    rays = camera.rays(scale).astype(np.float32)
    yaw = rng.uniform(-0.5, 0.5)
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]], np.float32)
    ray_x, ray_y = np.einsum("ij,hwj->ihw", turn, rays[..., :2])
    ray_z = rays[..., 2]
    eye_x, eye_y = turn @ np.array([0, -camera.distance], np.float32)
    far = 14.0 if kind == "outdoors" else rng.uniform(2.6, 5.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = {
            "floor": np.where(ray_z < -1e-4, -camera.height / ray_z, 1e6),
            "back": np.where(ray_y > 1e-4, (far - eye_y) / ray_y, 1e6),
        }
        if kind == "room":
            left, right = rng.uniform(2.4, 5.0, 2)
            reach["left"] = np.where(ray_x < -1e-4, (-left - eye_x) / ray_x, 1e6)
            reach["right"] = np.where(ray_x > 1e-4, (right - eye_x) / ray_x, 1e6)
    names = list(reach)
    nearest = np.argmin(np.stack([reach[name] for name in names]), 0)
    distance = np.minimum.reduce(list(reach.values()))
    x, y = eye_x + ray_x * distance, eye_y + ray_y * distance
    z = camera.height + ray_z * distance

    floors = {
        "room": (textures.planks, textures.tiles, textures.carpet),
        "stage": (textures.planks, textures.carpet),
        "outdoors": (textures.grass, textures.carpet, textures.tiles),
    }[kind]
    floor = floors[rng.integers(len(floors))](rng)
    paper = {"room": textures.wallpaper, "stage": textures.curtain, "outdoors": textures.skyline}[
        kind
    ](rng)
    image = np.empty(rays.shape, np.float32)
    for k, name in enumerate(names):
        where = nearest == k
        if name == "floor":
            texture, u, v, shade = floor, x, y, np.clip(1.25 - 0.05 * distance, 0.5, 1.1)
        else:
            across = x if name == "back" else y
            texture, u, v, shade = (
                paper,
                across + 8,
                CEILING - z,
                {"left": 0.86, "right": 0.94}.get(name, 1),
            )
            if kind == "outdoors":
                u, v = u / 4, v / 4 + 2.4
            v = np.clip(v, 0.1, CEILING - 0.1)  # a wall goes on above its ceiling
        seen = cv2.remap(
            texture, (u * TEXELS).astype(np.float32), (v * TEXELS).astype(np.float32),
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP,
        )  # fmt: skip
        image[where] = (seen * np.asarray(shade, np.float32)[..., None])[where]
    if kind == "room":  # corners are darker
        gap = np.sort(np.stack(list(reach.values())), 0)
        corner = np.clip((gap[1] - gap[0]) / gap[0] * 6, 0, 1)
        image *= (0.75 + 0.25 * corner)[..., None]
    return image


def _paint_studio(rng, camera, scale):
    """No place at all: a gradient, blobs, stripes or noise."""
    width, height = (scale * n for n in camera.size)
    a, b = draw_colour(rng, 0.8, (0.15, 1.0)), draw_colour(rng, 0.8, (0.15, 1.0))
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.cos(angle) * x + np.sin(angle) * y
    kind = rng.choice(["gradient", "stripes", "blobs", "noise"])
    if kind == "stripes":
        ramp = np.tanh(4 * np.sin(ramp * rng.uniform(6, 25)))
    elif kind == "blobs":
        ramp = np.tanh(6 * smooth_noise(rng, (height, width), rng.uniform(10, 40) * scale))
    elif kind == "noise":
        ramp = ramp + smooth_noise(rng, (height, width), rng.uniform(1, 4) * scale)
    share = np.clip(0.5 + 0.5 * ramp, 0, 1)[..., None]
    return a * share + b * (1 - share)


def _add_spotlights(rng, image):
    height, width = image.shape[:2]
    glow = np.full((height, width), rng.uniform(0.45, 0.7), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        beam = np.zeros((height // 4, width // 4), np.float32)
        top, foot = rng.uniform(0, width, 2) / 4
        half = rng.uniform(0.1, 0.25) * width / 4
        cone = np.array(
            [[top - 2, -2], [top + 2, -2], [foot + half, height / 4], [foot - half, height / 4]]
        )
        cv2.fillConvexPoly(beam, cone.astype(np.int32), 0.55)
        glow += cv2.resize(cv2.GaussianBlur(beam, (0, 0), 5), (width, height))
    tint = hsv(rng.random(), rng.uniform(0, 0.4), 1.0) / 255
    return to_bytes(image * glow[..., None] * (0.5 + 0.5 * tint) + 18 * glow[..., None])
