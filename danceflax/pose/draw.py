"""People drawn as skeletons, and maps laid over the image.

Every function takes and returns RGB images and leaves its input unchanged.
"""

import functools
import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from danceflax.skeleton import Skeleton

Image = UInt8[np.ndarray, "H W 3"]
People, Map = Float[np.ndarray, "P J 3"], Float[np.ndarray, "h w C"]
Colours = tuple[UInt8[np.ndarray, "L 3"], UInt8[np.ndarray, "J 3"]]

# Sub-pixel drawing: OpenCV takes fixed-point coordinates with this many fractional bits.
SHIFT = 4
DISC = cv2.ellipse2Poly((0, 0), (100, 100), 0, 0, 360, 15) / 100
ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None]
COSINE, SINE = np.cos(ANGLES), np.sin(ANGLES)


def draw_people(
    image: Image,
    people: People,
    skeleton: Skeleton,
    threshold: float = 0.05,
    opacity: float = 0.85,
    ids: Sequence[int] | Int[np.ndarray, " P"] | None = None,
) -> Image:
    """Draws people's limbs and joints.

    Hue varies over the limbs, as is usual in the field: the right side is warm, the middle green,
    the left side cold; or, where people have numbers, from one to the next, and the left side is
    lighter. Lines grow with the person. Below 0.5 a joint's confidence shows as opacity.

    Args:
      people: (x, y, confidence or visibility) in the image's pixels.
      threshold: joints under this confidence, and their limbs, are not drawn.
      opacity: of a joint of full confidence, 0 to 1.
      ids: numbers of the people, who are drawn in colours by number, or grey if it is -1.
    """
    image = np.array(image)
    people = np.asarray(people, float).reshape(-1, skeleton.num_joints, 3)
    limb_colours, joint_colours = colours(skeleton)
    redundant = skeleton.redundant
    for n, person in enumerate(people):
        if ids is not None:
            limb_colours, joint_colours = person_colours(skeleton, int(ids[n]))
        present = (person[:, 2] > 0) & (person[:, 2] >= threshold)
        present &= np.isfinite(person).all(-1)
        if not present.any():
            continue
        extent = np.ptp(person[present, :2], axis=0).max()
        width = float(np.clip(extent / 40, 1.5, max(image.shape[:2]) / 60))
        strength = opacity * np.clip(person[:, 2] / 0.5, 0.25, 1.0)
        for k, (a, b) in enumerate(skeleton.limbs):
            if present[a] and present[b] and not redundant[k]:
                limb = _limb_outline(person[a, :2], person[b, :2], width)
                _blend_polygon(image, limb, limb_colours[k], min(strength[a], strength[b]))
        for j in np.flatnonzero(present):
            outline = person[j, :2] + DISC * (width * 0.8)
            _blend_polygon(image, outline, joint_colours[j], strength[j])
    return image


def draw_heatmaps(image: Image, heatmaps: Map, opacity: float = 0.75) -> Image:
    """Lays heatmaps over the darkened image, each joint in a hue of its own.

    The background map is not drawn. Where maps overlap the strongest joint shows.
    """
    joints = np.clip(np.nan_to_num(np.asarray(heatmaps, np.float32)[..., :-1]), 0, 1)
    strongest = joints.argmax(-1)
    value = np.take_along_axis(joints, strongest[..., None], -1)
    hues = _hues(np.linspace(0, 1, joints.shape[-1], endpoint=False))
    return _overlay(image, hues[strongest] * value, value, opacity)


def draw_pafs(image: Image, pafs: Map, opacity: float = 0.75) -> Image:
    """Lays PAFs over the darkened image: hue is direction, brightness is magnitude.

    Where limbs overlap the strongest shows. Pointing right is red, down yellow-green, left cyan,
    up violet.
    """
    vectors = np.nan_to_num(np.asarray(pafs, np.float32))
    vectors = vectors.reshape(*vectors.shape[:2], -1, 2)
    length = np.linalg.norm(vectors, axis=-1)
    strongest = length.argmax(-1)[..., None]
    value = np.clip(np.take_along_axis(length, strongest, -1), 0, 1)
    x, y = np.moveaxis(np.take_along_axis(vectors, strongest[..., None], 2)[..., 0, :], -1, 0)
    return _overlay(image, _hues(np.arctan2(y, x) / (2 * np.pi) % 1) * value, value, opacity)


