"""Schedules against PyTorch's: the rate and the momentum of every step, and what they train."""

import jax
import numpy as np
import pytest
import torch

from danceflax.errors import UserError
from danceflax.training import optimizers
from danceflax.training.schedules import make_momentum, make_schedule

STEPS = 120
GROUP = dict(
    pattern=".*", train=True, optimizer="sgd", lr=0.4, schedule="constant", warmup_steps=0,
    milestones=(0.5, 0.8), gamma=0.3, start_lr_ratio=0.04, final_lr_ratio=1e-5, cycle_steps=40,
    cycle_growth=1, rise=0.3, cycle_momentum=(0.85, 0.95), weight_decay=0.0, decay_biases=False,
    bias_lr_mult=1.0, b1=0.9, b2=0.999, eps=1e-8, momentum=0.9, nesterov=False,
)  # fmt: skip
torch_schedulers = torch.optim.lr_scheduler

# schedule -> (changes of GROUP, PyTorch's of an optimizer)
PAIRS = {
    "step": (
        {"cycle_steps": 25},
        lambda o: torch_schedulers.StepLR(o, step_size=25, gamma=0.3),
    ),
    "multistep": (
        {},
        lambda o: torch_schedulers.MultiStepLR(o, milestones=[60, 96], gamma=0.3),
    ),
    "cosine": (
        {},
        lambda o: torch_schedulers.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.4e-5),
    ),
    "restarts": (
        {"cycle_growth": 2, "cycle_steps": 17},
        lambda o: torch_schedulers.CosineAnnealingWarmRestarts(o, 17, T_mult=2, eta_min=0.4e-5),
    ),
    "restarts, all alike": (
        {"schedule": "restarts"},
        lambda o: torch_schedulers.CosineAnnealingWarmRestarts(o, 40, eta_min=0.4e-5),
    ),
    "cyclic": (
        {"rise": 0.25},
        lambda o: torch_schedulers.CyclicLR(
            o, base_lr=0.016, max_lr=0.4, step_size_up=10, step_size_down=30,
            base_momentum=0.85, max_momentum=0.95,
        ),
    ),
    "one_cycle": (
        {},
        lambda o: torch_schedulers.OneCycleLR(
            o, max_lr=0.4, total_steps=STEPS, pct_start=0.3, div_factor=25, final_div_factor=4000,
            base_momentum=0.85, max_momentum=0.95,
        ),
    ),
}  # fmt: skip


def torch_optimizer(kind, weights, lr=0.4):
    if kind == "sgd":
        return torch.optim.SGD([weights], lr=lr, momentum=0.9)
    return torch.optim.AdamW([weights], lr=lr, betas=(0.9, 0.999), weight_decay=0.0)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("name", PAIRS)
def test_rate_and_momentum_are_pytorchs_at_every_step(name, kind):
    changes, make = PAIRS[name]
    group = GROUP | {"schedule": name.partition(",")[0], "optimizer": kind} | changes
    rate = jax.jit(make_schedule(group, STEPS, "a"))
    momentum = make_momentum(group, STEPS, "a")
    optimizer = torch_optimizer(kind, torch.zeros(1))
    scheduler = make(optimizer)
    for step in range(STEPS):
        theirs = optimizer.param_groups[0]
        first = theirs["momentum"] if kind == "sgd" else theirs["betas"][0]
        assert rate(step) == pytest.approx(theirs["lr"], abs=1e-6), step
        ours = momentum(step) if callable(momentum) else momentum
        assert ours == pytest.approx(first, abs=1e-6), step
        optimizer.step()
        if step < STEPS - 1:
            scheduler.step()


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("name", ["cyclic", "one_cycle"])
def test_a_cycle_trains_what_pytorchs_trains(name, kind):
    """The moving momentum reaches the update: the same weights after a quadratic bowl's descent."""
    changes, make = PAIRS[name]
    start, bowl = np.linspace(-1, 1, 6, dtype="f"), np.linspace(0.1, 0.6, 6, dtype="f")
    group = GROUP | {"schedule": name, "optimizer": kind} | changes
    params = {"x": start}
    labels = optimizers.label_parameters(params, {"all": group})
    config = {"groups": {"all": group}, "clip_norm": 0.0}
    transform, _ = optimizers.make_optimizer(config, labels, STEPS)
    state = transform.init(params)

    @jax.jit
    def descend(params, state):
        updates, state = transform.update({"x": bowl * params["x"]}, state, params)
        return {"x": params["x"] + updates["x"]}, state

    weights = torch.tensor(start, requires_grad=True)
    optimizer = torch_optimizer(kind, weights)
    scheduler = make(optimizer)
    for step in range(STEPS):
        params, state = descend(params, state)
        weights.grad = torch.tensor(bowl) * weights.detach()
        optimizer.step()
        if step < STEPS - 1:
            scheduler.step()
    assert np.abs(weights.detach().numpy() - start).max() > 0.5
    np.testing.assert_allclose(params["x"], weights.detach().numpy(), atol=2e-5)


def test_warm_up_comes_before_any_schedule():
    group = GROUP | {"schedule": "one_cycle", "warmup_steps": 20, "start_lr_ratio": 0.5}
    rate, momentum = make_schedule(group, 120, "a"), make_momentum(group, 120, "a")
    np.testing.assert_allclose(
        [rate(i) for i in (0, 10, 20, 49)], [0.01, 0.105, 0.2, 0.4], rtol=1e-5
    )
    np.testing.assert_allclose([momentum(i) for i in (0, 20, 49)], [0.95, 0.95, 0.85], rtol=1e-5)
    still = make_momentum(group | {"cycle_momentum": ()}, 120, "a")
    assert still == 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "poly"}, "schedule 'poly'; expected one of constant, cosine, restarts"),
        ({"schedule": "step", "cycle_steps": 0}, "a.cycle_steps 0; expected 1 or more"),
        ({"schedule": "cyclic", "rise": 1.5}, "a.rise 1.5; expected a share"),
        ({"schedule": "one_cycle", "rise": 0.001}, "expected more than one of 120 steps"),
        ({"schedule": "cyclic", "start_lr_ratio": 0.0}, "start_lr_ratio 0.0; expected more"),
        ({"schedule": "restarts", "cycle_growth": 0.5}, "cycle_growth 0.5; expected 1 or more"),
        ({"schedule": "cyclic", "cycle_momentum": (0.9, 0.8)}, "0 < first <= second < 1"),
    ],
)
def test_fields_out_of_range_are_named(changes, message):
    with pytest.raises(UserError, match=message):
        make_schedule(GROUP | changes, STEPS, "a")
        make_momentum(GROUP | changes, STEPS, "a")
