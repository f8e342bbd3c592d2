"""Damage to checkpoints is noticed, whatever it is, and never stands in the way."""

import os
import pathlib
import random
import re
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from danceflax.errors import UserError
from danceflax.training import checkpoints, digests
from danceflax.training.saving import Saver
from danceflax.training.step import create_state

DESCRIPTION = {
    "model": {"name": "toy", "options": {}},
    "normalisation": {"mean": [0.0] * 3, "std": [1.0] * 3},
}


def make_state(step):
    params = {"dense": {"kernel": np.full((40, 50), step, np.float32)}}
    return create_state({"params": params}, optax.adam(1e-3)).replace(step=jnp.int32(step))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trained")
    with Saver(workdir, DESCRIPTION) as saver:
        for step in (1, 2, 3):
            saver.save(make_state(step))
    return workdir


@pytest.fixture
def workdir(trained, tmp_path):
    return pathlib.Path(shutil.copytree(trained, tmp_path / "run"))


def restored_step(workdir):
    restored = Saver(workdir, DESCRIPTION).restore(make_state(0))
    assert (restored.params["dense"]["kernel"] == int(restored.step)).all()
    return int(restored.step)


def replace_by_pipe(step):
    file = next(step.glob("training/d/*"))
    file.unlink()
    os.mkfifo(file)


def empty(step):
    shutil.rmtree(step)
    step.mkdir()


def truncate(step):
    os.truncate(next(step.glob("model/d/*")), 100)


def lose(step):
    next(step.glob("training/d/*")).unlink()


def lose_digests(step):
    (step / digests.NAME).unlink()


def garble_digests(step):
    (step / digests.NAME).write_bytes(b"\xff\x00")


def name_at_length(step):
    (step / digests.NAME).write_text(f"{'0' * 64}  {'a' * 10**5}\n")


DAMAGES = {
    name_at_length: "a{200}",
    empty: "it is empty",
    truncate: "model/d/.* is damaged",
    replace_by_pipe: "training/d/.* cannot be read: not a file",
    lose: "training/d/.* is missing",
    lose_digests: "it has no SHA256SUMS",
    garble_digests: "it has no SHA256SUMS",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_it_used(damage, workdir, capfd):
    damage(workdir / "checkpoints" / "3")
    assert restored_step(workdir) == 2
    said = capfd.readouterr().err
    assert re.match(f"checkpoint 3 is damaged: {DAMAGES[damage]}.*; it lies in ", said)
    assert said.count("\n") == 1 and len(said) < 700
    assert (workdir / "damaged" / "3").is_dir()
    assert digests.list_steps(workdir / "checkpoints") == [2, 1]
    # The same step can be written again, and be damaged again.
    with Saver(workdir, DESCRIPTION) as saver:
        saver.save(make_state(3))
    damage(workdir / "checkpoints" / "3")
    assert restored_step(workdir) == 2
    assert (workdir / "damaged" / "3.2").is_dir()


def test_every_flipped_bit_is_found(workdir):
    step = workdir / "checkpoints" / "3"
    rng = random.Random(0)
    files = [step / line.split("  ")[1] for line in (step / digests.NAME).read_text().splitlines()]
    assert {"model", "training", "config", "metrics"} <= {
        f.relative_to(step).parts[0] for f in files
    }
    for file in files:
        whole = file.read_bytes()
        for _ in range(3):
            data = bytearray(whole)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            file.write_bytes(data)
            assert digests.find_damage(step) == f"{file.relative_to(step)} is damaged"
            with pytest.raises(UserError, match="is damaged"):
                checkpoints.load_model(step)
        file.write_bytes(whole)
    assert digests.find_damage(step) is None


def test_what_orbax_notes_after_the_digests_matters_to_nothing(workdir):
    step = workdir / "checkpoints" / "3"
    for file in (step / "_CHECKPOINT_METADATA", step / "commit_success.txt"):
        file.write_bytes(b"\xff not JSON")
        assert restored_step(workdir) == 3
        file.unlink()
        assert restored_step(workdir) == 3


def test_nothing_whole_is_said_and_nothing_moved(workdir):
    for step in (1, 2, 3):
        truncate(workdir / "checkpoints" / str(step))
    with pytest.raises(UserError, match=r"no checkpoint is whole \(3: model.*; 2: .*; 1: "):
        Saver(workdir, DESCRIPTION)
    assert digests.list_steps(workdir / "checkpoints") == [3, 2, 1]


def test_what_is_not_named_as_a_step_is_none(workdir):
    for name in ("0009", "9x", "9" * 19):
        shutil.copytree(workdir / "checkpoints" / "3", workdir / "checkpoints" / name)
    assert restored_step(workdir) == 3


def test_what_a_kill_left_is_removed(workdir):
    half = workdir / "checkpoints" / "4.orbax-checkpoint-tmp"
    shutil.copytree(workdir / "checkpoints" / "3", half)
    assert restored_step(workdir) == 3
    assert not half.exists()


def test_the_command_verifies_and_sha256sum_agrees(workdir):
    def run(*words):
        command = [sys.executable, "-m", "danceflax.training.digests", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True)

    done = run(workdir)
    assert done.returncode == 0 and done.stdout.count(": whole\n") == 3
    step = workdir / "checkpoints" / "2"
    check = ["sha256sum", "--check", "--quiet", digests.NAME]
    if shutil.which("sha256sum"):
        assert subprocess.run(check, cwd=step).returncode == 0
    truncate(step)
    done = run(workdir)
    assert done.returncode == 1 and done.stdout.count(": whole\n") == 2
    assert run(workdir / "nowhere").stderr.startswith("error: ")


def test_a_converted_model_has_digests_too(tmp_path):
    checkpoints.save_model(tmp_path / "a", {"params": {"x": np.ones(9)}}, DESCRIPTION)
    assert digests.find_damage(tmp_path / "a") is None
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    truncate(tmp_path / "a")
    with pytest.raises(UserError, match="is damaged: model/d/"):
        checkpoints.load_model(tmp_path / "a")


@pytest.mark.parametrize("config", ["", "[]", "{}", '{"model": 3}', "[" * 9999, "\x00"])
def test_a_strange_config_is_one_line(config, tmp_path):
    for name in ("model", "config"):
        (tmp_path / name).mkdir()
    (tmp_path / "config" / "metadata").write_text(config)
    with pytest.raises(UserError, match="expected JSON with model"):
        checkpoints.load_model(tmp_path)
