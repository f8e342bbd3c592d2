"""Mirroring maps equals drawing mirrored people."""

import jax
import numpy as np
import pytest

from danceflax.pose.predict import flip_maps
from danceflax.pose.targets import make_targets
from danceflax.skeleton import SKELETONS, Skeleton

# A limb that runs from the left joint to the right one is mirrored into itself, reversed.
ACROSS = Skeleton.from_dict(
    dict(
        name="across",
        joints=["neck", "left_hip", "right_hip"],
        limbs=[["left_hip", "right_hip"], ["neck", "left_hip"], ["right_hip", "neck"]],
    )
)


@pytest.mark.parametrize("skeleton", [*SKELETONS.values(), ACROSS], ids=lambda s: s.name)
def test_flipping_people_and_flipping_maps_commute(skeleton):
    shape, width = (12, 17), 17 * 8
    rng = np.random.default_rng(0)
    people = np.ones((2, 3, skeleton.num_joints, 3), np.float32)
    people[..., :2] = rng.integers((0, 0), (width, 12 * 8), people[..., :2].shape)
    people[..., 2] = rng.random(people.shape[:-1]) < 0.8
    mirrored = people[:, :, skeleton.flip].copy()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]

    draw = jax.jit(lambda people: make_targets(people, skeleton, shape))
    maps = draw(people)
    back = flip_maps(*draw(mirrored), skeleton)
    again = flip_maps(*flip_maps(*maps, skeleton), skeleton)
    assert np.abs(maps[1]).max() > 0.9
    for expected, flipped, twice in zip(maps, back, again, strict=True):
        np.testing.assert_allclose(flipped, expected, atol=1e-6)
        np.testing.assert_array_equal(twice, expected)
