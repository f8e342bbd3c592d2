"""The masked loss against numpy, and where it must not look."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from danceflax.models.openpose import Maps
from danceflax.pose.loss import stage_losses
from danceflax.skeleton import BODY25, UNLABELLED

SHAPE = (2, 6, 5)


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    maps = Maps(
        [rng.normal(size=(*SHAPE, 52)).astype("f") for _ in range(2)],
        [rng.normal(size=(*SHAPE, 26)).astype("f")],
        None,
    )
    batch = {
        "mask": rng.integers(0, 256, SHAPE).astype(np.uint8),
        "labelled": rng.random((2, 25)) > 0.3,
        "weight": np.array([1.0, 0.0], np.float32),
        "people": np.zeros((2, 3, 25, 3), np.float32),
    }
    targets = rng.normal(size=(*SHAPE, 26)), rng.normal(size=(*SHAPE, 52))
    return maps, *targets, batch


@pytest.mark.parametrize("mode", ["paper", "caffe"])
def test_value_is_half_the_masked_squared_error(case, mode):
    maps, heatmaps, pafs, batch = case
    losses = stage_losses(maps, heatmaps, pafs, batch, BODY25, mode)
    assert list(losses) == ["paf_stage0", "paf_stage1", "heatmap_stage0"]
    mask = batch["mask"][0] / 255.0
    for name, value in losses.items():
        stage, total = int(name[-1]), 0.0
        if name.startswith("paf"):
            error = (maps.pafs[stage][0] - pafs[0]) ** 2
            for k, (a, b) in enumerate(BODY25.limbs):
                if batch["labelled"][0, a] and batch["labelled"][0, b]:
                    total += error[..., 2 * k : 2 * k + 2].sum(-1)
        else:
            error = (maps.heatmaps[stage][0] - heatmaps[0]) ** 2
            counted = [*np.flatnonzero(batch["labelled"][0]), 25]
            total = error[..., counted].sum(-1)
        expected = 0.5 * (total * (mask**2 if mode == "caffe" else mask)).sum()
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_no_gradient_where_masked_unlabelled_or_padding(case):
    maps, heatmaps, pafs, batch = case
    batch["mask"][0, :3] = 0

    def total(maps):
        return sum(stage_losses(maps, heatmaps, pafs, batch, BODY25).values())

    gradient = jax.grad(total)(maps._replace(features=jnp.zeros(())))
    heat = np.asarray(gradient.heatmaps[0])
    assert not heat[1].any() and not heat[0, :3].any() and heat[0, 3:].any()
    assert not heat[..., :-1][..., ~batch["labelled"][0]].any()


@pytest.mark.parametrize("of_the_set", [False, True])
def test_an_unlabelled_joint_counts_nowhere_about_its_person(case, of_the_set):
    """Only its own channel and its limbs', and only in the person's box; of a set that leaves the
    joint out, everywhere. The background may be too little there, not too much."""
    maps, heatmaps, pafs, batch = case
    batch["labelled"][:], batch["mask"][:] = True, 255
    elbow = BODY25.joints.index("right_elbow")
    person = batch["people"][0, 1]
    person[:, :2] = np.random.default_rng(0).uniform((4, 4), (19, 27), (25, 2))
    person[:, 2] = 2
    if of_the_set:
        batch["labelled"][:, elbow] = False
        person[elbow] = 0
    else:
        person[elbow, 2] = UNLABELLED
    loss = lambda maps: sum(stage_losses(maps, heatmaps, pafs, batch, BODY25).values())  # noqa: E731
    gradient = jax.grad(loss)(maps._replace(features=jnp.zeros(())))
    heat, field = np.asarray(gradient.heatmaps[0])[0], np.asarray(gradient.pafs[1])[0]
    inside = np.zeros(SHAPE[1:], bool)
    inside[:4, :3] = True  # the keypoints' cells; the box has a margin
    others = np.delete(heat, (elbow, 25), -1)
    assert others.all() and not heat[inside][:, elbow].any()
    above = (maps.heatmaps[0] - heatmaps)[0][inside][:, 25] > 0
    assert set(above) == {False, True}
    np.testing.assert_array_equal(heat[inside][:, 25] != 0, above)
    assert bool(heat[5, 4, elbow]) != of_the_set and heat[5, 4, 25]  # elsewhere they count
    own = np.repeat([elbow in limb for limb in BODY25.limbs], 2)
    assert field[..., ~own].all() and not field[inside][:, own].any() and own.sum() == 4
    assert field[5, 4, own].all() != of_the_set
