"""The decoder against ground truth, against plain Python, and against broken maps."""

import functools
import pathlib

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from danceflax.errors import UserError
from danceflax.export import plain_decoder
from danceflax.pose.decode import fill_options, make_decoder
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
    find_peaks = jax.jit(lambda maps: find_peaks_on_grid(maps, 1, 0.05, 32))
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
        xy, score = map(np.array, find_peaks(heatmaps))
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


STREWN = [4, 5, 6]


def draw_crowds(skeleton):
    """Maps of people that overlap anyhow, joints missing, noise on every map; and, in three images,
    of strewn joints in smooth random fields, where most limbs have many rivals."""
    rng = np.random.default_rng(6)
    people = place_dancers(skeleton, rng, spread=12)
    people[..., :2] += rng.normal(0, 40, (IMAGES, 12, 1, 2))
    people[STREWN, ..., :2] = rng.uniform(8, (W * 8 - 8, H * 8 - 8), (3, *people.shape[1:3], 2))
    people[rng.random(people.shape[:-1]) < 0.1] = 0
    heatmaps, pafs = map(np.array, draw_people(skeleton, people))
    noisy = np.setdiff1d(np.arange(IMAGES), STREWN)
    heatmaps[noisy] += rng.normal(0, 0.02, heatmaps[noisy].shape)
    pafs[noisy] += rng.normal(0, 0.1, pafs[noisy].shape)
    for i in STREWN:
        fields = rng.normal(0, 0.5, (skeleton.num_pafs, 3, 4))
        fields = [cv2.resize(f, (W, H), interpolation=cv2.INTER_CUBIC) for f in fields]
        pafs[i] = np.stack(fields, -1)
        heatmaps[i] *= cv2.resize(rng.uniform(0.2, 1, (3, 4)), (W, H))[..., None]
    return heatmaps, pafs


@pytest.mark.parametrize("skeleton, rule", CASES)
def test_agrees_with_the_plain_decoder_on_noisy_crowds(decoders, skeleton, rule):
    heatmaps, pafs = draw_crowds(skeleton)
    found, scores = map(np.array, decoders(skeleton, rule)(heatmaps, pafs))
    about = {"skeleton": skeleton.to_dict(), "stride": 8, "decode": fill_options({"rule": rule})}
    crowd = 0
    for i in (3, 11, *STREWN):
        expected, expected_scores = plain_decoder.decode(heatmaps[i], pafs[i], about)
        crowd += len(expected)
        assert (scores[i] > 0).sum() == len(expected)
        np.testing.assert_allclose(scores[i, : len(expected)], expected_scores, atol=1e-4)
        np.testing.assert_allclose(found[i, : len(expected)], expected, atol=1e-2)
    assert crowd > 12


def test_every_platform_finds_the_same_people(decoders):
    """A CPU goes one by one, but through maps that are constants of a program: for these it does as
    other platforms do. Noise has maxima at borders, among equals and beside what is not finite."""
    decode, (heatmaps, pafs) = decoders(COCO18, "global"), (x[10:12] for x in draw_crowds(COCO18))
    rng = np.random.default_rng(3)
    noise = np.round(8 * rng.random(heatmaps[0].shape, np.float32) ** 4) / 8
    noise[rng.random(noise.shape) < 0.01] = np.nan
    noise[rng.random(noise.shape) < 0.01] = np.inf
    heatmaps, pafs = (np.stack([*x, y]) for x, y in ((heatmaps, noise), (pafs, pafs[0] * 0 + 0.2)))
    here, elsewhere = decode(heatmaps, pafs), jax.jit(lambda: decode(heatmaps, pafs))()
    assert (here[1] > 0).sum() > 15 and (here[1][2] > 0).any()
    for ours, theirs in zip(here, elsewhere, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("skeleton", (COCO18, BODY25), ids=lambda s: s.name)
def test_agrees_with_the_compiled_decoder_of_the_benchmark(
    decoders, skeleton, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[2] / "benchmarks")
    from compiled import compile_decoder, make_compiled_decoder

    if not (library := compile_decoder(tmp_path)):
        pytest.skip("needs g++")
    maps = draw_crowds(skeleton)
    found, expected = (
        decoders(skeleton, "global")(*maps),
        make_compiled_decoder(library, skeleton)(*maps),
    )
    assert (expected[1] > 0).sum() > 30
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


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
