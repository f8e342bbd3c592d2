"""The step: groups, freezing, devices, accumulation, averages, on a network of few numbers."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from forked import Program

from danceflax.errors import UserError
from danceflax.training import devices, optimizers
from danceflax.training.step import AXIS, create_state, make_train_step

GROUP = dict(
    train=True, optimizer="adamw", lr=1e-2, schedule="constant", warmup_steps=0, milestones=(0.5,),
    gamma=0.1, final_lr_ratio=0.0, weight_decay=1e-2, decay_biases=False, bias_lr_mult=1.0, b1=0.9,
    b2=0.999, eps=1e-8, momentum=0.9, nesterov=False,
)  # fmt: skip


def params():
    rng = np.random.default_rng(0)
    layer = lambda a, b: {  # noqa: E731
        "kernel": rng.normal(size=(a, b)).astype("f"),
        "bias": rng.normal(size=b).astype("f"),
    }
    return {"feature": layer(3, 4), "paf_stage0": layer(4, 2), "heatmap_stage0": layer(4, 2)}


def groups(**changes):
    patterns = {"feature": "feature/.*", "paf": "paf_stage.*", "heatmap": "heatmap_stage.*"}
    return {
        name: GROUP | {"pattern": pattern} | changes.get(name, {})
        for name, pattern in patterns.items()
    }


def loss_fn(params, model_state, batch, rng):
    hidden = jnp.tanh(batch["x"] @ params["feature"]["kernel"] + params["feature"]["bias"])
    error = 0.0
    for name in ("paf_stage0", "heatmap_stage0"):
        error += jnp.square(hidden @ params[name]["kernel"] + params[name]["bias"]).sum(-1)
    total = (error * batch["weight"]).sum()
    return total, (batch["weight"].sum(), {"error": (error.sum(), 1.0)}, model_state)


def batch(n=8):
    rng = np.random.default_rng(1)
    weight = (rng.random(n) > 0.3).astype("f")
    return {"x": rng.normal(size=(n, 3)).astype("f"), "weight": weight}


def run(steps=3, config=None, clip_norm=0.0, **options):
    config = config or groups()
    labels = optimizers.label_parameters(params(), config)
    optimizer, schedules = optimizers.make_optimizer(
        {"groups": config, "clip_norm": clip_norm}, labels, steps
    )
    trained = optimizers.trained_parameters(labels, config)
    average = options.get("average_decay", 0) > 0
    state = devices.replicate(create_state({"params": params()}, optimizer, average))
    step = devices.map_step(
        make_train_step(loss_fn, optimizer, trained, schedules=schedules, **options)
    )
    for _ in range(steps):
        state, metrics = step(state, devices.shard(batch()))
    return jax.device_get((state, metrics))


def assert_trees_close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_each_group_is_its_own_adamw():
    config = groups(paf={"lr": 3e-2, "weight_decay": 0.0}, heatmap={"optimizer": "sgd"})
    state, _ = run(config=config)
    expected = params()

    def mean_loss(p):
        total, (count, _, _) = loss_fn(p, {}, batch(), None)
        return total / count

    kernels = lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree)  # noqa: E731
    own = {
        "feature": optax.adamw(1e-2, weight_decay=1e-2, mask=kernels),
        "paf_stage0": optax.adam(3e-2),
        "heatmap_stage0": optax.chain(
            optax.add_decayed_weights(1e-2, kernels), optax.sgd(1e-2, momentum=0.9)
        ),
    }
    states = {name: tx.init(expected[name]) for name, tx in own.items()}
    for _ in range(3):
        grads = jax.grad(mean_loss)(expected)
        for name, tx in own.items():
            updates, states[name] = tx.update(grads[name], states[name], expected[name])
            expected[name] = optax.apply_updates(expected[name], updates)
    assert_trees_close(state.params, expected, rtol=1e-5, atol=1e-6)


def test_a_frozen_group_stays_and_costs_nothing():
    config = groups(feature={"train": False})
    state, metrics = run(config=config)
    assert_trees_close(state.params["feature"], params()["feature"], rtol=0)
    moments = state.opt_state[1].inner_states["feature"]
    assert not jax.tree.leaves(moments)
    assert "lr/feature" not in metrics and "lr/paf" in metrics
    # The compiled step has no product with a transposed weight: nothing flows back through feature.
    labels = optimizers.label_parameters(params(), config)

    def flops(config):
        trained = optimizers.trained_parameters(labels, config)
        optimizer, _ = optimizers.make_optimizer({"groups": config, "clip_norm": 0}, labels, 1)
        step = make_train_step(loss_fn, optimizer, trained)
        state = create_state({"params": params()}, optimizer)
        mapped = jax.vmap(step, in_axes=(None, 0), axis_name="batch")
        one = jax.tree.map(lambda x: x[None], batch())
        return jax.jit(mapped).lower(state, one).compile().cost_analysis()["flops"]

    assert flops(config) < 0.8 * flops(groups())


def test_accumulation_gives_the_same_update():
    assert_trees_close(run()[0].params, run(accumulate=4)[0].params, rtol=1e-5, atol=1e-6)


def test_biases_may_learn_faster_and_norms_be_clipped():
    sgd = dict(optimizer="sgd", momentum=0.0, weight_decay=0.0)
    plain = run(1, groups(feature=sgd))[0].params["feature"]
    fast = run(1, groups(feature=sgd | {"bias_lr_mult": 2.0}))[0].params["feature"]
    start = params()["feature"]
    np.testing.assert_allclose(fast["kernel"], plain["kernel"])
    np.testing.assert_allclose(
        fast["bias"] - start["bias"], 2 * (plain["bias"] - start["bias"]), rtol=1e-3
    )
    every = {name: sgd | {"lr": 1.0} for name in ("feature", "paf", "heatmap")}
    state, metrics = run(1, groups(**every), clip_norm=0.1)
    moved = optax.global_norm(jax.tree.map(np.subtract, state.params, params()))
    assert metrics["grad_norm"][0] > 0.1
    np.testing.assert_allclose(moved, 0.1, rtol=1e-4)


def test_the_average_follows_the_parameters():
    state, _ = run(5, average_decay=0.5)
    start, end = params()["feature"]["kernel"], state.params["feature"]["kernel"]
    average = state.variables["params"]["feature"]["kernel"]
    assert np.abs(average - end).max() < np.abs(start - end).max()
    assert np.abs(average - end).max() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paf": {"pattern": "paff.*"}}, "paf_stage0/bias matches no group"),
        ({"paf": {"pattern": "paf.*|heat.*"}}, "matches paf and heatmap"),
        ({"paf": {"pattern": "("}}, r"groups.paf.pattern '\(':"),
        ({"paf": {"optimizer": "adamax"}}, "choose adamw, adam, sgd"),
        ({"paf": {"schedule": "poly"}}, "expected one of constant, cosine, restarts"),
        ({n: {"train": False} for n in ("feature", "paf", "heatmap")}, "every group is frozen"),
    ],
)
def test_faults_of_groups_are_named(changes, message):
    with pytest.raises(UserError, match=message):
        run(1, groups(**changes))


def test_a_group_without_parameters_is_refused():
    with pytest.raises(UserError, match=r"groups.extra.pattern 'nose' matches no parameter"):
        run(1, groups() | {"extra": GROUP | {"pattern": "nose"}})


def test_batches_must_fit_the_devices():
    with pytest.raises(UserError, match=r"config.batch_size=10 is not divisible by 1 devices x 4"):
        devices.check_batch_size(10, accumulate=4)


def test_two_devices_update_like_one(tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'tests/training'); import numpy as np, jax\n"
        "import test_step as t\n"
        "assert jax.local_device_count() == 2\n"
        "leaves = jax.tree.leaves(t.run()[0].params)\n"
        f"np.savez({str(tmp_path / 'two.npz')!r}, *leaves)"
    )
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    program = Program("-c", code, env=environment)
    _, errors = program.communicate()
    assert program.returncode == 0, errors
    two = np.load(tmp_path / "two.npz")
    one = jax.tree.leaves(run()[0].params)
    for value, key in zip(one, two.files, strict=True):
        np.testing.assert_allclose(two[key], value, atol=1e-6, rtol=0)


def test_statistics_that_do_not_change_stay_bit_for_bit():
    """On seven devices too, where a mean of seven equal numbers rounds."""
    labels = optimizers.label_parameters(params(), groups())
    optimizer, _ = optimizers.make_optimizer({"groups": groups(), "clip_norm": 0.0}, labels, 1)
    trained = optimizers.trained_parameters(labels, groups())
    mean = np.random.default_rng(2).normal(size=1000).astype("f")
    state = create_state({"params": params(), "batch_stats": {"mean": mean}}, optimizer)
    step = make_train_step(loss_fn, optimizer, trained)
    parts = jax.tree.map(lambda x: x.reshape(7, 2, *x.shape[1:]), batch(14))
    mapped = jax.vmap(step, in_axes=(None, 0), axis_name=AXIS)
    after = mapped(state, parts)[0].model_state["batch_stats"]["mean"]
    np.testing.assert_array_equal(after, np.broadcast_to(mean, (7, 1000)))
