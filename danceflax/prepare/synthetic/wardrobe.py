"""What the dancers look like: skin, hair, faces and clothes, as parts around the body's points.

A part is the convex hull of a few spheres, each centred at a named point of the figure: two make a
tapered limb, six a torso, one an eye. The lists below are all there is to a dancer's looks.
"""

import colorsys
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

SKINS = [
    (244, 208, 177),
    (231, 180, 143),
    (208, 150, 109),
    (172, 112, 73),
    (126, 79, 50),
    (86, 54, 38),
]
HAIRS = [(28, 22, 20), (62, 40, 26), (110, 70, 38), (190, 140, 70), (222, 190, 120), (150, 60, 30),
         (150, 150, 155), (90, 40, 70)]  # fmt: skip


class Part(NamedTuple):
    """A convex hull of spheres.

    Attributes:
      points: names of the spheres' centres.
      radii: their radii in metres.
      colour: RGB, 0..255.
      bias: metres to add to the part's depth when sorting; negative is nearer to the camera.
      bulk: metres, how far its highlights lie toward the light; 0 paints it flat.
    """

    points: tuple
    radii: tuple
    colour: np.ndarray
    bias: float = 0.0
    bulk: float = 0.0


def dress(
    rng: np.random.Generator, body: Mapping[str, Float[np.ndarray, "P 1"]], person: int
) -> list[Part]:
    """Draws the clothes and the face of one person, in no special order."""
    height = float(body["height"][person, 0])
    girth = float(body["girth"][person, 0])
    head = float(body["head"][person, 0]) * height
    skin = np.array(SKINS[rng.integers(len(SKINS))], float) * rng.uniform(0.92, 1.06)
    top, bottom, accent = _outfit_colours(rng)
    shoe = _paint(rng, (0.0, 1.0), (0.1, 0.7), (0.12, 0.95))
    sleeves = rng.choice(["long", "short", "none"], p=[0.4, 0.4, 0.2])
    legwear = rng.choice(["trousers", "skirt", "shorts"], p=[0.5, 0.32, 0.18])
    if rng.random() < 0.25:
        bottom = top  # a dress, or overalls
    parts = []

    def limb(a, b, ra, rb, colour, bias=0.0):
        ra, rb = ra * height * girth, rb * height * girth
        parts.append(Part((a, b), (ra, rb), colour, bias, 0.9 * max(ra, rb)))

    stocking = _paint(rng, (0.0, 1.0), (0.0, 0.5), (0.1, 0.9)) if rng.random() < 0.3 else skin
    thigh = skin if legwear == "skirt" else bottom
    beneath = 0.25 if legwear == "skirt" else 0.0
    shin = bottom if legwear == "trousers" else stocking
    sleeve, cuff = (skin if sleeves == "none" else top), (top if sleeves == "long" else skin)
    loose = rng.uniform(1.0, 1.35) if legwear == "trousers" else 1.0
    for side in ("left", "right"):
        limb(f"{side}_hip", f"{side}_knee", 0.050, 0.034, thigh, beneath)
        limb(f"{side}_knee", f"{side}_ankle", 0.033, 0.020 * loose, shin)
        limb(f"{side}_heel", f"{side}_toe", 0.023, 0.017, shoe, -0.02)
        limb(f"{side}_shoulder", f"{side}_elbow", 0.031, 0.025, sleeve, -0.05)
        limb(f"{side}_elbow", f"{side}_wrist", 0.024, 0.017, cuff, -0.07)
        limb(f"{side}_palm", f"{side}_fingers", 0.020, 0.013, skin, -0.08)
        limb(f"{side}_palm", f"{side}_thumb", 0.012, 0.008, skin, -0.085)

    limb("collar", "jaw", 0.030, 0.026, skin, 0.01)
    spheres = {
        "left_shoulder": 0.032, "right_shoulder": 0.032, "left_rib": 0.056, "right_rib": 0.056,
        "left_side": 0.050, "right_side": 0.050,
    }  # fmt: skip
    parts.append(_blob(spheres, height * girth, top, 0.0, 0.07))
    spheres = {"left_hip": 0.054, "right_hip": 0.054, "left_flank": 0.050, "right_flank": 0.050}
    parts.append(_blob(spheres, height * girth, bottom, -0.03, 0.06))
    if legwear == "skirt":
        spheres = {f"hem{k}": 0.012 for k in range(4)}
        spheres |= {
            "left_flank": 0.05,
            "right_flank": 0.05,
            "left_thigh": 0.042,
            "right_thigh": 0.042,
        }
        parts.append(_blob(spheres, height * girth, bottom, -0.2, 0.06))
    _decorate(rng, parts, height * girth, accent)
    _add_head(rng, parts, head, skin)
    return parts


