"""Weak scaling of a training step over virtual devices and over two processes of this machine: what
summing the gradients costs, for the cores stay the same.

    python benchmarks/bench_scaling.py [--rounds 7]

The demo's network, 4 images a device; beside it one device that takes all the images, and the sum
of the gradients alone. Each is a process of its own, or two.
"""

import atexit
import concurrent.futures
import os
import socket
import sys

from harness import Child, compare, run_figure

EACH = 4  # images a device


def make_run(work: str, images: int):
    """run() of a training step, or of the sum of its gradients over the devices."""
    import jax
    import numpy as np
    from bench_memory import pose_parts

    from configs import openpose_body25
    from danceflax.training import devices, optimizers
    from danceflax.training.step import create_state, make_train_step

    variables, groups, loss, shapes = pose_parts(openpose_body25.get_config("demo"))
    labels = optimizers.label_parameters(variables["params"], groups)
    optimizer, _ = optimizers.make_optimizer({"groups": groups, "clip_norm": 0.0}, labels, 100)
    trained = optimizers.trained_parameters(labels, groups)
    if work == "sum":
        count = jax.local_device_count()
        add = jax.pmap(lambda x: jax.lax.psum(x, devices.AXIS), axis_name=devices.AXIS)
        given = jax.tree.map(lambda x: np.repeat(x[None], count, 0), variables["params"])
        given = devices.shard(given)
        return lambda: jax.block_until_ready(add(given))
    step = devices.map_step(make_train_step(loss, optimizer, trained))
    own = images // jax.process_count()
    batch = {name: np.ones((own, *x.shape[1:]), x.dtype) for name, x in shapes.items()}
    state = [devices.replicate(create_state(variables, optimizer))]

    def run():
        state[0], told = step(state[0], devices.shard(batch))
        jax.block_until_ready(told)

    return run


def make_pair(work: str, images: int):
    """run() of two processes with a device each: this one is the first."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    os.environ |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    os.environ["JAX_PROCESS_ID"] = "1"
    other = Child(sys.executable, code("join", work, images))
    os.environ["JAX_PROCESS_ID"] = "0"
    run, pool = join(work, images), concurrent.futures.ThreadPoolExecutor(1)
    atexit.register(other.close, wait=False)  # before JAX's own end, where each waits for the other

    def both():
        answer = pool.submit(other)
        run()
        answer.result()

    return both


def join(work: str, images: int):
    """`make_run` in one of two processes."""
    from danceflax.training import devices

    devices.join_processes()
    return make_run(work, images)


def code(maker: str, work: str, images: int, count: int = 1) -> str:
    """What a contestant's process runs."""
    return f"""
import os, sys
os.environ |= {{"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "{count}"}}
sys.path[:0] = {sys.path!r}
import bench_scaling
run = bench_scaling.{maker}({work!r}, {images})
"""


def measure(rounds: int) -> list:
    rows = []
    for about, maker, count, images in (
        ("2 devices", "make_run", 2, 2 * EACH),
        ("4 devices", "make_run", 4, 4 * EACH),
        ("2 processes", "make_pair", 1, 2 * EACH),
    ):
        made = {
            "ours": code(maker, "step", images, count),
            "one device": code("make_run", "step", images),
            "the gradients' sum alone": code(maker, "sum", images, count),
        }
        children = {name: Child(sys.executable, text) for name, text in made.items()}
        title = f"the demo's step of {images} images on {about}"
        peers = {name: child for name, child in children.items() if name != "ours"}
        rows += compare(title, children["ours"], peers, rounds)
        for child in children.values():
            child.close()
    return rows


if __name__ == "__main__":
    run_figure(measure, __doc__)
