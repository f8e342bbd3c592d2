"""Checkpoints: orbax directories that know what model they hold.

A checkpoint directory has `model` (the variables to use the network with) and `config` (JSON:
which network, skeleton or class names, normalisation, and the training config). One written during
training adds `training` (step, optimizer state, raw parameters), at WORKDIR/checkpoints/STEP.
"""

import pathlib
import re

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from danceflax.errors import UserError
from danceflax.io.console import console
from danceflax.training import devices

FOLDER = "checkpoints"


def save_model(directory, variables, config):
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
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        checkpointer.save(path, args)


def load_model(directory):
    """Reads a checkpoint: a saved model, a step's directory, or a training's WORKDIR.

    Of a WORKDIR the best step is taken, where evaluation has named one, else the latest.

    Returns:
      (variables as numpy arrays, config).

    Raises:
      UserError: there is no checkpoint.
    """
    path = find_model(directory)
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        config = checkpointer.restore(path, ocp.args.Composite(config=ocp.args.JsonRestore()))
    # Without a target tree, and as numpy: the devices need not be those it was saved on.
    handler = ocp.PyTreeCheckpointHandler()
    tree = handler.metadata(path / "model").tree
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), dict(tree))
    variables = handler.restore(path / "model", args=ocp.args.PyTreeRestore(restore_args=as_numpy))
    return variables, config["config"]


def find_model(directory):
    """The directory of the checkpoint that `directory` means; see `load_model`."""
    path = pathlib.Path(directory).absolute()
    if (path / "model").is_dir() and (path / "config").is_dir():
        return path
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    if folder.is_dir() and any(re.fullmatch(r"\d+", child.name) for child in folder.iterdir()):
        with open_manager(folder.parent, folder=folder) as manager:
            step = manager.best_step()
            step = manager.latest_step() if step is None else step
        if step is not None:
            return folder / str(step)
    what = "holds no checkpoint" if path.exists() else "does not exist"
    raise UserError(
        f"{directory} {what}; name a training's workdir, a step under its {FOLDER}/, or what "
        "convert_weights.py wrote"
    )


def resume(workdir, state, config):
    """Where a training goes on, if it was begun before.

    Args:
      workdir: the training's directory.
      state, config: as for `restore_state`.

    Returns:
      (manager of its checkpoints, the saved or else the given state, replicated).

    Raises:
      UserError: the checkpoint is of another model or another optimizer.
    """
    manager = open_manager(workdir)
    resumed = restore_state(manager, state, config)
    if resumed:
        console.print(f"resuming {workdir} after step {int(resumed.step)}")
    return manager, devices.replicate(resumed or state)


def open_manager(workdir, folder=None):
    """An orbax manager over WORKDIR/checkpoints that keeps the latest and the best step.

    Args:
      workdir: the training's directory.
      folder: the checkpoints' directory, if it is not WORKDIR/checkpoints.
    """

    def score(metrics):
        return metrics.get("score", -np.inf)

    latest, best = checkpoint_managers.LatestN(1), checkpoint_managers.BestN(
        get_metric_fn=score, reverse=False, n=1
    )  # fmt: skip
    return ocp.CheckpointManager(
        pathlib.Path(folder or pathlib.Path(workdir) / FOLDER).absolute(),
        options=ocp.CheckpointManagerOptions(
            best_fn=score,
            best_mode="max",
            preservation_policy=checkpoint_managers.AnyPreservationPolicy([latest, best]),
        ),
    )


def save_state(manager, state, config, score=None):
    """Starts saving a `TrainState`; training may go on at once.

    Args:
      manager: from `open_manager`.
      state: replicated or not.
      config: JSON-like, what `load_model` returns.
      score: the evaluation's figure for this step, if there is one.
    """
    training = {"step": state.step, "opt_state": state.opt_state}
    if state.average is not None:
        training["params"] = state.params
    manager.save(
        int(state.step),
        args=ocp.args.Composite(
            model=ocp.args.StandardSave(devices.to_global(state.variables)),
            training=ocp.args.StandardSave(devices.to_global(training)),
            config=ocp.args.JsonSave(config),
        ),
        metrics={} if score is None else {"score": float(score)},
        force=True,
    )


def restore_state(manager, state, config):
    """The latest saved state, or None when nothing is saved.

    Args:
      manager: from `open_manager`.
      state: a fresh state of the same network and optimizer: gives structure, shapes and types.
      config: as in `save_state`; the model it names must be the saved one.

    Raises:
      UserError: the checkpoint is of another model or another optimizer.
    """
    step = manager.latest_step()
    if step is None:
        return None
    where = f"{manager.directory}/{step}"
    saved = manager.restore(step, args=ocp.args.Composite(config=ocp.args.JsonRestore()))["config"]
    for key in ("model", "skeleton", "class_names", "normalisation"):
        old, new = saved.get(key), config.get(key)
        if _plain(old) != _plain(new):
            raise UserError(
                f"{where} holds another {key} ({_brief(old)}) than the config ({_brief(new)}); "
                "use another --workdir, or the config it was trained with"
            )
    training = {"step": state.step, "opt_state": state.opt_state}
    if state.average is not None:
        training["params"] = state.params
    target = jax.tree.map(_abstract, {"model": state.variables, "training": training})
    try:
        restored = manager.restore(
            step,
            args=ocp.args.Composite(
                model=ocp.args.StandardRestore(target["model"]),
                training=ocp.args.StandardRestore(target["training"]),
            ),
        )
    except (ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise UserError(
            f"{where} does not fit this config's optimizer or network ({reason}); use another "
            "--workdir, or start from its weights with config.init_from"
        ) from None
    model, training = devices.to_local((restored["model"], restored["training"]))
    params = training.get("params", model["params"])
    return state.replace(
        step=training["step"],
        params=params,
        model_state={key: value for key, value in model.items() if key != "params"},
        opt_state=training["opt_state"],
        average=None if state.average is None else model["params"],
    )


def _abstract(x):
    return jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=getattr(x, "sharding", None))


def _plain(value):
    """JSON's view of a value: tuples are lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _brief(value):
    if isinstance(value, dict) and "name" in value:
        options = value.get("options", {})
        return " ".join([value["name"], *(f"{k}={v}" for k, v in options.items())])
    return str(value)