def _decorate(rng, parts, scale, accent):
    """Stripes all round, or a tie, buttons, an open collar: the front is told from the back."""
    pattern = rng.choice(["plain", "stripes", "stripe"], p=[0.5, 0.25, 0.25])
    rows = {"plain": [], "stripes": [0, 1, 2], "stripe": [int(rng.integers(3))]}[pattern]
    width = rng.uniform(0.008, 0.02)
    for row in rows:
        spheres = {f"band{row}{k}": width for k in range(4)}
        parts.append(_blob(spheres, scale, accent, -0.012))
    front = rng.choice(["tie", "buttons", "collar"], p=[0.3, 0.4, 0.3])
    ink = accent if not rows else 255 - accent
    if front == "tie":
        parts.append(_blob({"throat": 0.012, "button1": 0.018}, scale, ink, 0.05))
    elif front == "buttons":
        for k in range(3):
            parts.append(_blob({f"button{k}": 0.009}, scale, ink, 0.05))
    else:
        parts.append(_blob({"throat": 0.022, "button0": 0.006}, scale, ink, 0.05))


def _add_head(rng, parts, head, skin):
    hair = np.array(HAIRS[rng.integers(len(HAIRS))], float) * rng.uniform(0.85, 1.1)
    lips = skin * (0.85, 0.5, 0.5)
    iris = np.array([(60, 40, 25), (50, 80, 120), (45, 85, 55), (25, 20, 20)][rng.integers(4)])

    def face(spheres, colour, bias=0.0, bulk=0.0):
        # A face is painted on the skull, so only when it points toward the camera.
        parts.append(_blob(spheres, head, np.asarray(colour, float), bias * head, bulk * head))

    face({"skull": 1.0, "jaw": 0.66}, skin, 0.0, 0.8)
    for side in ("left", "right"):
        face({f"{side}_ear": 0.2}, skin * 0.9, -0.15)
        face({f"{side}_eye": 0.17}, (245, 245, 242), 0.3)
        face({f"{side}_pupil": 0.11}, iris, 0.3)
        face({f"{side}_brow": 0.05, f"{side}_brow_end": 0.06}, hair * 0.8, 0.2)
        face({f"{side}_cheek": 0.17}, skin * (1.0, 0.86, 0.84), 0.2)
    face({"nose": 0.13}, skin * 0.84, 0.2)
    face({"left_lip": 0.06, "right_lip": 0.06, "mouth": 0.085}, lips, 0.2)
    if rng.random() < 0.2:  # a beard: below the mouth
        face({"jaw": 0.58, "left_cheek": 0.12, "right_cheek": 0.12}, hair, 0.3)

    style = rng.choice(
        ["short", "long", "bun", "tail", "hat", "bald"], p=[0.35, 0.2, 0.13, 0.14, 0.12, 0.06]
    )
    if style != "bald":
        face({"occiput": 0.93, "crown": 0.6}, hair, -0.08, 0.6)
        for side in ("left", "right"):
            face({f"{side}_temple": 0.42}, hair, -0.02, 0.3)
        face({"left_fringe": 0.36, "right_fringe": 0.36, "crown": 0.62}, hair, -0.1, 0.5)
    if style == "long":
        length = rng.uniform(0.55, 0.75)
        face(
            {"occiput": 0.93, "nape": length, "left_lock": 0.35, "right_lock": 0.35}, hair, 0.0, 0.6
        )
    elif style == "bun":
        face({"bun": 0.45}, hair, 0.0, 0.35)
    elif style == "tail":
        face({"tail": 0.28, "tail_end": 0.18}, hair, 0.0, 0.25)
    elif style == "hat":
        felt = _paint(rng, (0.0, 1.0), (0.2, 0.8), (0.2, 0.9))
        face({"left_brim": 0.4, "right_brim": 0.4, "hat": 0.5, "crown": 0.7}, felt, -0.2, 0.6)
        face({"left_fringe": 0.3, "right_fringe": 0.3, "peak": 0.22}, felt * 0.75, -0.05, 0.3)


def _blob(spheres, scale, colour, bias, bulk=0.0):
    return Part(tuple(spheres), tuple(scale * r for r in spheres.values()), colour, bias, bulk)


def _outfit_colours(rng):
    """Top, bottom and accent: two hues that differ, each light or dark, and one that stands out."""
    hue = rng.random()
    top = _paint(rng, (hue, hue), (0.1, 0.85), (0.3, 1.0))
    other = hue + rng.uniform(0.2, 0.8)
    bottom = _paint(rng, (other, other), (0.05, 0.7), (0.15, 0.85))
    accent = _paint(rng, (0.0, 1.0), (0.0, 0.6), (0.8, 1.0) if np.mean(top) < 128 else (0.1, 0.4))
    return top, bottom, accent


def _paint(rng, hue, saturation, value):
    rgb = colorsys.hsv_to_rgb(rng.uniform(*hue) % 1, rng.uniform(*saturation), rng.uniform(*value))
    return 255 * np.array(rgb)
