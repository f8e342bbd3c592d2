"""A training's own checkpoints: saved in the background, verified when a training goes on."""

import contextlib
import errno
import functools
import logging
import os
import pathlib
import re
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from danceflax.errors import UserError
from danceflax.io.console import console, errors
from danceflax.training import devices, digests
from danceflax.training.states import compare, list_items, read_state, reading, save_elsewhere
from danceflax.training.step import TrainState

STRAGGLERS = 1.0  # seconds that orbax may go on with the other files of a save that has failed


class Saver:
    """Saves states at WORKDIR/checkpoints/STEP; keeps the latest few and the best.

    A checkpoint that cannot be written is said on the screen and tried again at the next save;
    those that are there stay. Of several processes, which all have the same state, the first one
    saves. As a context it waits for the last save, which must succeed, in all of them.

    Args:
      workdir: the training's directory.
      description: JSON-like, what `checkpoints.load_model` returns as the config.
      keep: how many of the latest stay, beside the best.
      patience: how many saves in a row may fail.

    Raises:
      UserError: the workdir cannot be written to, or has checkpoints of which none is whole.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        description: Mapping[str, Any],
        keep: int = 3,
        patience: int = 3,
    ):
        self.folder = pathlib.Path(workdir).absolute() / digests.FOLDER
        self.description, self._patience = description, patience
        self._failed, self._closed = 0, False  # failed saves in a row
        self._saving = None  # the step that is being written
        for name in ("absl", "asyncio"):  # orbax logs pages about what is said here in a line
            logging.getLogger(name).setLevel(logging.CRITICAL)
        sys.unraisablehook = _tell_unraisable
        self.step = devices.ask_first(functools.partial(digests.find_whole, self.folder))
        self._manager = None
        if jax.process_index() == 0:
            with reading(self.folder):
                self._manager = _open_manager(self.folder, keep, self._seal)

    def restore(self, state: TrainState) -> TrainState | None:
        """The latest whole state, as numpy arrays, or None when nothing is saved.

        Args:
          state: a fresh state of the same network and optimizer: gives structure and shapes.

        Raises:
          UserError: the checkpoint is of another model or another optimizer.
        """
        if self.step is None:
            return None
        where = self.folder / str(self.step)
        for line in compare(where, self.description):
            console.print(f"resuming with another {line}")
        return read_state(where, state)

    def save(self, state: TrainState, score: float | None = None) -> None:
        """Starts saving a state, unless its step is saved; training may go on at once.

        Args:
          state: replicated or not.
          score: the evaluation's figure for this step, if there is one.

        Raises:
          UserError: too many saves in a row have failed.
        """
        if self._manager is None:
            return
        self._settle()
        step = int(jax.device_get(state.step))
        if step in self._manager.all_steps():
            return
        self._saving = step
        metrics = {} if score is None else {"score": float(score)}
        try:
            items = list_items(state, self.description)
            self._manager.save(self._saving, args=items, metrics=metrics, force=True)
        except (OSError, ValueError) as error:
            self._fail(error)

    def rescue(self, state: TrainState) -> None:
        """Saves, in whichever process, a state that this one alone may have come to, and closes.

        Raises:
          UserError: it cannot be written.
        """
        if self._manager is None:
            path = self.folder / str(int(jax.device_get(state.step)))
            save_elsewhere(path, state, self.description)
        else:
            self.save(state)
        self.close()

    def close(self) -> None:
        """Waits for the last save. Raises UserError: it has failed."""
        if self._closed or self._manager is None:
            return
        self._closed = True
        try:
            self._settle()
            if self._failed:
                raise UserError(
                    f"the last checkpoint could not be written, {self._newest()}; make room and "
                    "give the same command again"
                )
        finally:
            with contextlib.suppress(OSError, ValueError):
                self._manager.close()

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None:
            devices.ask_first(self.close)
            return
        try:  # what ended the training is more than what ended this
            self.close()
        except UserError as error:
            errors.print(f"error: {error}")

    def _settle(self):
        """Waits for the save at work and notes how it ended."""
        if self._saving is None:
            return
        try:
            self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            self._fail(error)
        else:
            self._saving, self._failed = None, 0

    def _seal(self):
        """Adds the digests, just before orbax gives a checkpoint its name."""
        for path in self.folder.glob(f"{self._saving}.orbax-checkpoint-tmp*"):
            digests.write_digests(path)

    def _fail(self, error):
        step, self._saving = self._saving, None
        self._failed += 1
        time.sleep(STRAGGLERS)
        digests.remove_unfinished(self.folder)
        with contextlib.suppress(OSError, ValueError):
            self._manager.reload()
        message = (
            f"the checkpoint of step {step} cannot be written: {_reason(error)}; {self._newest()}"
        )
        if self._failed > self._patience:
            raise UserError(f"{message}; {self._failed} in a row have failed") from None
        errors.print(f"{message}; the next is tried as usual")

    def _newest(self):
        steps = self._manager.all_steps()
        return f"the last whole one is {max(steps)}" if steps else "there is no earlier one"


def resume(
    workdir: str | os.PathLike, state: TrainState, description: Mapping[str, Any], **options: Any
) -> tuple[Saver, TrainState]:
    """Where a training goes on, if it was begun before.

    Args:
      workdir, description, options: of the `Saver`.
      state: a fresh state, of `create_state`.

    Returns:
      Its saver, and the saved or else the given state, replicated.

    Raises:
      UserError: see `Saver` and `Saver.restore`.
    """
    saver = Saver(workdir, description, **options)
    restored = saver.restore(state)
    if restored:
        console.print(f"resuming {workdir} after step {int(restored.step)}")
    return saver, devices.replicate(restored or state)


def _open_manager(folder, keep, seal):
    def score(metrics):
        found = metrics.get("score") if isinstance(metrics, dict) else None
        return found if isinstance(found, float) else -np.inf

    latest, best = checkpoint_managers.LatestN(keep), checkpoint_managers.BestN(
        get_metric_fn=score, reverse=False, n=1
    )  # fmt: skip
    return ocp.CheckpointManager(
        folder,
        options=ocp.CheckpointManagerOptions(
            best_fn=score,
            best_mode="max",
            preservation_policy=checkpoint_managers.AnyPreservationPolicy([latest, best]),
            # Folders first: threads wait for one that cannot be made for twenty minutes.
            async_options=ocp.options.AsyncOptions(
                post_finalization_callback=seal, create_directories_asynchronously=False
            ),
            # The first of several processes waits for no other.
            multiprocessing_options=ocp.options.MultiprocessingOptions(active_processes={0}),
            create=False,
        ),
    )


def _tell_unraisable(unraisable):
    """What Python says where nobody can catch, but not of a save's stragglers: they find the save
    over, for it has failed."""
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _reason(error):
    """What the operating system says, out of an OSError or a TensorStore error."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    code = re.search(r"os_error_code='(\d+)'", text)
    if code or "RESOURCE_EXHAUSTED" in text:
        return os.strerror(int(code[1]) if code else errno.ENOSPC)
    return text[:200] or type(error).__name__
