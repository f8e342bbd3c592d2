"""The learning-rate range test (Smith, WACV 2017): which rate each parameter group bears."""

import itertools
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optax
from jaxtyping import Float
from ml_collections import ConfigDict

from danceflax.errors import UserError
from danceflax.io.console import console, print_table
from danceflax.io.files import write_whole
from danceflax.training import devices, optimizers
from danceflax.training.step import create_state, make_train_step
from danceflax.training.task import Batches, Read, Task

STEPS, LOWEST, HIGHEST = 100, 1e-7, 10.0
SMOOTHING = 0.9  # of the loss from step to step
DIVERGED = 4.0  # a smoothed loss so many times its smallest
LEAST_FALL = 0.998  # a smallest loss that is more of the first says nothing


class Curve(NamedTuple):
    """Losses of one group while its learning rate rose, as far as it went: over the loss of the
    initial weights on the same batch, so that easy and hard batches do not blur the curve."""

    rates: Float[np.ndarray, " n"]
    losses: list[float]  # smoothed; 1 is the initial weights'
    diverged: bool

    @property
    def suggestion(self) -> float:
        """The rate at which the loss fell fastest, over the logarithm of the rate; nan where it
        never fell."""
        lowest = int(np.nanargmin(self.losses))
        if lowest < 2 or self.losses[lowest] > LEAST_FALL * self.losses[0]:
            return math.nan
        slope = np.gradient(self.losses[: lowest + 1], np.log(self.rates[: lowest + 1]))
        return float(self.rates[int(np.argmin(slope))])


def test_rates(
    config: ConfigDict,
    workdir: str | os.PathLike,
    make_task: Callable[[ConfigDict], Task],
    read: Read,
) -> dict[str, Curve]:
    """Trains each group that trains alone, from the start, with a rate that rises by one factor a
    step until the loss diverges; prints a table and writes WORKDIR/lr_test.png.

    Args:
      config, workdir, make_task: as for `train`.
      read: of `make_reader`.

    Returns:
      {group: what it did}.

    Raises:
      UserError: something that the config names is at fault.
    """
    task = make_task(config)
    work = task.begin(task.variables, read, str(workdir))
    start = devices.replicate(task.variables)
    measure, curves = devices.map_inference(_make_measure(work.loss)), {}

    def initial_loss(batch):
        total, count = measure(start, batch)
        return float(np.sum(total) / np.sum(count))

    for name in [name for name, group in task.groups.items() if group["train"]]:
        groups = {
            other: dict(group, train=other == name, lr=1.0, schedule="constant", warmup_steps=0)
            for other, group in task.groups.items()
        }
        batches = read(work.source, work.transform, config.batch_size, config.seed, 0)
        losses = train_group(config, task.variables, work.loss, groups, batches, initial_loss)
        curves[name] = follow(rising_rates(STEPS), losses)
        console.print(f"{name}: {len(curves[name].rates)} steps")
    if not curves:
        raise UserError("optimizer.groups: every group is frozen; set train=True in at least one")
    header = ("group", "suggested lr", "smallest loss at", "diverged at")
    rows = [
        (
            name,
            "-" if math.isnan(curve.suggestion) else f"{curve.suggestion:.1e}",
            f"{curve.rates[int(np.nanargmin(curve.losses))]:.1e}",
            f"{curve.rates[-1]:.1e}" if curve.diverged else "-",
        )
        for name, curve in curves.items()
    ]
    print_table("learning rates", header, rows)
    path = pathlib.Path(workdir) / "lr_test.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    plot(path, curves)
    console.print(f"written to {path}")
    return curves


def rising_rates(steps: int) -> Float[np.ndarray, " n"]:
    """Learning rates, each the same factor times the last."""
    return np.geomspace(LOWEST, HIGHEST, steps)


def _make_measure(loss):
    """(variables, batch) -> the loss's ([1] sum, [1] count), to map over devices."""

    def measure(variables, batch):
        model_state = {key: value for key, value in variables.items() if key != "params"}
        total, (count, *_) = loss(variables["params"], model_state, batch, jax.random.key(0))
        return jnp.reshape(total, 1), jnp.reshape(count, 1)

    return measure


def train_group(
    config: ConfigDict,
    variables: Mapping[str, Any],
    loss: Callable,
    groups: Mapping | ConfigDict,
    batches: Batches,
    initial_loss: Callable,
) -> Iterator[float]:
    """The losses of a training in which one group trains, at `rising_rates`, one a step, over those
    of the initial weights."""
    labels = optimizers.label_parameters(variables["params"], groups)
    choices = {"groups": groups, "clip_norm": config.optimizer.clip_norm}
    optimizer, _ = optimizers.make_optimizer(choices, labels, STEPS)
    factor = (HIGHEST / LOWEST) ** (1 / (STEPS - 1))
    rise = optax.scale_by_schedule(lambda step: LOWEST * factor**step)
    optimizer = optax.chain(optimizer, rise)
    trained = optimizers.trained_parameters(labels, groups)
    accumulate = config.optimizer.accumulate
    step = devices.map_step(
        make_train_step(loss, optimizer, trained, seed=config.seed, accumulate=accumulate)
    )
    state = devices.replicate(create_state(variables, optimizer))
    for batch, _ in itertools.islice(batches, STEPS):
        state, metrics = step(state, devices.shard(batch))
        total, count = jax.device_get(metrics["loss"])
        yield float(total / count) / initial_loss(batch)


def follow(rates: Float[np.ndarray, " n"], losses: Iterable[float]) -> Curve:
    """Smooths losses as they come, and stops at the first that has diverged."""
    average, smoothed = 0.0, []
    for n, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        value = average / (1 - SMOOTHING**n)
        if not math.isfinite(value) or (smoothed and value > DIVERGED * min(smoothed)):
            return Curve(rates[:n], [*smoothed, value], True)
        smoothed.append(value)
    return Curve(rates[: len(smoothed)], smoothed, False)


def plot(path: pathlib.Path, curves: dict[str, Curve]) -> None:
    """Writes the groups' losses over their rates as a PNG, with the suggested rates."""
    figure = matplotlib.figure.Figure((7, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        finite = np.isfinite(curve.losses)
        (line,) = axes.plot(curve.rates[finite], np.array(curve.losses)[finite])
        line.set_label(f"{name}: {curve.suggestion:.1e}")
        if math.isfinite(curve.suggestion):
            axes.axvline(curve.suggestion, color=line.get_color(), linestyle=":")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss / initial loss")
    axes.legend()
    with write_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
