"""The decoder against ground truth, against plain Python, and against broken maps."""

import functools
import math

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from danceflax.errors import UserError
from danceflax.pose.decode import PUBLISHED, make_decoder
from danceflax.pose.decode.interpolation import upsample
from danceflax.pose.decode.peaks import find_peaks_on_grid
from danceflax.pose.grid import to_grid, to_pixels
from danceflax.pose.targets import make_targets
from danceflax.skeleton import BODY25, COCO18, Skeleton

H, W = 46, 82
IMAGES = 12
CASES = [(s, rule) for s in (COCO18, BODY25) for rule in ("global", "tree")]
ONE_JOINT = Skeleton("one", ("nose",), ((0, 0),), (0,), (1.0,))

# A dancer 165 pixels tall, about the neck; no limb is shorter than 14 pixels.
FIGURE = {
    "nose": (0, -20), "neck": (0, 0), "right_shoulder": (-18, 2), "right_elbow": (-30, 22),
    "right_wrist": (-36, 44), "right_hip": (-18, 50), "right_knee": (-13, 85),
    "right_ankle": (-14, 118), "mid_hip": (0, 48), "right_eye": (-13, -31), "right_ear": (-28, -24),
    "right_big_toe": (-20, 134), "right_small_toe": (-36, 129), "right_heel": (-1, 131),
}  # fmt: skip


@pytest.fixture(scope="module")
def decoders():
    """Compiled once for the whole module: make(skeleton, rule, refine)."""
    made = {}

    def get(skeleton, rule, refine="grid"):
        key = skeleton.name, rule, refine
        if key not in made:
            made[key] = make_decoder(skeleton, rule=rule, refine=refine)
        return made[key]

    return get


@functools.partial(jax.jit, static_argnums=0)
def draw_people(skeleton, people):
    return make_targets(people, skeleton, (H, W))


