"""A step whose loss is not finite, kept so that it can be done again."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from danceflax.errors import UserError
from danceflax.io.console import console, print_table
from danceflax.io.files import write_json
from danceflax.training import devices, digests
from danceflax.training.states import read_state, write_state
from danceflax.training.step import TrainState

FOLDER = "nonfinite"  # of the workdir
MOST = 3  # steps that are kept there: each takes the room of a checkpoint


def keep_step(
    workdir: str | os.PathLike,
    number: int,
    state: TrainState,
    batch: Mapping[str, np.ndarray],
    names: list[str],
    description: Mapping[str, Any],
) -> pathlib.Path:
    """Writes WORKDIR/nonfinite/NUMBER: a checkpoint of the state before the step, and its batch.

    Returns:
      The folder; one that is there stays.

    Raises:
      UserError: it cannot be written, or there are `MOST` already.
    """
    path = pathlib.Path(workdir).absolute() / FOLDER / str(number)
    if path.exists():
        return path
    if len(digests.list_steps(path.parent)) >= MOST:
        raise UserError(f"{path.parent} holds {MOST} such steps, and no more are kept")
    state = jax.device_get(state).replace(step=np.int32(number - 1))
    with write_state(path, state, description) as folder:
        np.savez(folder / "batch.npz", **batch)
        write_json(folder / "names.json", names)
    return path


def repeat_step(folder: str | os.PathLike, state: TrainState, train_step: Any) -> dict[str, float]:
    """Does a step again that `keep_step` has kept, and prints what is not finite.

    Args:
      folder: what `keep_step` has written.
      state: a fresh state of the same network and optimizer.
      train_step: mapped over devices.

    Returns:
      The step's metrics, {name: mean}.

    Raises:
      UserError: the folder is no such, is damaged, or of another network.
    """
    path = pathlib.Path(folder)
    if not (path / "batch.npz").is_file():
        raise UserError(f"{folder}: holds no step; name a folder under WORKDIR/{FOLDER}")
    if damage := digests.find_damage(path):
        raise UserError(f"{folder} is damaged: {damage}")
    state = read_state(path, state)
    with np.load(path / "batch.npz", allow_pickle=False) as data:
        batch = dict(data)
    for what, tree in (("batch", batch), ("parameters", state.params)):
        for key, value in ocp.tree.to_flat_dict(tree, sep="/").items():
            if count := np.sum(~np.isfinite(value)):
                console.print(f"{what}: {count:,} of {value.size:,} values of {key} are not finite")
    step = int(state.step) + 1
    _, metrics = train_step(devices.replicate(state), devices.shard(batch))
    means = {name: float(s / n) for name, (s, n) in jax.device_get(metrics).items() if n}
    print_table(f"step {step}", ("figure", "value"), [(k, f"{v:.7g}") for k, v in means.items()])
    return means
