"""The dancer's body: proportions and forward kinematics, from phases to points in space.

The world is right-handed, in metres: x right, y away from a camera of azimuth 0, z up, the floor at
z = 0. A dancer of heading 0 faces +y and has the left hand at -x. Every array of points is
[people, frames, 3].
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

UP = np.array([0.0, 0.0, 1.0])
SIDES = {"left": -1.0, "right": 1.0}


def sample_body(rng: np.random.Generator, people: int) -> dict[str, Float[np.ndarray, "P 1"]]:
    """Draws body shapes; lengths are shares of the height."""
    draw = lambda low, high: rng.uniform(low, high, (people, 1))  # noqa: E731
    return {
        "height": draw(1.5, 1.9),  # metres
        "girth": draw(0.88, 1.3),  # scales every radius
        "shoulder": draw(0.095, 0.122),  # half widths
        "hip": draw(0.048, 0.058),
        "thigh": draw(0.235, 0.255),
        "shin": draw(0.235, 0.255),
        "torso": draw(0.20, 0.225),
        "upper_arm": draw(0.16, 0.18),
        "forearm": draw(0.14, 0.16),
        "head": draw(0.068, 0.078),  # radius; a little larger than life, so that faces read
    }


def pose_figure(
    body: Mapping[str, Float[np.ndarray, "P 1"]],
    style: Mapping[str, Float[np.ndarray, "P 1"]],
    phases: Mapping[str, Float[np.ndarray, "P T"]],
    home: Float[np.ndarray, "P 2"],
) -> dict[str, Float[np.ndarray, "P T 3"]]:
    """Places the points of every dancer's body.

    Args:
      body, style: from `sample_body` and `choreography.sample_style`.
      phases: from `choreography.sample_phases`.
      home: where on the floor each one dances.

    Returns:
      Points in metres by name: the COCO joints and the points that carry the looks.
    """
    height = body["height"][..., None]
    sin = {name: np.sin(phase) for name, phase in phases.items()}
    cos = {name: np.cos(phase) for name, phase in phases.items()}

    heading = _rotation("z", np.pi + style["turn"] * sin["turn"])  # toward the audience
    root = np.zeros(sin["turn"].shape + (3,))
    root[..., :2] = home[:, None] / height
    root[..., 0] += style["travel"] * cos["travel"]
    root[..., 1] += style["travel"] * sin["travel"]

    legs = body["thigh"] + body["shin"]
    sink = style["bounce"] * (0.5 - 0.5 * cos["bounce"])
    sway = _vector(style["sway"] * sin["hips"], 0, 0.045 + 0.985 * legs - sink)
    pelvis = root + _apply(heading, sway)
    hips_turn = heading @ _rotation("y", style["hip_roll"] * sin["hips"])
    lean = style["lean"] + 0.8 * sink
    chest_turn = (
        heading
        @ _rotation("z", style["twist"] * sin["twist"])
        @ _rotation("y", -style["side_lean"] * sin["hips"])
        @ _rotation("x", -lean)
    )
    head_turn = (
        chest_turn
        @ _rotation("x", 0.7 * lean)
        @ _rotation("z", style["head_turn"] * sin["head"])
        @ _rotation("x", style["nod"] * cos["head"])
    )

    waist = pelvis + _apply(hips_turn, _vector(0, 0, 0.055))
    points = {"pelvis": pelvis, "waist": waist}
    for name, xyz in _pelvis_points(body).items():
        points[name] = pelvis + _apply(hips_turn, xyz)
    for name, xyz in _chest_points(body).items():
        points[name] = waist + _apply(chest_turn, xyz)
    skull = points["collar"] + _apply(head_turn, _vector(0, 0.012, 0.035 + body["head"]))
    for name, xyz in _HEAD_POINTS.items():
        points[name] = skull + _apply(head_turn, body["head"][..., None] * np.array(xyz))

    for side, sign in SIDES.items():
        _pose_leg(points, body, style, sin, cos, root, heading, side, sign)
        _pose_arm(points, body, style, phases, chest_turn, side, sign)
    return {name: height * xyz for name, xyz in points.items()}


def _pelvis_points(body):
    points = {}
    for side, sign in SIDES.items():
        points[f"{side}_hip"] = _vector(sign * body["hip"], 0, 0)
        points[f"{side}_flank"] = _vector(sign * 0.9 * body["hip"], 0, 0.045)
    for k in range(4):  # the hem of a skirt
        angle = np.pi * (k + 0.5) / 2
        points[f"hem{k}"] = _vector(0.14 * np.cos(angle), 0.125 * np.sin(angle), -0.19)
    return points


def _chest_points(body):
    torso, points = body["torso"], {"collar": _vector(0, 0, body["torso"] + 0.012)}
    points["throat"] = _vector(0, 0.040, 0.95 * torso)
    points["button0"] = _vector(0, 0.056, 0.72 * torso)
    points["button1"] = _vector(0, 0.056, 0.46 * torso)
    points["button2"] = _vector(0, 0.052, 0.2 * torso)
    points["nape"] = _vector(0, -0.06, 0.7 * torso)
    for side, sign in SIDES.items():
        points[f"{side}_shoulder"] = _vector(sign * body["shoulder"], 0, torso)
        points[f"{side}_rib"] = _vector(sign * 0.52 * body["shoulder"], 0, 0.55 * torso)
        points[f"{side}_side"] = _vector(sign * 0.40 * body["shoulder"], 0, 0.05 * torso)
    for row, (z, w) in enumerate([(0.15, 0.45), (0.42, 0.5), (0.69, 0.52)]):  # bands of a shirt
        thick = 0.054 * body["girth"] - 0.013
        for k, (x, y) in enumerate([(-1, 0), (1, 0), (0, -1), (0, 1)]):
            reach = x * (w * body["shoulder"] + thick)
            points[f"band{row}{k}"] = _vector(reach, y * thick, z * torso)
    return points


# On the head, in its radii: x to the right, y forward, z up.
_HEAD_POINTS = {
    "skull": (0, 0, 0), "jaw": (0, 0.22, -0.52), "nose": (0, 1.04, -0.2),
    "mouth": (0, 0.84, -0.58), "left_lip": (-0.22, 0.79, -0.55), "right_lip": (0.22, 0.79, -0.55),
    "left_eye": (-0.38, 0.78, 0.04), "right_eye": (0.38, 0.78, 0.04),
    "left_pupil": (-0.38, 0.86, 0.03), "right_pupil": (0.38, 0.86, 0.03),
    "left_brow": (-0.56, 0.74, 0.30), "right_brow": (0.56, 0.74, 0.30),
    "left_brow_end": (-0.22, 0.88, 0.30), "right_brow_end": (0.22, 0.88, 0.30),
    "left_cheek": (-0.55, 0.72, -0.35), "right_cheek": (0.55, 0.72, -0.35),
    "left_ear": (-0.98, -0.05, -0.05), "right_ear": (0.98, -0.05, -0.05),
    "crown": (0, -0.25, 0.62), "occiput": (0, -0.32, 0.12), "bun": (0, -0.75, 0.85),
    "left_fringe": (-0.48, 0.36, 0.66), "right_fringe": (0.48, 0.36, 0.66),
    "left_temple": (-0.66, -0.25, 0.22), "right_temple": (0.66, -0.25, 0.22),
    "left_lock": (-0.72, -0.35, -0.75), "right_lock": (0.72, -0.35, -0.75),
    "left_brim": (-0.8, 0.2, 0.55), "right_brim": (0.8, 0.2, 0.55), "peak": (0, 1.25, 0.5),
    "hat": (0, -0.05, 1.05), "tail": (0, -1.15, 0.2), "tail_end": (0, -1.35, -0.9),
}  # fmt: skip


def _pose_leg(points, body, style, sin, cos, root, heading, side, sign):
    """One foot is in the air for half a cycle of the steps; the knee follows from its place."""
    swing = -sign * cos["steps"] * style["stride"]
    lift = style["lift"] * np.maximum(0, -sign * sin["steps"]) ** 1.5
    place = _vector(
        sign * (body["hip"] + style["stance"]) + 0.5 * swing * np.sin(style["stride_angle"]),
        swing * np.cos(style["stride_angle"]),
        0.045 + lift,
    )
    hip, ankle = points[f"{side}_hip"], root + _apply(heading, place)
    toward = _apply(heading, _vector(sign * np.sin(style["turnout"]), np.cos(style["turnout"]), 0))
    thigh, shin = body["thigh"][..., None], body["shin"][..., None]
    knee, ankle = _bend(hip, ankle, thigh, shin, toward)
    points[f"{side}_knee"], points[f"{side}_ankle"] = knee, ankle
    points[f"{side}_thigh"] = hip + 0.72 * (knee - hip)  # what a skirt must cover
    droop = 0.8 * (ankle[..., 2:] - 0.045)
    points[f"{side}_heel"] = ankle - 0.022 * toward - 0.024 * UP
    points[f"{side}_toe"] = ankle + 0.088 * toward - (0.03 + droop) * UP


def _pose_arm(points, body, style, phases, chest_turn, side, sign):
    """The upper arm rises and falls and sweeps forward; the elbow opens and closes with a lag."""
    phase = phases[f"{side}_arm"]
    lagged = phase + np.pi * style[f"{side}_lag"]
    raised = style[f"{side}_mid"] + style[f"{side}_raise"] * np.sin(phase)
    forward = style[f"{side}_side"] + style[f"{side}_sweep"] * np.sin(lagged)
    flexed = style[f"{side}_bend"] + style[f"{side}_flex"] * np.cos(lagged)
    upper = _vector(
        sign * np.sin(raised) * np.cos(forward), np.sin(raised) * np.sin(forward), -np.cos(raised)
    )
    fold = _orthogonal(np.broadcast_to([-0.35 * sign, 0.75, 0.55], upper.shape), upper)
    lower = np.cos(flexed)[..., None] * upper + np.sin(flexed)[..., None] * fold
    upper, lower = _apply(chest_turn, upper), _apply(chest_turn, lower)
    elbow = points[f"{side}_shoulder"] + body["upper_arm"][..., None] * upper
    wrist = elbow + body["forearm"][..., None] * lower
    points[f"{side}_elbow"], points[f"{side}_wrist"] = elbow, wrist
    points[f"{side}_palm"] = wrist + 0.03 * lower
    points[f"{side}_fingers"] = wrist + 0.062 * lower
    thumb = _apply(chest_turn, fold)
    points[f"{side}_thumb"] = wrist + 0.035 * lower + 0.022 * thumb


def _bend(start, end, first, second, toward):
    """Two-link inverse kinematics: the middle joint, bent `toward`, and the end within reach."""
    reach = end - start
    span = np.linalg.norm(reach, axis=-1, keepdims=True)
    axis = reach / span
    span = np.minimum(span, 0.999 * (first + second))
    along = (first**2 - second**2 + span**2) / (2 * span)
    out = np.sqrt(np.maximum(first**2 - along**2, 0))
    return start + along * axis + out * _orthogonal(toward, axis), start + span * axis


def _orthogonal(vector, axis):
    """The unit vector nearest to `vector` at right angles to the unit vector `axis`."""
    rest = vector - np.sum(vector * axis, -1, keepdims=True) * axis
    return rest / np.maximum(np.linalg.norm(rest, axis=-1, keepdims=True), 1e-6)


def _vector(x, y, z):
    return np.stack(np.broadcast_arrays(x, y, z), -1).astype(float)


def _apply(rotation, xyz):
    """Turns [P, T or 1, 3] (or [3]) points by [P, T, 3, 3]."""
    return np.einsum("ptij,ptj->pti", rotation, np.broadcast_to(xyz, rotation.shape[:-1]))


def _rotation(axis, angle):
    """[P, T, 3, 3] right-handed rotations about a coordinate axis."""
    a, b = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    result = np.zeros(angle.shape + (3, 3)) + np.eye(3)
    result[..., a, a] = result[..., b, b] = np.cos(angle)
    result[..., b, a] = np.sin(angle)
    result[..., a, b] = -result[..., b, a]
    return result
