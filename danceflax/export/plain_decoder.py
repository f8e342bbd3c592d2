"""People from the maps of an exported pose network, in numpy alone: copy this file beside yours.

    heatmaps, pafs = session.run(None, {"image": image[None]})
    people, scores = decode(heatmaps[0], pafs[0], about)     # about: the exported file's metadata

It finds whom `danceflax.pose.decode` finds on the device (refinement "grid"), in float64, by tables
of people as published, an image at a time: tests/pose/test_decode.py compares the two.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

# They do not count towards a person's least number of joints.
FEET = ("big_toe", "small_toe", "heel")
FLOOR = 0.01  # of a peak: below, no logarithm is trusted


def decode(
    heatmaps: np.ndarray, pafs: np.ndarray, about: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """The people of one image.

    Args:
      heatmaps: [h, w, J + 1], h and w at least 3.
      pafs: [h, w, 2 L].
      about: `skeleton`, `stride` and `decode`, as an exported file says them.

    Returns:
      People [P, J, 3], (x, y, score) in pixels of the network's input, (0, 0, 0) for a joint that
      is not found; and their scores [P], best first.
    """
    skeleton, options, stride = about["skeleton"], about["decode"], about["stride"]
    joints, limbs = skeleton["joints"], skeleton["limbs"]
    maps = np.moveaxis(heatmaps[..., : len(joints)], -1, 0).astype(float)
    maps = np.where(np.isfinite(maps), maps, 0.0)
    peaks = [find_peaks(m, options["peak_threshold"])[: options["max_peaks"]] for m in maps]
    pairs = []  # (order, score, limb, peak of its first joint, peak of its second)
    for k, (first, second) in enumerate(limbs):
        field = pafs[..., 2 * k : 2 * k + 2].astype(float)
        for a, one in enumerate(peaks[first]):
            for b, other in enumerate(peaks[second]):
                score = score_pair(field, one, other, options)
                if score > 0:
                    pairs.append((score + 0.1 * (one[2] + other[2]), score, k, a, b))
    if options["rule"] == "global":
        candidates = sorted(pairs, key=lambda pair: -pair[0])
        people = join_globally(candidates[: len(limbs) * options["max_peaks"]], limbs)
    else:
        people = join_limb_by_limb(pairs, limbs, skeleton["assembly"])

    found = []
    for person, limb_score in people:
        total = limb_score + sum(peaks[j][i][2] for j, i in person.items())
        counted = sum(not joints[j].endswith(FEET) for j in person)
        if counted >= options["min_joints"] and total >= options["min_score"] * counted:
            array = np.zeros((len(joints), 3))
            for j, i in person.items():
                x, y, score = peaks[j][i]
                array[j] = (x + 0.5) * stride - 0.5, (y + 0.5) * stride - 0.5, score
            found.append((total / (len(joints) + len(limbs)), array))
    found = sorted(found, key=lambda item: -item[0])[: options["max_people"]]
    people = np.array([array for _, array in found]).reshape(-1, len(joints), 3)
    return people, np.array([score for score, _ in found])


def find_peaks(heatmap: np.ndarray, threshold: float) -> list[tuple[float, float, float]]:
    """(x, y, height) of the local maxima of a map [h, w], in cells, highest first: a Gaussian is
    fitted to three cells an axis. Among equal neighbours the first in reading order wins."""
    found = []
    for y, x in np.argwhere(heatmap > threshold).tolist():
        top, left = max(y - 1, 0), max(x - 1, 0)
        near = heatmap[top : y + 2, left : x + 2]
        if divmod(int(near.argmax()), near.shape[1]) == (y - top, x - left):
            peak = float(heatmap[y, x])
            at_x, gain_x = fit_axis(heatmap[y], x, peak)
            at_y, gain_y = fit_axis(heatmap[:, x], y, peak)
            height = min(peak * math.exp(gain_x + gain_y), max(peak, 1.0))
            found.append((peak, (at_x, at_y, height)))
    return [place for _, place in sorted(found, key=lambda item: -item[0])]


def fit_axis(cells: np.ndarray, i: int, peak: float) -> tuple[float, float]:
    """Where the Gaussian through cell i and its neighbours is highest, and the logarithm of how
    much higher than the cell."""
    centre = min(max(i, 1), len(cells) - 2)
    before, middle, after = (math.log(max(cells[centre + d], FLOOR * peak)) for d in (-1, 0, 1))
    slope, bend = (after - before) / 2, before - 2 * middle + after
    vertex = min(max(centre - slope / bend, i - 0.5), i + 0.5) if bend < -1e-6 else float(i)
    t, t0 = vertex - centre, i - centre
    return vertex, slope * (t - t0) + 0.5 * bend * (t**2 - t0**2)


def score_pair(field: np.ndarray, one: tuple, other: tuple, options: Mapping[str, Any]) -> float:
    """How well the field [h, w, 2] of a limb says that two peaks are its ends; 0: they are not."""
    (ax, ay, _), (bx, by, _) = one, other
    length = math.hypot(bx - ax, by - ay)
    if length < 1e-6:
        return 0.0
    samples = options["samples"]
    t = (np.arange(samples) + 0.5) / samples
    x, y = ax + t * (bx - ax), ay + t * (by - ay)
    values = read_between(field, x, y) @ (np.array([bx - ax, by - ay]) / length)
    passing = values[values > options["paf_threshold"]]
    good = len(passing) > options["paf_ratio"] * samples
    if options["rule"] == "global":  # joints in one cell have no field between them
        near = options["peak_threshold"] if length < 1 else 0.0
        return float(passing.mean()) if good else near
    return float(values.mean()) + min(0.5 * len(field) / length - 1, 0) if good else 0.0


def read_between(field: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values [n, 2] of a field at fractional cells, bilinear; beyond the border it repeats."""
    height, width, _ = field.shape
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    total = 0.0
    for row, down in ((top, top + 1 - y), (top + 1, y - top)):
        for column, right in ((left, left + 1 - x), (left + 1, x - left)):
            cells = field[row.clip(0, height - 1), column.clip(0, width - 1)]
            total = total + (down * right)[:, None] * cells
    return total


