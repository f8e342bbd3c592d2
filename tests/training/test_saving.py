"""Checkpoints go on with any number of devices and processes, and survive a full disk."""

import json
import os
import pathlib
import socket
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import fill_disk, small_disk
from forked import Program

from danceflax.errors import UserError
from danceflax.training import devices, digests
from danceflax.training.saving import Saver, resume
from danceflax.training.step import create_state

DESCRIPTION = {"model": {"name": "toy"}, "training": {"lr": 0.1, "groups": {"a": {"lr": 1}}}}


def make_state(step=0, seed=None, size=1000):
    rng = np.random.default_rng(seed)
    draw = np.zeros if seed is None else rng.standard_normal
    params = {"dense": {"kernel": draw((size, 10)).astype(np.float32)}}
    state = create_state({"params": params}, optax.adam(1e-3), average=True)
    return state.replace(step=jnp.int32(step))


def save_and_restore(folder, name, *others):
    """Restores the trainings `others`, compares every array, and saves one as `name`."""
    expected = jax.tree.map(np.asarray, make_state(5, seed=0))
    for other in others:
        _, state = resume(pathlib.Path(folder, other), make_state(), DESCRIPTION)
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), expected)
        leaf = state.params["dense"]["kernel"]
        assert len(leaf.sharding.device_set) == jax.local_device_count()
    with Saver(pathlib.Path(folder, name), DESCRIPTION) as saver:
        saver.save(devices.replicate(make_state(5, seed=0)))


def start(folder, num_devices, *names, process=None):
    code = (
        "import sys; from danceflax.training import devices; devices.join_processes()\n"
        "import test_saving; test_saving.save_and_restore(*sys.argv[1:])\n"
    )
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(num_devices)}
    here = pathlib.Path(__file__).parent
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (here, here.parent, here.parents[1])))
    if process:
        keys = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
        environment |= dict(zip(keys, process, strict=True))
    return Program("-c", code, folder, *names, env=environment)


def end(*processes):
    """Waits for processes, which must succeed."""
    for process in processes:
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors


def test_any_number_of_devices_and_processes_goes_on(tmp_path):
    save_and_restore(tmp_path, "one")
    end(start(tmp_path, 4, "four", "one"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    two = start(tmp_path, 2, "two", "one", "four")
    pair = [start(tmp_path, 2, "pair", "one", "four", process=(address, "2", i)) for i in "01"]
    end(two, *pair)
    end(start(tmp_path, 4, "again", "two", "pair"))
    save_and_restore(tmp_path, "end", "four", "two", "pair")


def test_devices_that_are_absent_here_do_not_matter(tmp_path):
    """A checkpoint that says it was saved on eight devices, or on a GPU."""
    mesh = {"sharding_type": "NamedSharding", "shape": [8], "axis_names": ["batch"]} | {
        "axis_types": ["AxisType.Auto"], "partition_spec": [],
        "device_mesh": {"mesh": [{"id": 1000 + k} for k in range(8)]},
    }  # fmt: skip
    gpu = {"sharding_type": "SingleDeviceSharding", "device_str": "cuda:0"}
    expected = jax.tree.map(np.asarray, make_state(5, seed=0))
    with Saver(tmp_path, DESCRIPTION) as saver:
        saver.save(devices.replicate(expected))
    step = saver.folder / "5"
    for sharding in (mesh, gpu):
        for file in step.glob("*/_sharding"):
            keys = json.loads(file.read_text())
            file.write_text(json.dumps(dict.fromkeys(keys, json.dumps(sharding))))
        digests.write_digests(step)
        _, state = resume(tmp_path, make_state(), DESCRIPTION)
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), expected)


def test_other_settings_are_allowed_and_printed(tmp_path, capfd):
    with Saver(tmp_path, DESCRIPTION) as saver:
        saver.save(make_state(5))
    other = DESCRIPTION | {"training": {"lr": 0.1, "groups": {"a": {"lr": 2}}, "seed": 1}}
    capfd.readouterr()
    Saver(tmp_path, other).restore(make_state())
    lines = capfd.readouterr().out.splitlines()
    assert lines == [
        "resuming with another config.groups.a.lr: 2, was 1",
        "resuming with another config.seed: 1, was None",
    ]
    for state in (make_state(size=999), create_state(make_state().variables, optax.sgd(1.0))):
        with pytest.raises(UserError, match="does not fit this config's optimizer or network: for"):
            Saver(tmp_path, DESCRIPTION).restore(state)


MALFORMED = {
    "config/metadata": ["[]", "[" * 10**5, '{"model": {"name": "toy"}, "training": [1]}'],
    "model/_METADATA": ['{"tree_metadata": {}}', "[["],
    "training/_METADATA": ["", '{"tree_metadata": 3}'],
    "metrics/metrics": ['"x', '[{"score": 1}]'],
}


def test_files_that_are_whole_and_no_checkpoint_are_a_line(tmp_path):
    """With digests that fit: not damaged, but made or edited by others."""
    with Saver(tmp_path, DESCRIPTION) as saver:
        saver.save(make_state(5))
    step = saver.folder / "5"
    for file, texts in MALFORMED.items():
        before = (step / file).read_bytes()
        for text in texts:
            (step / file).write_text(text)
            digests.write_digests(step)
            try:
                resume(tmp_path, make_state(), DESCRIPTION)
            except UserError as error:
                assert "whole, but no checkpoint of a training (" in str(error)
                assert "\n" not in str(error) and len(str(error)) < 600
            else:
                assert file == "metrics/metrics"  # without figures a step is no best one
        (step / file).write_bytes(before)
    digests.write_digests(step)
    assert int(resume(tmp_path, make_state(), DESCRIPTION)[1].step) == 5


def test_a_full_disk_is_survived(tmp_path, capfd):
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        workdir = disk / "run"
        saver = Saver(workdir, DESCRIPTION, patience=2)
        state = [make_state(step, seed=step, size=10_000) for step in range(9)]
        saver.save(state[1])
        saver._settle()
        filler = fill_disk(disk)
        for step in (2, 3):
            saver.save(state[step])
        saver._settle()
        said = capfd.readouterr().err.splitlines()
        assert said == [
            f"the checkpoint of step {step} cannot be written: No space left on device; the last "
            "whole one is 1; the next is tried as usual"
            for step in (2, 3)
        ]
        filler.unlink()
        saver.save(state[4])
        saver.close()
        assert digests.list_steps(saver.folder) == [4, 1]
        assert digests.find_damage(saver.folder / "4") is None
        assert {path.name for path in saver.folder.iterdir()} == {"1", "4"}


def test_a_disk_that_stays_full_ends_the_run(tmp_path):
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        saver = Saver(disk / "run", DESCRIPTION, patience=1)
        states = [make_state(step, seed=step, size=50_000) for step in range(4)]
        saver.save(states[1])
        saver.save(states[2])
        with pytest.raises(UserError, match=r"step 2 cannot be .*no earlier one; 2 in a row"):
            saver.save(states[3])
        with pytest.raises(UserError, match="the last checkpoint could not be written"):
            saver.close()


def test_a_workdir_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written: (Not a directory|File exists)"):
        Saver(tmp_path / "file", DESCRIPTION)
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(UserError, match="cannot be written: Read-only file system"):
            Saver(disk / "run", DESCRIPTION)
