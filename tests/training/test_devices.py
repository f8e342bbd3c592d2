"""The same step under `jax.pmap` and `jax.shard_map`: the day pmap goes, one file changes. And the
same evaluation, however many devices and processes share it."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from forked import Program

from danceflax.dance import evaluate as dance
from danceflax.data.loader import make_loader
from danceflax.errors import BadSampleError
from danceflax.pose import evaluate as pose
from danceflax.skeleton import COCO18
from danceflax.training import devices

COMPARE = """
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import test_step
from danceflax.training import devices, optimizers
from danceflax.training.step import AXIS, create_state, make_train_step

assert jax.device_count() == 4
groups = test_step.groups()
labels = optimizers.label_parameters(test_step.params(), groups)
optimizer, _ = optimizers.make_optimizer({"groups": groups, "clip_norm": 1.0}, labels, 3)
trained = optimizers.trained_parameters(labels, groups)
step = make_train_step(test_step.loss_fn, optimizer, trained, average_decay=0.9)
mesh = Mesh(np.array(jax.devices()), (AXIS,))
sharded = jax.jit(
    jax.shard_map(step, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=(P(), P()), check_vma=False)
)
mapped, batch = devices.map_step(step), test_step.batch(16)
fresh = lambda: create_state({"params": test_step.params()}, optimizer, average=True)
one, two = devices.replicate(fresh()), jax.device_put(fresh(), NamedSharding(mesh, P()))
for _ in range(3):
    one, first = mapped(one, devices.shard(batch))
    two, second = sharded(two, batch)
equal = lambda a, b: np.testing.assert_array_equal(np.ravel(a), np.ravel(b))
jax.tree.map(equal, one, two)
jax.tree.map(equal, first, second)
"""


def test_shard_map_runs_the_same_step():
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu"}
    folder = pathlib.Path(__file__).parent
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (folder, folder.parents[1])))
    done = Program("-c", COMPARE, env=environment)
    _, errors = done.communicate()
    assert done.returncode == 0, errors


class Samples:
    """Clips or images that are numbers; the third cannot be read."""

    def __init__(self, count):
        self._count = count

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        if index == 2:
            raise BadSampleError("no sample")
        return {"number": index, "name": str(index)}


def make_clip(record):
    x = np.random.default_rng(record["number"]).standard_normal((1, 4), np.float32)
    return {"x": x, "label": np.int32(record["number"] % 4), "weight": np.float32(1)}


def make_image(record):
    rng = np.random.default_rng(record["number"])
    people = np.full((2, COCO18.num_joints, 3), 2, np.float32)
    people[..., :2] = rng.uniform(0, 40, people[..., :2].shape)
    return {
        "image": np.zeros((8, 8, 3), np.uint8), "mask": np.full((1, 1), 255, np.uint8),
        "people": people, "found": people + rng.uniform(0, 9, people.shape).astype(np.float32),
        "to_image": np.eye(2, 3, dtype=np.float32), "id": np.int64(record["number"]),
        "labelled": np.ones(COCO18.num_joints, bool), "weight": np.float32(1),
    }  # fmt: skip


def find_people(variables, batch):
    weight = batch["weight"]
    scores = jnp.tile(jnp.array([0.9, 0.8]), (len(weight), 1))
    loss = jnp.sum(weight * batch["found"][:, 0, 0, 0])
    return {"people": batch["found"], "scores": scores, "loss": loss, "count": jnp.sum(weight)}


def evaluate_both(count):
    """The figures of both sides over so many samples, and whose samples were counted."""
    devices.join_processes()

    def read(transform):
        share = dict(process_index=jax.process_index(), process_count=jax.process_count())
        return make_loader(
            Samples(count), transform, 4, training=False, max_bad_fraction=1.0, **share
        )

    classify = devices.map_inference(lambda _, batch: jnp.exp(batch["x"][:, 0]))
    gather = devices.gather_from_processes
    clips, answers = dance.evaluate_batches(classify, {}, read(make_clip), gather)
    step = devices.map_inference(find_people)
    found = pose.evaluate_batches(step, {}, read(make_image), COCO18, gather=gather)
    images = [image.index for image in found.images]
    return {"clips": clips, "images": found.metrics, "counted": [answers.indices.tolist(), images]}


def test_an_evaluation_counts_nothing_twice():
    """Nine samples in batches of four, on two processes of two devices: of the last batch there is
    one sample, and all that the second process has of it is padding."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder = pathlib.Path(__file__).parent
    code = "import json, test_devices; print(json.dumps(test_devices.evaluate_both(9)))"
    pair = []
    for index in "01":
        environment = os.environ | {
            "JAX_NUM_CPU_DEVICES": "2", "JAX_COORDINATOR_ADDRESS": address, "JAX_PROCESS_ID": index,
            "JAX_NUM_PROCESSES": "2", "PYTHONPATH": f"{folder}{os.pathsep}{folder.parents[1]}",
        }  # fmt: skip
        pair.append(Program("-c", code, env=environment))
    found = [json.loads(process.communicate(timeout=90)[0].splitlines()[-1]) for process in pair]
    expected = evaluate_both(9)
    assert expected["counted"] == [[0, 1, *range(3, 9)]] * 2
    for figures in found:
        assert figures["counted"] == expected["counted"]
        for kind in ("clips", "images"):
            assert figures[kind] == pytest.approx(expected[kind], rel=1e-6, nan_ok=True)


def test_a_long_compilation_ends_with_its_memory_given_back():
    """A quarter of a gigabyte in small blocks, freed but for the last, which holds the heap up."""
    program = """
import ctypes, pathlib, jax
from danceflax.training import devices

def held():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
events = []
jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: events.append(event))
jax.jit(lambda x: x + 1)(1)
assert devices.COMPILED in events
devices.give_memory_back()
blocks = [libc.malloc(1 << 16) for _ in range(1 << 12)]
for block in blocks:
    ctypes.memset(block, 1, 1 << 16)
for block in blocks[:-1]:
    libc.free(block)
print(held())
for seconds in (0.5, 2.0):
    jax.monitoring.record_event_duration_secs(devices.COMPILED, seconds)
    print(held())
"""
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before, short, long = map(int, said.split())
    assert before - short < 5e7 and before - long > 2e8
