"""Heatmaps and PAFs against plain loops, and their properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from danceflax.pose.grid import to_grid, to_pixels
from danceflax.pose.targets import make_targets
from danceflax.skeleton import BODY25, COCO18

STRIDE, SIGMA, WIDTH, SHAPE = 8, 7.0, 8.0, (11, 14)


def draw_by_loops(people, skeleton, mode):
    """One image's maps, cell by cell, from the formulas of the paper and of the older code."""
    height, width = SHAPE
    heatmaps = np.zeros((height, width, skeleton.num_heatmaps))
    pafs = np.zeros((height, width, skeleton.num_pafs))
    for gy in range(height):
        for gx in range(width):
            x, y = gx * STRIDE + 3.5, gy * STRIDE + 3.5  # the cell's centre, in pixels
            for j in range(skeleton.num_joints):
                values = []
                for person in people:
                    exponent = ((x - person[j, 0]) ** 2 + (y - person[j, 1]) ** 2) / 2 / SIGMA**2
                    if person[j, 2] > 0 and exponent <= 4.6052:
                        values.append(np.exp(-exponent))
                if values:
                    total = max(values) if mode == "paper" else sum(values)
                    heatmaps[gy, gx, j] = min(total, 1)
            heatmaps[gy, gx, -1] = 1 - heatmaps[gy, gx, :-1].max()
            for k, (a, b) in enumerate(skeleton.limbs):
                vectors = []
                for person in people:
                    if not (person[a, 2] > 0 and person[b, 2] > 0):
                        continue
                    if mode == "paper":
                        start, end, point = person[a, :2], person[b, :2], np.array([x, y])
                        reach = WIDTH
                    else:
                        start, end = person[a, :2] / STRIDE, person[b, :2] / STRIDE
                        point, reach = np.array([gx, gy]), WIDTH / STRIDE
                    length = np.linalg.norm(end - start)
                    if length < 1e-3:
                        continue
                    unit = (end - start) / length
                    offset = point - start
                    across = abs(offset[0] * unit[1] - offset[1] * unit[0])
                    if mode == "paper":
                        inside = across <= reach and 0 <= offset @ unit <= length
                    else:
                        low = np.round(np.minimum(start, end) - reach)
                        high = np.round(np.maximum(start, end) + reach)
                        inside = across <= reach and (point >= low).all() and (point < high).all()
                    if inside:
                        vectors.append(unit)
                if vectors:
                    vector = np.mean(vectors, 0) if mode == "paper" else vectors[-1]
                    pafs[gy, gx, 2 * k : 2 * k + 2] = vector
    return heatmaps, pafs


def random_people(rng, skeleton, count=3):
    people = np.zeros((2, count, skeleton.num_joints, 3), np.float32)
    people[..., :2] = rng.uniform(
        -10, (SHAPE[1] * 8 + 10, SHAPE[0] * 8 + 10), people[..., :2].shape
    )
    people[..., 2] = rng.integers(0, 3, people.shape[:-1])
    return people


@pytest.mark.parametrize("skeleton", [COCO18, BODY25], ids=lambda s: s.name)
@pytest.mark.parametrize("mode", ["paper", "caffe"])
def test_maps_equal_plain_loops(skeleton, mode):
    people = random_people(np.random.default_rng(0), skeleton)
    people[0, 0, 3, :2] = people[0, 0, 2, :2]  # a limb of no length
    heatmaps, pafs = make_targets(people, skeleton, SHAPE, STRIDE, SIGMA, WIDTH, mode)
    for n in range(2):
        expected = draw_by_loops(people[n].astype(float), skeleton, mode)
        np.testing.assert_allclose(heatmaps[n], expected[0], atol=2e-5)
        # A cell on the very edge of a limb may fall either way in float32.
        differs = np.abs(np.asarray(pafs[n]) - expected[1]) > 1e-4
        assert differs.mean() < 1e-3


@pytest.mark.parametrize("mode", ["paper", "caffe"])
def test_limbs_without_length_have_finite_maps_and_gradients(mode):
    people = jnp.full((1, 2, 18, 3), 40.0)

    def total(people):
        heatmaps, pafs = make_targets(people, COCO18, SHAPE, mode=mode)
        return heatmaps.sum() + pafs.sum()

    value, gradient = jax.value_and_grad(total)(people)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_a_joint_on_a_cells_centre_gives_one():
    people = np.zeros((1, 1, 18, 3), np.float32)
    people[0, 0, 4] = (*to_pixels(np.array([5.0, 3.0]), STRIDE), 2)
    heatmaps, pafs = make_targets(people, COCO18, SHAPE)
    assert heatmaps[0, 3, 5, 4] == 1.0 and heatmaps[0, 3, 5, -1] == 0.0
    assert np.unravel_index(heatmaps[0, ..., 4].argmax(), SHAPE) == (3, 5)
    assert not pafs.any()


def test_nobody_is_all_background():
    heatmaps, pafs = make_targets(np.zeros((1, 4, 25, 3)), BODY25, SHAPE)
    assert not heatmaps[..., :-1].any() and (heatmaps[..., -1] == 1).all() and not pafs.any()


def test_grid_and_pixels_are_inverse():
    xy = np.random.default_rng(1).uniform(0, 300, (20, 2))
    np.testing.assert_allclose(to_pixels(to_grid(xy, 8), 8), xy)
    assert to_grid(3.5, 8) == 0.0
