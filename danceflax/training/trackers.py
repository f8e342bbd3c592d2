"""Trackers of experiments besides TensorBoard: each only where `config.report` names a project."""

import contextlib
import importlib
import logging
import os
import pathlib
import uuid
from typing import Any

import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict

from danceflax.errors import UserError
from danceflax.io.console import console, errors
from danceflax.io.files import write_text

TRACKERS = ("wandb", "trackio")  # modules of one interface: init, log, Image, finish


class Tracker:
    """One run of a project. What it cannot send is said once, and the training goes on.

    Args:
      kind: one of `TRACKERS`.
      project: its name there.
      workdir: names the run; a training that goes on in it goes on with the run.
      config: what the run is said to be made with.

    Raises:
      UserError: the library is not installed, or cannot begin the run.
    """

    def __init__(self, kind: str, project: str, workdir: pathlib.Path, config: dict[str, Any]):
        try:
            self._library = importlib.import_module(kind)
        except ImportError:
            raise UserError(
                f"config.report.{kind}={project}: {kind} is not installed; "
                f'run `pip install "danceflax[{kind}]"`'
            ) from None
        run = dict(project=project, config=config, resume="allow")
        if kind == "wandb":
            run |= dict(name=workdir.name, dir=str(workdir))
            if "WANDB_RUN_ID" not in os.environ:  # by which a sweep's agent names its runs
                run |= dict(id=_run_id(workdir))
        else:  # whose runs have no id but their name
            run |= dict(name=f"{workdir.name}-{_run_id(workdir)}", embed=False)
        try:
            self._run = self._library.init(**run)
        except Exception as error:
            line = str(error).strip().splitlines()[0]
            raise UserError(f"config.report.{kind}={project}: {line}") from None
        self._kind, self._silent = kind, False

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Logs {name: number} of a step."""
        self._log(step, {name: float(value) for name, value in values.items()})

    def picture(self, step: int, name: str, image: UInt8[np.ndarray, "H W 3"]) -> None:
        """Logs an RGB image of a step."""
        with self._bearing_errors():
            self._log(step, {name: self._library.Image(image)})

    def close(self) -> None:
        with self._bearing_errors():
            self._run.finish()

    def _log(self, step, values):
        with self._bearing_errors():
            self._run.log(values, step=step)

    @contextlib.contextmanager
    def _bearing_errors(self):
        try:
            yield
        except Exception as error:
            logging.debug("%s", error, exc_info=True)
            if not self._silent:
                errors.print(f"{self._kind} cannot be written: {error}; going on without")
            self._silent = True


def open_trackers(config: ConfigDict, workdir: str | os.PathLike) -> list[Tracker]:
    """The trackers that a training's config names; only the first process of a run has any."""
    projects = config.get("report", {})
    named = [kind for kind in TRACKERS if projects.get(kind)]
    if console.quiet or not named:
        return []
    folder = pathlib.Path(workdir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return [Tracker(kind, projects[kind], folder, config.to_dict()) for kind in named]


def _run_id(workdir):
    """The id of a workdir's run, made once."""
    path = workdir / "run_id"
    if not path.exists():
        write_text(path, uuid.uuid4().hex[:8])
    return path.read_text()
