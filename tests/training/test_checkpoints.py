"""Checkpoints: round trips, what is kept, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import danceflax
from danceflax.errors import UserError
from danceflax.models import registry
from danceflax.models.initialise import initialise
from danceflax.models.normalisation import OPENPOSE
from danceflax.skeleton import COCO18
from danceflax.training import checkpoints, devices, digests
from danceflax.training.pretrained import start_from
from danceflax.training.saving import Saver
from danceflax.training.step import create_state

OPTIONS = dict(skeleton="coco18", width=0.05, paf_stages=1, heatmap_stages=1)


@pytest.fixture(scope="module")
def model():
    return danceflax.create_model("openpose_body25", **OPTIONS)


@pytest.fixture(scope="module")
def variables(model):
    return initialise(model, jnp.zeros((1, 8, 8, 3)), seed=0)


@pytest.fixture(scope="module")
def config(model):
    return registry.describe(model, COCO18, OPENPOSE)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def make_state(variables, average=True, step=0):
    variables = jax.tree.map(np.array, variables)
    state = create_state(variables, optax.adam(1e-3), average)
    return devices.replicate(state.replace(step=jnp.int32(step)))


def test_a_model_comes_back_with_what_it_is(tmp_path, model, variables, config):
    checkpoints.save_model(tmp_path / "a", variables, config)
    same, loaded, read = danceflax.load_checkpoint(tmp_path / "a")
    assert same == model
    assert_equal(loaded, variables)
    assert read == config
    with pytest.raises(UserError, match="exists"):
        checkpoints.save_model(tmp_path / "a", variables, config)


def test_a_state_comes_back_bit_for_bit(tmp_path, variables, config):
    state = make_state(variables, step=7)
    other = jax.tree.map(lambda x: x + 1, state.params)
    state = state.replace(params=devices.replicate(other))
    with Saver(tmp_path, config) as saver:
        saver.save(state)
    restored = Saver(tmp_path, config).restore(make_state(variables))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert_equal(jax.device_get(restored), jax.device_get(state))
    # What a user loads is the average; training goes on with the raw parameters.
    assert_equal(danceflax.load_checkpoint(tmp_path)[1]["params"], variables["params"])


def test_the_latest_and_the_best_are_kept(tmp_path, variables, config):
    scores = {1: 0.1, 2: 0.9, 3: 0.3, 4: None, 5: 0.2, 6: None, 7: 0.8}
    with Saver(tmp_path, config) as saver:
        for step, score in scores.items():
            saver.save(make_state(variables, step=step), score)
    assert digests.list_steps(saver.folder) == [7, 6, 5, 2]
    assert checkpoints.find_model(tmp_path).name == "2"
    assert checkpoints.find_model(tmp_path / "checkpoints" / "5").name == "5"


def test_nothing_saved_is_a_fresh_start(tmp_path, variables, config):
    assert Saver(tmp_path, config).restore(make_state(variables)) is None


def test_another_model_or_optimizer_is_refused(tmp_path, variables, config):
    with Saver(tmp_path, config) as saver:
        saver.save(make_state(variables))
    other = config | {"model": config["model"] | {"name": "openpose_coco"}}
    with pytest.raises(UserError, match=r"another model \(openpose_body25.*openpose_coco"):
        Saver(tmp_path, other).restore(make_state(variables))
    sgd = create_state(jax.tree.map(np.array, variables), optax.sgd(1e-3, 0.9), True)
    with pytest.raises(UserError, match="does not fit this config's optimizer"):
        Saver(tmp_path, config).restore(sgd)


@pytest.mark.parametrize("make", [False, True])
def test_no_checkpoint_is_said(tmp_path, make):
    path = tmp_path / "runs"
    if make:
        path.mkdir()
    with pytest.raises(UserError, match="holds no checkpoint" if make else "does not exist"):
        danceflax.load_checkpoint(path)


def test_weights_start_another_training(tmp_path, variables, config):
    checkpoints.save_model(tmp_path / "a", variables, config)
    fresh = jax.tree.map(np.zeros_like, variables)
    merged, normalisation = start_from(tmp_path / "a", fresh, COCO18, "")
    assert_equal(merged, variables)
    assert normalisation == {key: list(value) for key, value in OPENPOSE.items()}

    del fresh["params"]["heatmap_stage0"]["output"]
    fresh["params"]["heatmap_stage0"]["output"] = {"kernel": np.zeros((1, 1, 13, 7), "f")}
    with pytest.raises(UserError, match=r"heatmap_stage0/output/kernel is .* expected .*, 7\)"):
        start_from(tmp_path / "a", fresh, COCO18, "")
    merged, _ = start_from(tmp_path / "a", fresh, COCO18, "heatmap_stage0/output/.*")
    assert merged["params"]["heatmap_stage0"]["output"]["kernel"].shape[-1] == 7
    assert_equal(merged["params"]["feature"], variables["params"]["feature"])


def test_initial_weights_are_he_normal_and_repeatable(model, variables):
    again = initialise(model, jnp.zeros((1, 8, 8, 3)), seed=0)
    assert_equal(again, variables)
    big = danceflax.create_model("openpose_body25", width=0.5, paf_stages=1, heatmap_stages=1)
    drawn = initialise(big, jnp.zeros((1, 8, 8, 3)), seed=1)
    kernel = drawn["params"]["feature"]["conv3_2"]["kernel"]
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 128)), rtol=0.02)
    assert (drawn["params"]["feature"]["prelu4_2"]["slope"] == 0.25).all()
    one = jax.eval_shape(big.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    assert jax.tree.structure(dict(one)) == jax.tree.structure(drawn)
