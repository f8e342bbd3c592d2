"""What a checkpoint holds of a training: compared with a config, and read back."""

import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from danceflax.errors import UserError
from danceflax.io.files import write_folder
from danceflax.training import digests
from danceflax.training.step import TrainState

MUST_FIT = ("model", "skeleton", "class_names", "normalisation")


def compare(folder: pathlib.Path, description: Mapping[str, Any]) -> list[str]:
    """Lines about every setting that is not as it was when a checkpoint was saved.

    Args:
      folder: of the checkpoint.
      description: what this training would save.

    Raises:
      UserError: it is of another model, or no checkpoint of a training.
    """
    with reading(folder):
        saved = json.loads((folder / "config" / "metadata").read_text())
        return _compare(folder, saved, description)


def _compare(folder, saved, description):
    for key in MUST_FIT:
        old, new = saved.get(key), description.get(key)
        if _plain(old) != _plain(new):
            raise UserError(
                f"{folder} holds another {key} ({_brief(old)}) than the config ({_brief(new)}); "
                "use another --workdir, or the config it was trained with"
            )
    return _differences(saved.get("training", {}), description.get("training", {}))


def read_state(folder: pathlib.Path, state: TrainState) -> TrainState:
    """The state that a checkpoint holds, as numpy arrays, in the structure of a fresh one.

    Raises:
      UserError: it is of another network or another optimizer, or no checkpoint of a training.
    """
    with reading(folder):
        model = _read_tree(folder / "model", state.variables)
        training = _read_tree(folder / "training", split_state(state)["training"])
    return state.replace(
        step=training["step"],
        params=training.get("params", model["params"]),
        model_state={key: value for key, value in model.items() if key != "params"},
        opt_state=training["opt_state"],
        average=None if state.average is None else model["params"],
    )


@contextlib.contextmanager
def reading(folder: pathlib.Path) -> Iterator[None]:
    """A context that says in a line what is wrong with files that are whole, but others than
    expected. Raises UserError: they are."""
    try:
        yield
    except (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{folder}: whole, but no checkpoint of a training ({reason}); use another --workdir"
        ) from None


def split_state(state: TrainState) -> dict[str, Any]:
    """What a checkpoint holds: the variables to use the network with, and the rest."""
    rest = {"step": state.step, "opt_state": state.opt_state}
    if state.average is not None:
        rest["params"] = state.params
    return {"model": state.variables, "training": rest}


def list_items(state: TrainState, description: Mapping[str, Any]) -> ocp.args.Composite:
    """What orbax is to write of a state. Where there are several processes, numpy arrays, which the
    first one writes alone: of arrays on devices orbax asks every process for its share."""
    if jax.process_count() > 1:
        state = jax.device_get(state)
    items = {name: ocp.args.StandardSave(tree) for name, tree in split_state(state).items()}
    return ocp.args.Composite(config=ocp.args.JsonSave(dict(description)), **items)


@contextlib.contextmanager
def write_state(
    path: pathlib.Path, state: TrainState, description: Mapping[str, Any]
) -> Iterator[pathlib.Path]:
    """A context whose value is a folder with a checkpoint of a state, in which the block may write
    more; then it becomes `path`, whole.

    Raises:
      UserError: it cannot be written, or is there.
    """
    with (
        write_folder(path) as temporary,
        ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer,
    ):
        checkpointer.save(temporary.absolute(), list_items(state, description), force=True)
        yield temporary
        digests.write_digests(temporary)


def save_elsewhere(path: pathlib.Path, state: TrainState, description: Mapping[str, Any]) -> None:
    """`write_state` for any of several processes: by one outside the run, for in a run orbax writes
    in the first process alone. To be called last: what is started from here on has no GPU."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(_save, path, jax.device_get(state), description).result()


def _save(*what):
    with write_state(*what):
        pass


def _read_tree(path, target):
    """A saved tree as numpy arrays, whatever devices or processes it was saved from."""
    handler = ocp.PyTreeCheckpointHandler()
    wanted = {key: np.shape(x) for key, x in ocp.tree.to_flat_dict(target, sep="/").items()}
    found = ocp.tree.to_flat_dict(handler.metadata(path).tree, sep="/")
    found = {key: tuple(x.shape) for key, x in found.items()}
    for key in sorted(wanted.keys() | found.keys()):
        old, new = found.get(key, "nothing"), wanted.get(key, "nothing")
        if old != new:
            raise UserError(
                f"{path.parent} does not fit this config's optimizer or network: for {key} it has "
                f"{old}, expected {new}; use another --workdir, or start from its weights with "
                "config.init_from"
            )
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), target)
    return handler.restore(path, args=ocp.args.PyTreeRestore(item=target, restore_args=as_numpy))


def _differences(old, new, prefix="config"):
    """Lines about every setting that is not as it was."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        a, b, name = _plain(old.get(key)), _plain(new.get(key)), f"{prefix}.{key}"
        if isinstance(a, dict) and isinstance(b, dict):
            lines += _differences(a, b, name)
        elif a != b:
            lines.append(f"{name}: {b}, was {a}")
    return lines


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
