"""The training loop."""

import contextlib
import math
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from danceflax.errors import UserError
from danceflax.io.console import console
from danceflax.training import devices, replay
from danceflax.training.report import Report
from danceflax.training.saving import Saver
from danceflax.training.signals import Stopped, StopRequest
from danceflax.training.step import TrainState
from danceflax.training.task import Batches, Evaluate, Task
from danceflax.training.trackers import open_trackers


def fit(
    state: TrainState,
    train_step: Callable,
    batches: Batches,
    config: ConfigDict,
    *,
    workdir: str | os.PathLike,
    task: Task,
    evaluate: Evaluate,
    saver: Saver,
    stop: StopRequest,
) -> TrainState:
    """Trains to the last step, evaluating, saving and reporting on the way.

    A request to stop ends it after the step in work, or between two batches of an evaluation; the
    state is saved, and a message says so.

    Args:
      state: replicated; its step says where to begin.
      train_step: (state, batch) -> (state, metrics), mapped over devices.
      batches: from that step on.
      config: its `steps` in total, and `log_every`, `eval_every`, `save_every` in steps; 0 switches
        the periodic one off. The last step is always logged, evaluated and saved.
      workdir: where the `Report` goes.
      task: says what samples are called and which figures are shown.
      evaluate: of the `Work`.
      saver: of `saving.resume`; closed at the end.
      stop: the request, if there is one.

    Returns:
      The last state.

    Raises:
      UserError: the data cannot be read: the state is saved. Or the loss is not finite: the step
        and the samples of its batch are named, and nothing of that state is saved. Or the last
        checkpoint, or too many in a row, cannot be written.
      SystemExit: it was stopped; see `StopRequest.status`.
    """
    intervals = config.log_every, config.eval_every, config.save_every
    first = step = int(jax.device_get(state.step))
    pending = None  # the last step's number, names, batch and metrics, not looked at yet
    window = {}

    def keep(number, names, batch):
        """Keeps the step for `replay`, which one process can; says where."""
        if jax.process_count() > 1:
            return ""
        try:
            path = replay.keep_step(workdir, number, state, batch, names, saver.description)
        except UserError as error:
            return f"; {error}"
        return f"; the step itself is kept: add --replay={path}"

    def look(pending, window):
        """Fetches a step's metrics, refuses a loss that is not finite, adds them to the window."""
        if pending is None:
            return window
        number, names, batch, metrics = pending
        metrics = jax.device_get(metrics)
        for what, key in (("loss", "loss"), ("gradient", "grad_norm")):
            if not math.isfinite(metrics[key][0]):
                raise UserError(
                    f"the {what} of step {number} is {metrics[key][0]}; its batch: "
                    f"{', '.join(map(str, names))}. Look at these samples; lower the learning rate "
                    "or set config.optimizer.clip_norm. The last checkpoint is untouched"
                    + keep(number, names, batch)
                )
        return add_metrics(window, metrics)

    @contextlib.contextmanager
    def saved_on_error():
        """Saves the state when the data cannot be read, and says so."""
        try:
            yield
        except UserError as error:
            look(pending, window)
            if step == first:
                raise
            saver.rescue(state)
            raise UserError(
                f"{error}; the state after step {step} is saved, and the same command goes on"
            ) from None

    if step >= config.steps:
        console.print(f"{workdir} has done {step} steps, and config.steps is {config.steps}")
    stopping = False
    trackers = open_trackers(config, workdir)
    sizes = config.steps, step, config.batch_size
    with Report(workdir, *sizes, task.samples, trackers) as report, saver:
        while step < config.steps and not stopping:
            with saved_on_error():
                batch, names = next(batches)
            state, metrics = train_step(state, devices.shard(batch))
            stop.begin()
            step += 1
            # The host reads step N - 1 while the devices work on step N.
            window = look(pending, window)
            pending = step, names, batch, metrics
            report.advance(step)

            last = step == config.steps
            log, evaluation, save = (last or (n and step % n == 0) for n in intervals)
            stopping = stop.agreed(log)
            if not (log or evaluation or save or stopping):
                continue
            window, pending = look(pending, window), None
            if log:
                report.scalars(step, "train", mean_metrics(window))
                window = {}
            with report.paused():
                score = None
                if evaluation and not stopping:
                    try:
                        with saved_on_error():
                            figures, picture = evaluate(state.variables)
                    except Stopped:
                        stopping = True
                    else:
                        score = figures[task.shown[0]]
                        report.scalars(step, "val", figures, {k: figures[k] for k in task.shown})
                        if picture is not None:
                            report.picture(step, "val", picture)
                if evaluation or save or stopping:
                    saver.save(state, score)
    if stopping:
        console.print(
            f"stopped by {stop.signal.name} after step {step}, which is saved; the same command "
            "goes on from there"
        )
        sys.exit(stop.status)
    return state


def add_metrics(
    total: Mapping[str, tuple[Any, Any]], metrics: Mapping[str, tuple[Any, Any]]
) -> dict[str, tuple[float, float]]:
    """Adds {name: (sum, count)} to a running total of the same shape."""
    return {
        name: tuple(np.add(total.get(name, (0.0, 0.0)), pair)) for name, pair in metrics.items()
    }


def mean_metrics(total: Mapping[str, tuple[Any, Any]]) -> dict[str, float]:
    """{name: (sum, count)} to {name: sum / count}; what nothing was counted for is left out."""
    return {name: float(s / n) for name, (s, n) in total.items() if n}
