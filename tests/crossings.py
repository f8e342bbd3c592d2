"""Dancers who cross and hide each other, with known numbers, and what a detector would find."""

import numpy as np

from danceflax.people import keypoint_boxes

# A standing body in units of its height, COCO-18: x to the right, y down, the hips at the origin.
BODY = np.array([
    (0, -.40), (0, -.30), (-.11, -.30), (-.15, -.14), (-.17, 0), (.11, -.30), (.15, -.14), (.17, 0),
    (-.07, 0), (-.08, .23), (-.08, .46), (.07, 0), (.08, .23), (.08, .46),
    (-.02, -.42), (.02, -.42), (-.05, -.41), (.05, -.41),
])  # fmt: skip
ARMS, LEGS = ((2, 3, 4, -1), (5, 6, 7, 1)), ((8, 9, 10, -1), (11, 12, 13, 1))
SIZE = (640, 360)  # px


def make_dancers(seed, count, seconds=10.0, fps=25.0):
    """Dancers who go to and fro past each other, turn, step to a beat and swing their arms.

    Returns:
      points [T, P, 18, 2] px, depth [T, P] (who has more is in front), and a random generator.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * fps)) / fps
    turn, points, depth = rng.uniform(0, 2 * np.pi), [], []
    period = rng.uniform(4, 6)
    for n in range(count):
        phase = rng.uniform(0, 2 * np.pi, 5)
        way = np.sin(2 * np.pi * (time / period + n / count) + turn)
        nearer = 0.12 * np.sin(2 * np.pi * time / rng.uniform(5, 9) + phase[0])
        beat = np.pi * rng.uniform(1.6, 2.4) * time
        body = np.repeat(BODY[None], len(time), 0)
        facing = np.cos(2 * np.pi * time / rng.uniform(3, 8) + phase[1])
        body[..., 0] *= (np.sign(facing) * (0.35 + 0.65 * np.abs(facing)))[:, None]
        lift, swing = 0.8 + 0.8 * np.sin(time * 1.5 + phase[2]), np.sin(beat + phase[3])
        for shoulder, elbow, wrist, side in ARMS:
            angle = lift + 0.4 * swing * side
            body[:, elbow] = body[:, shoulder] + 0.16 * _direction(side * angle)
            angle = angle + 0.8 * (0.5 + 0.5 * swing)
            body[:, wrist] = body[:, elbow] + 0.15 * _direction(side * angle)
        step = np.sin(beat + phase[4])
        for hip, knee, ankle, side in LEGS:
            body[:, knee] = body[:, hip] + 0.23 * _direction(0.5 * step * side)
            bend = 0.4 * np.maximum(0, step * side)
            body[:, ankle] = body[:, knee] + 0.23 * _direction(0.5 * step * side - bend)
        height = rng.uniform(120, 170) * (1 + nearer)
        place = np.stack(
            [SIZE[0] / 2 + 220 * way, SIZE[1] / 2 + 60 * nearer + 8 * np.abs(np.sin(beat))], -1
        )
        points.append(body * height[:, None, None] + place[:, None])
        depth.append(nearer + 1e-3 * n)
    return np.stack(points, 1), np.stack(depth, 1), rng


def detect(points, depth, rng, missed=0.2, false=0.05, dropped=0.1, noise=0.01):
    """What is found of dancers: (people [P, 18, 3], who they truly are [P], -1 for nobody) a frame.

    Joints behind someone in front are not found, nor is a person of whom half is hidden. Of the
    others a share is missed, and a share as large as `false` is found where there is nobody.
    """
    frames = []
    for t in range(len(points)):
        boxes = keypoint_boxes(np.concatenate([points[t], np.ones((*points[t].shape[:2], 1))], -1))
        people, who = [], []
        for n, body in enumerate(points[t]):
            there = np.ones(len(BODY), bool)
            for front in np.flatnonzero(depth[t] > depth[t, n]):
                half = boxes[front, 2:] / 2 * (0.7, 1)  # arms hide little
                centre = boxes[front, :2] + boxes[front, 2:] / 2
                there &= (np.abs(body - centre) > half).any(1)
            if there.mean() < 0.5 or rng.random() < missed:
                continue
            there &= rng.random(len(BODY)) >= dropped
            found = body + rng.normal(0, noise * np.ptp(body[:, 1]), body.shape)
            people.append(_with_scores(found, there, rng))
            who.append(n)
        for _ in range(rng.binomial(len(points[t]), false)):
            shape = points[rng.integers(len(points)), rng.integers(len(points[t]))]
            shape = shape - shape.mean(0) + rng.uniform(0, 1, 2) * SIZE
            people.append(_with_scores(shape, rng.random(len(BODY)) < 0.5, rng))
            who.append(-1)
        order = rng.permutation(len(people))
        people = np.array(people).reshape(-1, len(BODY), 3)
        frames.append((people[order], np.array(who, int)[order]))
    return frames


def _with_scores(points, there, rng):
    scores = rng.uniform(0.3, 0.9, len(points))[:, None]
    return np.concatenate([points, scores], -1) * there[:, None]


def _direction(angle):
    """Downwards, turned by an angle."""
    return np.stack([np.sin(angle), np.cos(angle)], -1)
