"""Devices: the only file that knows how many there are.

A step is written for one shard of the batch and mapped over this process's devices with `jax.pmap`.
State has no device axis: it is replicated once, before the first step, and stays so.
"""

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Shaped

from danceflax.errors import UserError
from danceflax.training.lost import watch_runtime
from danceflax.training.step import AXIS

COMPILED = "/jax/core/compile/backend_compile_duration"  # what JAX calls the end of a compilation
LONG = 1.0  # seconds of one that leaves much


def join_processes(lost_after: int = 100) -> None:
    """Joins the other processes of a run, where the environment says that there are any.

    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID say it outright; Slurm and TPU
    pods are detected by JAX. To be called before anything touches a device.

    Args:
      lost_after: seconds without a sign of one of them until the others end.

    Raises:
      UserError: the coordinator's address comes without the other two.
    """
    environment = os.environ
    if address := environment.get("JAX_COORDINATOR_ADDRESS"):
        try:
            count, index = (
                int(environment[name]) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
            )
        except (KeyError, ValueError):
            raise UserError(
                "JAX_COORDINATOR_ADDRESS is set: set JAX_NUM_PROCESSES and JAX_PROCESS_ID, "
                "whole numbers, as well"
            ) from None
        _initialize(lost_after, address, count, index)
    elif int(environment.get("SLURM_NTASKS", 1)) > 1 or "," in environment.get(
        "TPU_WORKER_HOSTNAMES", ""
    ):
        _initialize(lost_after)


def _initialize(lost_after, *where):
    watch_runtime()
    jax.config.update("jax_enable_preemption_service", False)  # signals are ours to handle
    jax.distributed.initialize(*where, heartbeat_timeout_seconds=lost_after)


@functools.cache
def give_memory_back() -> None:
    """From now on a long compilation ends with its memory given back to the system, hundreds of
    megabytes that would be kept as free, beside what a step takes (glibc alone)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None

    def listen(event, seconds, **_):
        if event == COMPILED and seconds > LONG:
            trim(0)

    if trim:
        jax.monitoring.register_event_duration_secs_listener(listen)


def map_step(step: Callable) -> Callable:
    """Maps a training step over the devices. It eats (donates) the state it is given."""
    give_memory_back()
    return jax.pmap(
        step, axis_name=AXIS, in_axes=(None, 0), out_axes=(None, None), donate_argnums=0
    )


def map_inference(function: Callable) -> Callable:
    """Maps function(variables, batch) over the devices; results keep the batch axis, in order."""
    mapped = jax.pmap(function, axis_name=AXIS, in_axes=(None, 0))

    def run(variables: Any, batch: Any) -> Any:
        return gather(mapped(variables, shard(batch)))

    return run


def gather(result: Any) -> Any:
    """Waits for [devices, B / devices, ...] arrays: [B, ...] on the host."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.device_get(result))


def shard(batch: Any) -> Any:
    """[B, ...] arrays of this process to [devices, B / devices, ...], each part on its device."""
    devices = jax.local_device_count()
    parts = jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:]), batch)
    return jax.device_put(parts, _local_sharding(PartitionSpec(AXIS)))


def replicate(tree: Any) -> Any:
    """Puts a tree on every local device, as a mapped step wants its state from the first on."""
    return jax.device_put(tree, _local_sharding(PartitionSpec()))


def _local_sharding(spec):
    return NamedSharding(Mesh(np.array(jax.local_devices()), (AXIS,)), spec)


def ask_first(function: Callable[[], int | None]) -> int | None:
    """function() -> a whole number or None, called in the first process and told to the others.

    Raises:
      UserError: it does; in all of them.
    """
    if jax.process_count() == 1:
        return function()
    failure, code = None, 0
    if jax.process_index() == 0:
        try:
            code = -1 if (number := function()) is None else number
        except UserError as error:
            failure, code = error, -2
    code = int(multihost_utils.broadcast_one_to_all(np.int64(code)))
    if code == -2:
        raise failure or UserError("the first process says what is wrong")
    return None if code == -1 else code


def gather_from_processes(
    array: Shaped[Array | np.ndarray, "n ..."],
) -> Shaped[np.ndarray, "N ..."]:
    """Concatenates arrays of equal shape from every process along the first axis."""
    if jax.process_count() == 1:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def check_batch_size(
    batch_size: int, accumulate: int = 1, where: str = "config.batch_size"
) -> None:
    """Raises UserError unless every device gets an equal whole part, `accumulate` times over."""
    parts = jax.device_count() * accumulate
    if batch_size % parts:
        per = f" x {accumulate} accumulation parts" if accumulate > 1 else ""
        raise UserError(
            f"{where}={batch_size} is not divisible by {jax.device_count()} devices{per}; "
            f"use {parts * max(1, round(batch_size / parts))}"
        )
