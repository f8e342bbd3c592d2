"""Learning rates over the steps, and the momentum that moves against them.

`cyclic`, `one_cycle`, `restarts` and `step` give what PyTorch's CyclicLR (triangular), OneCycleLR
(cosine), CosineAnnealingWarmRestarts and StepLR give.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from danceflax.errors import UserError

SCHEDULES = ("constant", "cosine", "restarts", "multistep", "step", "cyclic", "one_cycle")


def make_schedule(group: Mapping | ConfigDict, steps: int, where: str) -> optax.Schedule:
    """Learning rate as a function of the step: warm-up, then the group's schedule.

    Args:
      group: a parameter group; configs/README.md says which field each schedule reads.
      steps: optimizer steps of the whole training.
      where: the group's name in error messages.

    Raises:
      UserError: the schedule is unknown, or a field of it is out of range.
    """
    kind, lr, warmup = group["schedule"], group["lr"], group["warmup_steps"]
    rest = max(1, steps - warmup)
    if kind == "constant":
        schedule = optax.constant_schedule(lr)
    elif kind == "cosine":
        schedule = optax.cosine_decay_schedule(lr, rest, group["final_lr_ratio"])
    elif kind == "restarts":
        schedule = _restarts(group, rest, where)
    elif kind == "multistep":
        bounds = {round(m * steps) - warmup: group["gamma"] for m in group["milestones"]}
        schedule = optax.piecewise_constant_schedule(lr, bounds)
    elif kind == "step":
        every = _cycle_steps(group, where)
        schedule = optax.exponential_decay(lr, every, group["gamma"], staircase=True)
    elif kind in ("cyclic", "one_cycle"):
        start, final = group["start_lr_ratio"], group["final_lr_ratio"]
        if start <= 0:
            raise UserError(_fault(where, "start_lr_ratio", start, "more than 0"))
        last = final if kind == "one_cycle" else start
        schedule = _wave(group, rest, where, start * lr, lr, last * lr)
    else:
        raise UserError(_fault(where, "schedule", kind, f"one of {', '.join(SCHEDULES)}"))
    if not warmup:
        return schedule
    first = float(schedule(0))
    ramp = optax.linear_schedule(first / warmup, first, warmup)
    return optax.join_schedules([ramp, schedule], [warmup])


def make_momentum(group: Mapping | ConfigDict, steps: int, where: str) -> float | optax.Schedule:
    """The momentum of sgd, or b1 of adam and adamw: a number, or a function of the step where the
    group's schedule moves it against the learning rate. The other arguments are `make_schedule`'s.
    """
    key = "momentum" if group["optimizer"] == "sgd" else "b1"
    if group["schedule"] not in ("cyclic", "one_cycle") or not group["cycle_momentum"]:
        return group[key]
    bounds = tuple(group["cycle_momentum"])
    if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1] < 1:
        expected = "(at the peak rate, at the lowest), 0 < first <= second < 1"
        raise UserError(_fault(where, "cycle_momentum", bounds, expected))
    (low, high), warmup = bounds, group["warmup_steps"]
    schedule = _wave(group, max(1, steps - warmup), where, high, low, high)
    return optax.join_schedules([optax.constant_schedule(high), schedule], [warmup])


def _wave(group, steps, where, first, peak, last):
    """first -> peak -> last: once by cosines over all steps, or again and again by straight lines;
    `rise` is the share of the first part."""
    rise = group["rise"]
    if not 0 < rise < 1:
        raise UserError(_fault(where, "rise", rise, "a share between 0 and 1"))
    if group["schedule"] == "cyclic":
        cycle = _cycle_steps(group, where)
        scales = {rise * cycle: peak / first, cycle: last / peak}
        wave = optax.piecewise_interpolate_schedule("linear", first, scales)
        return lambda step: wave(step % cycle)
    if rise * steps <= 1:
        raise UserError(_fault(where, "rise", rise, f"more than one of {steps} steps"))
    # The peak and the end are steps themselves, counted from 0.
    scales = {rise * steps - 1: peak / first, steps - 1: last / peak}
    return optax.piecewise_interpolate_schedule("cosine", first, scales)


def _restarts(group, steps, where):
    """Cosines from the peak to its `final_lr_ratio`, each `cycle_growth` times as long as the
    last."""
    growth, lengths = group["cycle_growth"], [_cycle_steps(group, where)]
    if growth < 1:
        raise UserError(_fault(where, "cycle_growth", growth, "1 or more"))
    while sum(lengths) < steps:
        lengths.append(lengths[-1] * growth)
    starts = np.cumsum([0, *lengths[:-1]])
    cosine = optax.cosine_decay_schedule(group["lr"], 1, group["final_lr_ratio"])

    def schedule(step):
        cycle = jnp.searchsorted(starts, step, side="right") - 1
        return cosine((step - jnp.array(starts)[cycle]) / jnp.array(lengths)[cycle])

    return schedule


def _cycle_steps(group, where):
    if group["cycle_steps"] < 1:
        raise UserError(_fault(where, "cycle_steps", group["cycle_steps"], "1 or more"))
    return group["cycle_steps"]


def _fault(where, key, value, expected):
    return f"optimizer.groups.{where}.{key} {value!r}; expected {expected}"
