"""The training loop that both trainers share."""

import math

import jax
import numpy as np

from danceflax.errors import UserError
from danceflax.training import parallel


def fit(
    state,
    train_step,
    batches,
    *,
    steps,
    report,
    save,
    evaluate,
    stop,
    log_every=50,
    eval_every=1000,
    save_every=1000,
):
    """Trains until `steps` optimizer steps are done or a signal asks to stop.

    Args:
      state: a replicated `TrainState`; its step says where to begin.
      train_step: (state, batch) -> (state, metrics), mapped over devices.
      batches: iterator of (batch of [B, ...] arrays, names of its samples) from that step on.
      steps: optimizer steps in total.
      report: a `Report`.
      save: (state, score or None) -> None, starts a checkpoint.
      evaluate: (state) -> score; reports by itself. Runs on `eval_every` and at the end.
      stop: a `StopRequest`.
      log_every, eval_every, save_every: in steps; 0 switches the periodic one off.

    Returns:
      (state, whether it was stopped by a signal).

    Raises:
      UserError: the loss is not finite; the step and the samples of its batch are named, and
        nothing of that state is saved.
    """
    step = int(state.step)
    pending = None  # the last step's number, names and metrics, not looked at yet
    window = {}

    def look(pending, window):
        """Fetches a step's metrics, refuses a loss that is not finite, adds them to the window."""
        if pending is None:
            return window
        number, names, metrics = pending
        metrics = jax.device_get(metrics)
        if not math.isfinite(metrics["loss"][0]):
            raise UserError(
                f"the loss of step {number} is {metrics['loss'][0]}; its batch: "
                f"{', '.join(map(str, names))}. Look at these samples; lower the learning rate or "
                "set config.optimizer.clip_norm. The last checkpoint is untouched"
            )
        return add_metrics(window, metrics)

    while step < steps:
        batch, names = next(batches)
        state, metrics = train_step(state, parallel.shard(batch))
        step += 1
        # The host reads step N - 1 while the devices work on step N.
        window = look(pending, window)
        pending = step, names, metrics
        report.advance(step)

        due = [every and step % every == 0 for every in (log_every, eval_every, save_every)]
        stopping = stop.agreed(due[0])
        if not (any(due) or stopping or step == steps):
            continue
        window, pending = look(pending, window), None
        if due[0] or step == steps:
            report.scalars(step, "train", mean_metrics(window))
            window = {}
        score = None
        if not stopping and (due[1] or step == steps):
            with report.paused():
                score = evaluate(state)
        if due[1] or due[2] or stopping or step == steps:
            with report.paused():
                save(state, score)
        if stopping:
            return state, True
    return state, False


def add_metrics(total, metrics):
    """Adds {name: (sum, count)} to a running total of the same shape."""
    return {
        name: tuple(np.add(total.get(name, (0.0, 0.0)), pair)) for name, pair in metrics.items()
    }


def mean_metrics(total):
    """{name: (sum, count)} to {name: sum / count}; what nothing was counted for is left out."""
    return {name: float(s / n) for name, (s, n) in total.items() if n}
