"""The networks: published parameter counts, channel order, and agreement with PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import random_variables

import danceflax
from danceflax.errors import UserError


def shapes_of(name, **options):
    model = danceflax.create_model(name, **options)
    images = jnp.zeros((1, 64, 64, 3))
    return jax.eval_shape(model.init, jax.random.key(0), images)["params"]


def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


def test_older_network_has_the_published_size():
    params = shapes_of("openpose_coco")
    assert count(params) == 52_311_446
    assert count(params["feature"]) == 7_340_480
    assert count(params["paf_stage1"]) == 528_294
    assert count(params["heatmap_stage1"]) == 518_547
    for stage in range(2, 7):
        assert count(params[f"paf_stage{stage}"]) == 4_393_638
        assert count(params[f"heatmap_stage{stage}"]) == 4_391_187
    assert len(jax.tree.leaves(params)) == 184


def test_newer_network_has_the_published_size():
    params = shapes_of("openpose_body25")
    assert count(params) == 26_166_084
    slopes = [x for path, x in jax.tree.leaves_with_path(params) if path[-1].key == "slope"]
    assert len(slopes) == 99 and count(slopes) == 14_016
    stages = {name: count(tree) - sum(
        x.size for path, x in jax.tree.leaves_with_path(tree) if path[-1].key == "slope"
    ) for name, tree in params.items()}  # fmt: skip
    assert stages["paf_stage0"] == 2_024_148
    assert {stages[f"paf_stage{i}"] for i in (1, 2, 3)} == {3_677_108}
    assert (stages["heatmap_stage0"], stages["heatmap_stage1"]) == (2_062_394, 3_693_722)


@pytest.mark.parametrize("name", ["openpose_coco", "openpose_body25"])
def test_every_stage_is_returned_and_options_hold(name):
    stages = {"stages": 2} if name == "openpose_coco" else {"paf_stages": 2, "heatmap_stages": 1}
    options = dict(skeleton="coco18", width=0.1, **stages)
    model = danceflax.create_model(name, **options)
    images = jax.random.normal(jax.random.key(1), (2, 32, 48, 3))
    variables = random_variables(model, images)
    maps = jax.jit(model.apply)(variables, images)
    wanted = (2, 2) if name == "openpose_coco" else (2, 1)
    assert (len(maps.pafs), len(maps.heatmaps)) == wanted
    assert {x.shape for x in maps.pafs} == {(2, 4, 6, 38)}
    assert {x.shape for x in maps.heatmaps} == {(2, 4, 6, 19)}
    remat = danceflax.create_model(name, remat=True, **options)
    remat = jax.jit(remat.apply)(variables, images)
    low = danceflax.create_model(name, dtype="bfloat16", **options)
    low = jax.jit(low.apply)(variables, images)
    np.testing.assert_allclose(remat.pafs[-1], maps.pafs[-1], atol=1e-5)
    assert low.pafs[-1].dtype == jnp.float32
    scale = np.abs(maps.pafs[-1]).max()
    np.testing.assert_allclose(low.pafs[-1], maps.pafs[-1], atol=0.05 * scale)


def test_heatmap_gradient_can_be_kept_from_the_paf_stages():
    images = jax.random.normal(jax.random.key(1), (1, 24, 24, 3))

    def paf_gradient(**options):
        model = danceflax.create_model(
            "openpose_body25", width=0.1, paf_stages=1, heatmap_stages=1, **options
        )
        variables = random_variables(model, images)

        def loss(params):
            return jnp.square(model.apply({"params": params}, images).heatmaps[-1]).sum()

        return np.abs(
            jax.jit(jax.grad(loss))(variables["params"])["paf_stage0"]["output"]["kernel"]
        ).max()

    assert paf_gradient() > 0
    assert paf_gradient(stop_heatmap_gradient=True) == 0


def test_unknown_names_and_options_are_answered():
    with pytest.raises(UserError, match="openpose_coco, openpose_body25"):
        danceflax.create_model("openpose_mpi")
    with pytest.raises(UserError, match="did you mean 'width'"):
        danceflax.create_model("openpose_coco", widht=2)
