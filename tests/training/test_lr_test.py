"""The learning-rate range test on bowls whose largest bearable rate is known."""

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.openpose_base import group
from danceflax.errors import UserError
from danceflax.training import lr_test
from danceflax.training.task import Task, Work

CURVATURE = {"steep": 1000.0, "flat": 10.0}


def make_task(config):
    """Half the curvature times x squared, for each group; descent diverges at 2 / curvature."""

    def loss(params, model_state, batch, rng):
        total = sum(0.5 * k * jnp.square(params[name]["x"]).sum() for name, k in CURVATURE.items())
        count = batch["weight"].sum()
        return total * count, (count, {}, model_state)

    start = {name: np.full((3, 3), k**-0.5, "f") for name, k in CURVATURE.items()}
    variables = {"params": {name: {"x": x} for name, x in start.items()}}
    work = Work(None, None, loss, None)
    return Task("samples", (), variables, config.optimizer.groups, {}, lambda *_: work)


def read(*_):
    while True:
        yield {"weight": np.ones(2, "f")}, ["a", "b"]


def config(**changes):
    groups = {
        name: group(f"{name}/.*", optimizer="sgd", momentum=0.0, weight_decay=0.0, **changes)
        for name in CURVATURE
    }
    return ConfigDict(
        dict(seed=0, batch_size=2, optimizer=dict(groups=groups, clip_norm=0.0, accumulate=1))
    )


def test_each_group_is_told_its_own_rate(tmp_path, capsys):
    curves = lr_test.test_rates(config(), tmp_path, make_task, read)
    for name, curve in curves.items():
        bound = 2 / CURVATURE[name]
        assert curve.diverged and bound < curve.rates[-1] < 20 * bound
        assert 0.02 * bound < curve.suggestion < bound
        assert len(curve.rates) == len(curve.losses) < lr_test.STEPS
    assert 30 < curves["flat"].suggestion / curves["steep"].suggestion < 300
    assert (tmp_path / "lr_test.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "suggested lr" in said and "steep" in said and "flat" in said


def test_a_loss_that_never_falls_gives_no_suggestion():
    curve = lr_test.follow(lr_test.rising_rates(20), iter([1.0] * 20))
    assert np.isnan(curve.suggestion) and not curve.diverged and len(curve.rates) == 20
    curve = lr_test.follow(lr_test.rising_rates(20), iter([1.0, 0.9, float("nan"), 0.1]))
    assert curve.diverged and len(curve.rates) == 3


def test_nothing_that_trains_is_said(tmp_path):
    with pytest.raises(UserError, match="every group is frozen"):
        lr_test.test_rates(config(train=False), tmp_path, make_task, read)