@functools.cache
def colours(skeleton: Skeleton) -> Colours:
    """RGB colours of the limbs and of the joints.

    A right limb and the left one that mirrors it lie equally far on either side of green. A joint
    has the colour of the first limb that ends in it; the root is green.
    """
    mirror, _ = skeleton.limb_flip
    sides = [
        {skeleton.joints[joint].partition("_")[0] for joint in limb} for limb in skeleton.limbs
    ]
    right = [k for k, side in enumerate(sides) if "right" in side and mirror[k] != k]
    middle = np.flatnonzero(mirror == np.arange(len(mirror)))
    hue = np.full(len(mirror), 0.415)  # a little past green; 0 is red, 0.83 is magenta
    hue[middle] += 0.05 * (np.arange(len(middle)) - (len(middle) - 1) / 2) / max(len(middle), 1)
    hue[right] = np.linspace(0, 0.33, len(right))
    hue[mirror[right]] = 0.83 - hue[right]

    joint_hue = np.full(skeleton.num_joints, 0.415)
    for k in reversed(skeleton.assembly):
        if not skeleton.redundant[k]:
            joint_hue[skeleton.limbs[k][1]] = hue[k]
    return tuple(np.round(_hues(values) * 255).astype(np.uint8) for values in (hue, joint_hue))


@functools.lru_cache(1024)
def person_colours(skeleton: Skeleton, number: int) -> Colours:
    """Limb colours and joint colours, RGB, of the person of a number: a hue for
    each, far from those of the numbers before; its left side lighter. Grey for -1."""
    hue = _hues(number * 0.618) if number >= 0 else np.full(3, 0.6)
    left = np.array([name.startswith("left_") for name in skeleton.joints])
    lighter = np.array([left[list(limb)].any() for limb in skeleton.limbs])
    tints = [hue + (1 - hue) * 0.45 * side[:, None] for side in (lighter, left)]
    return tuple(np.round(tint * 255).astype(np.uint8) for tint in tints)


def _hues(turns):
    """float32 [..., 3] saturated RGB in [0, 1]; hue in turns: 0 red, 1/3 green, 2/3 blue."""
    angle = np.asarray(turns, np.float32)[..., None] * 6 + np.array([0, 4, 2], np.float32)
    return np.clip(np.abs(angle % 6 - 3) - 1, 0, 1)


def _overlay(image, colour, value, opacity):
    """Blends a coloured map [h, w, 3] of strength `value` [h, w, 1] over a grey, darkened image."""
    height, width = image.shape[:2]
    layers = np.concatenate([colour, value], -1).astype(np.float32)
    layers = cv2.resize(layers, (width, height), interpolation=cv2.INTER_LINEAR)
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None] * 0.45
    blended = grey * (1 - opacity * layers[..., 3:]) + 255 * opacity * layers[..., :3]
    return np.clip(blended, 0, 255).astype(np.uint8)


def _limb_outline(a, b, width):
    """Corners of a limb from a to b: a slim ellipse, as pose pictures in the field have it."""
    along = (b - a) / 2
    length = np.linalg.norm(along)
    across = np.array([-along[1], along[0]]) / max(length, 1e-6) * (width * 0.7)
    return (a + b) / 2 + COSINE * along + SINE * across


def _blend_polygon(image, outline, colour, opacity):
    """Blends a filled polygon [N, 2] into the image in place; touches only the polygon's box."""
    height, width = image.shape[:2]
    (left, top), (right, bottom) = outline.min(0), outline.max(0)
    left, top = max(math.floor(left) - 1, 0), max(math.floor(top) - 1, 0)
    right, bottom = min(math.ceil(right) + 2, width), min(math.ceil(bottom) + 2, height)
    if left >= right or top >= bottom:
        return
    points = np.round((outline - (left, top)) * (1 << SHIFT)).astype(np.int32)
    box = image[top:bottom, left:right]
    drawn = box.copy()
    cv2.fillPoly(drawn, [points], [int(c) for c in colour], cv2.LINE_AA, SHIFT)
    cv2.addWeighted(drawn, opacity, box, 1 - opacity, 0, dst=box)
