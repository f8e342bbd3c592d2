"""Checkpoints: orbax directories that know what model they hold.

A checkpoint directory has `model` (the variables to use the network with), `config` (JSON: which
network, skeleton or class names, normalisation, and the training config) and SHA256SUMS. One
written during training adds `training` (step, optimizer state, raw parameters), at
WORKDIR/checkpoints/STEP; see `saving`.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from danceflax.errors import UserError
from danceflax.io.files import read_bytes, write_folder
from danceflax.training import digests


def save_model(
    directory: str | os.PathLike, variables: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    """Writes variables {"params": ..., ...} and a JSON-like config to a new directory, atomically.

    Raises:
      UserError: the directory exists.
    """
    path = pathlib.Path(directory).absolute()
    if path.exists():
        raise UserError(f"{directory} exists; name a new directory or remove it first")
    args = ocp.args.Composite(
        model=ocp.args.StandardSave(variables), config=ocp.args.JsonSave(config)
    )
    with (
        write_folder(path) as temporary,
        ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer,
    ):
        checkpointer.save(temporary.absolute(), args, force=True)
        digests.write_digests(temporary)


def load_model(directory: str | os.PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads a checkpoint: a saved model, a step's directory, or a training's WORKDIR.

    Of a WORKDIR the best step is taken, where evaluation has named one, else the latest.

    Returns:
      (variables as numpy arrays, config).

    Raises:
      UserError: there is no checkpoint, or it is damaged.
    """
    path = find_model(directory)
    if (path / digests.NAME).exists() and (damage := digests.find_damage(path)):
        raise UserError(f"{path} is damaged: {damage}; bring back a copy, or name another step")
    config = read_config(path)
    # Without a target tree, and as numpy: the devices need not be those it was saved on.
    handler = ocp.PyTreeCheckpointHandler()
    try:
        tree = dict(handler.metadata(path / "model").tree)
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        args = ocp.args.PyTreeRestore(restore_args=as_numpy)
        return handler.restore(path / "model", args=args), config
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: its model cannot be read: {reason}") from None


def find_model(directory: str | os.PathLike) -> pathlib.Path:
    """The directory of the checkpoint that `directory` means; see `load_model`."""
    path = pathlib.Path(directory).absolute()
    if _holds_model(path):
        return path
    folder = path / digests.FOLDER if (path / digests.FOLDER).is_dir() else path
    steps = [folder / str(step) for step in digests.list_steps(folder)]
    if steps := [step for step in steps if _holds_model(step)]:
        return max(steps, key=_read_score)  # the latest of equals
    what = "holds no checkpoint" if path.exists() else "does not exist"
    raise UserError(
        f"{directory} {what}; name a training's workdir, a step under its {digests.FOLDER}/, or "
        "what convert_weights.py wrote"
    )


def _holds_model(path):
    return (path / "model").is_dir() and (path / "config").is_dir()


def _read_score(path):
    """The figure by which a step is better than others; that of a step without one is lowest."""
    try:
        return float(_read_json(path / "metrics" / "metrics")["score"])
    except (OSError, ValueError, KeyError, TypeError):
        return -np.inf


def _read_json(path):
    return json.loads(read_bytes(path, digests.MAX_BYTES))


def read_config(path: pathlib.Path) -> dict[str, Any]:
    """The config of a checkpoint that `find_model` has found. Raises UserError: it does not say
    what the model is."""
    file = path / "config" / "metadata"
    try:
        config = _read_json(file)
        model, normalisation = config["model"], config["normalisation"]
        sound = isinstance(model["name"], str) and isinstance(model["options"], dict)
        sound &= all(np.array(normalisation[key], float).ndim == 1 for key in ("mean", "std"))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        sound = False
    if not sound:
        raise UserError(
            f"{file}: damaged, or not of danceflax: expected JSON with model (name, options) and "
            "normalisation (mean, std)"
        )
    return config