def place_dancers(skeleton, rng, spread=3.0):
    """[12, 12, J, 3]: image i has i + 1 dancers, no two joints of a kind near each other."""
    people = np.zeros((IMAGES, 12, skeleton.num_joints, 3), np.float32)
    for i in range(IMAGES):
        for p, slot in enumerate(rng.permutation(12)[: i + 1]):
            centre = np.array([56 + 108.5 * (slot % 6), 45 + 174 * (slot // 6)])
            for j, name in enumerate(skeleton.joints):
                x, y = FIGURE[name.replace("left", "right")]
                x = -x if name.startswith("left") else x
                people[i, p, j] = *(centre + (x, y) + rng.uniform(-spread, spread, 2)), 2
    return people


def assert_same_people(found, expected, tolerance):
    """Every expected person is found once, joint by joint; nobody else is."""
    found = found[found[..., 2].any(-1)]
    expected = expected[expected[..., 2].any(-1)]
    assert len(found) == len(expected)
    for person in expected:
        error = np.abs(found[..., :2] - person[:, :2]).max(-1)
        error = np.where((found[..., 2] > 0) == (person[:, 2] > 0), error, np.inf)
        assert error.max(-1).min() <= tolerance


@pytest.mark.parametrize("skeleton, rule", CASES)
@pytest.mark.parametrize("refine, tolerance", [("grid", 0.01), ("upsample", 1.0)])
def test_ground_truth_comes_back(decoders, skeleton, rule, refine, tolerance):
    people = place_dancers(skeleton, np.random.default_rng(1))
    found, scores = map(np.array, decoders(skeleton, rule, refine)(*draw_people(skeleton, people)))
    for i in range(IMAGES):
        assert_same_people(found[i], people[i], tolerance)
        assert (scores[i] > 0).sum() == i + 1
        assert (np.diff(scores[i]) <= 0).all()
    np.testing.assert_array_equal(found[..., 2].any(-1), scores > 0)
    np.testing.assert_array_equal(found[found[..., 2] == 0], 0)


@pytest.mark.parametrize("skeleton", (COCO18, BODY25), ids=lambda s: s.name)
def test_small_people_keep_limbs_shorter_than_a_cell(decoders, skeleton):
    people = place_dancers(skeleton, np.random.default_rng(1))
    people[..., :2] = np.where(people[..., 2:] > 0, people[..., :2] * 0.3 + 50, 0)
    people[:, 1:] = 0  # alone: at this scale neighbours' peaks would merge
    found = np.array(decoders(skeleton, "global")(*draw_people(skeleton, people))[0])
    for i in range(IMAGES):
        assert_same_people(found[i], people[i], 0.01)


def test_absent_joints_stay_absent(decoders):
    rng = np.random.default_rng(2)
    people = place_dancers(COCO18, rng)
    wrist, ankle = COCO18.joints.index("left_wrist"), COCO18.joints.index("right_ankle")
    people[:, ::2, [wrist, ankle]] = 0
    found = np.array(decoders(COCO18, "global")(*draw_people(COCO18, people))[0])
    for i in range(IMAGES):
        assert_same_people(found[i], people[i], 0.01)


def test_one_image_alone_inside_jit_and_under_vmap(decoders):
    maps = draw_people(COCO18, place_dancers(COCO18, np.random.default_rng(3)))
    decode = decoders(COCO18, "global")
    together = decode(*maps)
    alone = jax.jit(lambda h, p: jax.vmap(decode)(h, p))(*(m[3:6, None] for m in maps))
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a[3:6], b[:, 0], atol=1e-5)


def test_grid_peaks_are_exact_where_they_do_not_crowd():
    """Joints of one kind strewn at random: exact beyond 3.2 cells, half a cell beyond 2.9."""
    rng = np.random.default_rng(4)
    find_peaks = jax.jit(lambda maps: find_peaks_on_grid(maps, 0.05, 32))
    for cells, tolerance in ((3.2, 0.01), (2.9, 4.01)):
        points = np.zeros((40, 25, 1, 3), np.float32)
        for image in points:
            n = 0
            while n < 25:
                point = rng.uniform((-0.4, -0.4), (W * 8 - 0.6, H * 8 - 0.6))
                if not n or np.hypot(*(image[:n, 0, :2] - point).T).min() > 8 * cells:
                    image[n, 0] = *point, 2
                    n += 1
        heatmaps = draw_people(ONE_JOINT, points)[0]
        maps = jnp.moveaxis(heatmaps[..., :1], -1, 1)
        xy, score = map(np.array, find_peaks(maps))
        np.testing.assert_array_equal((score > 0).sum(-1), 25)
        for image, found in zip(points[:, :, 0, :2], to_pixels(xy[:, 0, :25], 8), strict=True):
            error = np.abs(image[:, None] - found).max(-1)
            inner = (image > 4).all(-1) & (image < (W * 8 - 5, H * 8 - 5)).all(-1)
            assert error.min(1)[inner].max() < tolerance
            assert error.min(1).max() < 4.01


def test_upsampling_is_opencvs_bicubic():
    maps = np.random.default_rng(5).normal(size=(7, 9)).astype(np.float32)
    y, x = to_grid(np.arange(56, dtype=np.float32), 8), to_grid(np.arange(72, dtype=np.float32), 8)
    ours = jax.jit(upsample)(maps, y, x)
    theirs = cv2.resize(maps, (72, 56), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("skeleton, rule", CASES)
def test_agrees_with_plain_python_on_noisy_crowds(decoders, skeleton, rule):
    """People that overlap anyhow, joints missing, noise on every map: the same people come out. So
    do they of strewn joints in smooth random fields, where most limbs have many rivals."""
    rng = np.random.default_rng(6)
    people = place_dancers(skeleton, rng, spread=12)
    people[..., :2] += rng.normal(0, 40, (IMAGES, 12, 1, 2))
    strewn = [4, 5, 6]
    people[strewn, ..., :2] = rng.uniform(8, (W * 8 - 8, H * 8 - 8), (3, *people.shape[1:3], 2))
    people[rng.random(people.shape[:-1]) < 0.1] = 0
    heatmaps, pafs = map(np.array, draw_people(skeleton, people))
    noisy = np.setdiff1d(np.arange(IMAGES), strewn)
    heatmaps[noisy] += rng.normal(0, 0.02, heatmaps[noisy].shape)
    pafs[noisy] += rng.normal(0, 0.1, pafs[noisy].shape)
    for i in strewn:
        fields = rng.normal(0, 0.5, (skeleton.num_pafs, 3, 4))
        fields = [cv2.resize(f, (W, H), interpolation=cv2.INTER_CUBIC) for f in fields]
        pafs[i] = np.stack(fields, -1)
        heatmaps[i] *= cv2.resize(rng.uniform(0.2, 1, (3, 4)), (W, H))[..., None]
    found, scores = map(np.array, decoders(skeleton, rule)(heatmaps, pafs))
    crowd = 0
    for i in (3, 11, *strewn):
        expected, expected_scores = decode_plainly(heatmaps[i], pafs[i], skeleton, rule)
        crowd += len(expected)
        assert (scores[i] > 0).sum() == len(expected)
        np.testing.assert_allclose(scores[i, : len(expected)], expected_scores, atol=1e-4)
        np.testing.assert_allclose(found[i, : len(expected)], expected, atol=1e-2)
    assert crowd > 12


def test_broken_maps_harm_nobody(decoders):
    people = place_dancers(COCO18, np.random.default_rng(7))
    heatmaps, pafs = map(np.array, draw_people(COCO18, people))
    heatmaps[0], pafs[0] = 0, 0
    heatmaps[1] = np.nan
    pafs[2] = np.nan
    heatmaps[3], pafs[3] = 1, 1  # one plateau
    heatmaps[4], pafs[4] = np.inf, np.inf
    heatmaps[5] = -1
    pafs[6] = np.inf
    heatmaps[7, :20], pafs[7, :20] = np.nan, np.nan  # the upper row of dancers
    heatmaps[8] = np.random.default_rng(0).random(heatmaps[8].shape)  # more peaks than slots
    pafs[8] = 1
    maps = jnp.array(heatmaps), jnp.array(pafs)
    for rule in ("global", "tree"):
        found, scores = map(np.array, decoders(COCO18, rule)(*maps))
        assert np.isfinite(found).all() and np.isfinite(scores).all()
        assert not scores[[0, 1, 2, 4, 5, 6]].any()
        assert (scores[3] > 0).sum() <= 1
        lower = people[7][people[7, :, 1, 1] > 184]
        assert_same_people(found[7], lower, 0.01)
        for i in (9, 10, 11):
            assert_same_people(found[i], people[i], 0.01)


def test_twins_are_one_and_borders_hold_people(decoders):
    people = np.zeros((IMAGES, 12, 18, 3), np.float32)
    dancer = place_dancers(COCO18, np.random.default_rng(8))[0, 0]
    people[0, :2] = dancer  # two dancers in exactly the same place
    people[1, 0], people[1, 1] = dancer, dancer
    people[1, 1, :, 0] += 8 * 30  # twins: peaks of exactly equal height
    low, high = dancer[:, :2].min(0), dancer[:, :2].max(0)
    corners = [(0, 0), (W * 8 - 1, 0), (0, H * 8 - 1), (W * 8 - 1, H * 8 - 1)]
    for i, corner in enumerate(corners):
        people[2 + i, 0] = dancer
        people[2 + i, 0, :, :2] += np.where(np.array(corner) > 0, corner - high, -low)
    maps = draw_people(COCO18, people)
    people[0, 1] = 0
    for rule in ("global", "tree"):
        found = np.array(decoders(COCO18, rule)(*maps)[0])
        for i in range(6):
            assert_same_people(found[i], people[i], 0.01 if i < 2 else 1.0)


def test_options_filter_and_faults_are_named():
    people = place_dancers(BODY25, np.random.default_rng(9))[11:]
    feet = [j for j, name in enumerate(BODY25.joints) if "toe" in name or "heel" in name]
    ankle = BODY25.joints.index("left_ankle")
    legs = [j for j in range(25) if j not in feet and j != ankle]
    people[:, 2:, legs] = 0  # ten lone feet: an ankle or two and up to six foot joints
    maps = draw_people(BODY25, people)
    found = np.array(make_decoder(BODY25)(*maps)[0])
    assert (found[0, :, :, 2] > 0).any(-1).sum() == 2
    found = np.array(make_decoder(BODY25, min_joints=1, min_score=0.0, max_people=4)(*maps)[0])
    assert found.shape == (1, 4, 25, 3)
    assert (found[..., 2] > 0).sum(-1).tolist()[0][2:] == [4, 4]  # left ankle, toes and heel

    with pytest.raises(UserError, match="rule 'trees'"):
        make_decoder(COCO18, rule="trees")
    with pytest.raises(UserError, match="refinement 'x8'"):
        make_decoder(COCO18, refine="x8")
    with pytest.raises(ValueError, match="coco18"):
        make_decoder(COCO18)(*maps)


def decode_plainly(heatmaps, pafs, skeleton, rule, max_peaks=32):
    """Both rules as published, on tables of people, in loops; float64. Only for these tests."""
    options = PUBLISHED[rule]
    h, w, _ = heatmaps.shape
    heatmaps, pafs = heatmaps.astype(np.float64), pafs.astype(np.float64).tolist()
    peaks = []  # by joint: (x, y, score)
    for j in range(skeleton.num_joints):
        m, found = heatmaps[..., j], []
        for y, x in np.argwhere(m > options["peak_threshold"]):
            near = m[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            if m[y, x] == near.max():
                fx, gx = fit_plainly(m[y], x, m[y, x])
                fy, gy = fit_plainly(m[:, x], y, m[y, x])
                value = min(m[y, x] * math.exp(gx + gy), max(m[y, x], 1.0))
                found.append((m[y, x], fx, fy, value))
        found = sorted(found, reverse=True)[:max_peaks]
        peaks.append([(x, y, value) for _, x, y, value in found])

    def score_pair(k, a, b):
        length = math.hypot(b[0] - a[0], b[1] - a[1])
        values = []
        for i in range(10):
            t = (i + 0.5) / 10
            x, y = a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])
            x0, y0 = math.floor(x), math.floor(y)
            value = 0.0
            for yy, wy in ((y0, y0 + 1 - y), (y0 + 1, y - y0)):
                for xx, wx in ((x0, x0 + 1 - x), (x0 + 1, x - x0)):
                    cell = pafs[min(max(yy, 0), h - 1)][min(max(xx, 0), w - 1)]
                    along = cell[2 * k] * (b[0] - a[0]) + cell[2 * k + 1] * (b[1] - a[1])
                    value += wy * wx * along / length
            values.append(value)
        passing = [v for v in values if v > 0.05]
        good = len(passing) > options["paf_ratio"] * 10
        if rule == "global":
            if good:
                return sum(passing) / len(passing)
            return options["peak_threshold"] if length < 1 else 0  # cells
        return sum(values) / 10 + min(0.5 * h / length - 1, 0) if good else 0

    pairs = []  # (order, paf, limb, a, b)
    for k, (ja, jb) in enumerate(skeleton.limbs):
        for a in range(len(peaks[ja])):
            for b in range(len(peaks[jb])):
                paf = score_pair(k, peaks[ja][a], peaks[jb][b])
                if paf > 0:
                    order = paf + 0.1 * (peaks[ja][a][2] + peaks[jb][b][2])
                    pairs.append((order, paf, k, a, b))
    build = assemble_globally if rule == "global" else assemble_tree
    people = build(pairs, skeleton, peaks)

    result = []
    for person, limb_score in people:
        total = limb_score + sum(peaks[j][i][2] for j, i in person.items())
        names = [skeleton.joints[j] for j in person]
        body = sum("toe" not in name and "heel" not in name for name in names)
        if body >= options["min_joints"] and total / body >= 0.4:
            out = np.zeros((skeleton.num_joints, 3))
            for j, i in person.items():
                x, y, value = peaks[j][i]
                out[j] = 8 * x + 3.5, 8 * y + 3.5, value
            result.append((total / (skeleton.num_joints + len(skeleton.limbs)), out))
    result = sorted(result, key=lambda item: -item[0])[:20]
    return [out for _, out in result], [score for score, _ in result]


def fit_plainly(row, i, peak):
    c = min(max(i, 1), len(row) - 2)
    l0, l1, l2 = (math.log(max(row[c + d], 0.01 * peak)) for d in (-1, 0, 1))
    a, b = (l0 + l2) / 2 - l1, (l2 - l0) / 2
    t = i if a > -5e-7 else min(max(c - b / (2 * a), i - 0.5), i + 0.5)
    return t, a * (t - c) ** 2 + b * (t - c) - a * (i - c) ** 2 - b * (i - c)


def assemble_globally(pairs, skeleton, peaks):
    people, assigned = [], {}  # person: [{joint: peak}, limb score]
    for _, paf, k, a, b in sorted(pairs, key=lambda pair: -pair[0]):
        ends = [(skeleton.limbs[k][0], a), (skeleton.limbs[k][1], b)]
        owners = [assigned.get(end) for end in ends]
        if owners == [None, None]:
            people.append([dict(ends), paf])
            assigned[ends[0]] = assigned[ends[1]] = people[-1]
        elif None in owners:
            person, (joint, i) = (owners[0] or owners[1]), ends[owners.index(None)]
            if joint not in person[0]:
                person[0][joint] = i
                person[1] += paf
                assigned[joint, i] = person
        elif owners[0] is owners[1]:
            owners[0][1] += paf
        elif not set(owners[0][0]) & set(owners[1][0]):
            one, two = owners
            one[0].update(two[0])
            one[1] += two[1] + paf
            for end in two[0].items():
                assigned[end] = one
            people = [person for person in people if person is not two]
    return people


def assemble_tree(pairs, skeleton, peaks):
    people = []
    for k in skeleton.assembly:
        ja, jb = skeleton.limbs[k]
        used_a, used_b, reached = set(), set(), skeleton.redundant[k]
        for _, paf, _, a, b in sorted((p for p in pairs if p[2] == k), key=lambda p: -p[1]):
            if a in used_a or b in used_b:
                continue
            used_a.add(a), used_b.add(b)
            with_a = [p for p in people if p[0].get(ja) == a]
            with_b = [p for p in people if p[0].get(jb) == b]
            if reached:
                if with_a and not with_b and jb not in with_a[0][0]:
                    with_a[0][0][jb] = b
                    with_a[0][1] += paf
                elif with_b and not with_a and ja not in with_b[0][0]:
                    with_b[0][0][ja] = a
                    with_b[0][1] += paf
            elif with_a:
                assert not with_b and jb not in with_a[0][0]  # the joint is new in tree order
                with_a[0][0][jb] = b
                with_a[0][1] += paf
            else:
                people.append([{ja: a, jb: b}, paf])
    return people
