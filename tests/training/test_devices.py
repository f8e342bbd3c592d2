"""The same step under `jax.pmap` and `jax.shard_map`: the day pmap goes, one file changes."""

import os
import pathlib
import subprocess
import sys

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
    done = subprocess.run(
        [sys.executable, "-c", COMPARE], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
