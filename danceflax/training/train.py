"""The story of a training, once: it knows no side, a `Task` brings what differs."""

import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any

import jax
from ml_collections import ConfigDict

from danceflax.config_checks import check_config
from danceflax.data.loader import make_loader
from danceflax.io.console import console
from danceflax.training import devices, lock, lost, optimizers, replay
from danceflax.training.loop import fit
from danceflax.training.saving import resume
from danceflax.training.signals import StopRequest
from danceflax.training.step import TrainState, create_state, make_train_step
from danceflax.training.task import Batches, Task


def train(
    config: ConfigDict, workdir: str | os.PathLike, make_task: Callable[[ConfigDict], Task]
) -> TrainState:
    """Trains to the last step, or goes on to it from the latest checkpoint in the workdir.

    Args:
      config: of configs/; what both sides have in common is read here, the rest by the task.
      workdir: gets checkpoints/, metrics.jsonl and tensorboard/.
      make_task: `pose.task.make_task` or `dance.task.make_task`, or a third.

    Returns:
      The last state.

    Raises:
      UserError: something that the config names is at fault, or another training holds the workdir;
        see also `loop.fit`.
      SystemExit: SIGTERM or SIGINT has ended it, with the status that a shell gives: 143 or 130.
    """
    check_config(config)
    with StopRequest() as stop:
        devices.join_processes(config.lost_after)
        console.quiet = jax.process_index() > 0
        with lost.leave_together():
            return _train(config, workdir, make_task, stop)


def test_rates(
    config: ConfigDict, workdir: str | os.PathLike, make_task: Callable[[ConfigDict], Task]
) -> None:
    """The learning-rate range test of a training, instead of it: `lr_test.test_rates`."""
    from danceflax.training import lr_test  # with it matplotlib

    check_config(config)
    with StopRequest() as stop:
        lr_test.test_rates(config, workdir, make_task, _make_reader(config, stop))


def _make_reader(config, stop):
    """`Read` by the config, in this process; a request to stop ends evaluation early."""

    def read(*what: Any, training: bool = True, **options: Any) -> Batches:
        options |= dict(
            threads=config.data.threads,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            max_bad_fraction=config.data.max_bad_fraction,
            patience=config.data.patience,
        )
        batches = make_loader(*what, training=training, **options)
        return batches if training else stop.between(batches)

    return read


def replay_step(
    config: ConfigDict, folder: str | os.PathLike, make_task: Callable[[ConfigDict], Task]
) -> dict[str, float]:
    """Repeats the step whose loss was not finite, of WORKDIR/nonfinite; see `replay.repeat_step`.

    The data set is opened, as the task needs it, but not one sample is read.
    """
    task, state, make_step = _prepare(config, make_task)
    work = task.begin(state.variables, _make_reader(config, StopRequest()), str(folder))
    return replay.repeat_step(folder, state, devices.map_step(make_step(work.loss)))


def _train(config, workdir, make_task, stop):
    task, state, make_step = _prepare(config, make_task)
    read = _make_reader(config, stop)
    with lock.hold(workdir) if jax.process_index() == 0 else contextlib.nullcontext():
        # Where it begins, or goes on.
        description = task.description | {"training": config.to_dict()}
        saver, state = resume(
            workdir, state, description, keep=config.save_keep, patience=config.save_patience
        )

        # What it reads, and the step.
        work = task.begin(state.variables, read, str(workdir))
        batches = read(work.source, work.transform, config.batch_size, config.seed, int(state.step))
        return fit(
            state,
            devices.map_step(make_step(work.loss)),
            batches,
            config,
            workdir=workdir,
            task=task,
            evaluate=work.evaluate,
            saver=saver,
            stop=stop,
        )


def _prepare(config, make_task):
    """(the task, a fresh state, the function that makes a step of a loss)."""
    devices.check_batch_size(config.batch_size, config.optimizer.accumulate)
    devices.check_batch_size(config.eval.batch_size, where="config.eval.batch_size")
    task = make_task(config)

    # Who trains what.
    params = task.variables["params"]
    labels = optimizers.label_parameters(params, task.groups)
    optimizer, schedules = optimizers.make_optimizer(
        {"groups": task.groups, "clip_norm": config.optimizer.clip_norm}, labels, config.steps
    )
    optimizers.print_groups(params, labels, task.groups)
    averages = config.optimizer.average_decay > 0
    make_step = functools.partial(
        make_train_step,
        optimizer=optimizer,
        trained=optimizers.trained_parameters(labels, task.groups),
        seed=config.seed,
        accumulate=config.optimizer.accumulate,
        average_decay=config.optimizer.average_decay,
        schedules=schedules,
    )
    return task, create_state(task.variables, optimizer, average=averages), make_step