def join_globally(pairs: list, limbs: list) -> list:
    """People, [{joint: peak}, sum of limbs' scores], of pairs in order, whatever their limbs."""
    people, owner = [], {}  # owner: (joint, peak) -> person
    for _, score, k, a, b in pairs:
        ends = [(limbs[k][0], a), (limbs[k][1], b)]
        owners = [owner.get(end) for end in ends]
        if owners == [None, None]:
            people.append([dict(ends), score])
            owner[ends[0]] = owner[ends[1]] = people[-1]
        elif None in owners:
            person, (joint, i) = owners[0] or owners[1], ends[owners.index(None)]
            if joint not in person[0]:
                person[0][joint] = i
                person[1] += score
                owner[joint, i] = person
        elif owners[0] is owners[1]:
            owners[0][1] += score
        elif not set(owners[0][0]) & set(owners[1][0]):
            one, other = owners
            one[0].update(other[0])
            one[1] += other[1] + score
            owner.update(dict.fromkeys(other[0].items(), one))
            people = [person for person in people if person is not other]
    return people


def join_limb_by_limb(pairs: list, limbs: list, assembly: list) -> list:
    """As `join_globally`, in the order of `assembly`; peaks are matched one to one, best first."""
    people, reached = [], set()
    for k in assembly:
        first, second = limbs[k]
        redundant = {first, second} <= reached  # such a limb only adds lone peaks
        reached |= {first, second}
        used = set()
        for _, score, _, a, b in sorted((p for p in pairs if p[2] == k), key=lambda p: -p[1]):
            if (first, a) in used or (second, b) in used:
                continue
            used |= {(first, a), (second, b)}
            one = next((p for p in people if p[0].get(first) == a), None)
            other = next((p for p in people if p[0].get(second) == b), None)
            if one and not other and second not in one[0]:
                one[0][second] = b
                one[1] += score
            elif redundant and other and not one and first not in other[0]:
                other[0][first] = a
                other[1] += score
            elif not redundant and not one:
                people.append([{first: a, second: b}, score])
    return people
