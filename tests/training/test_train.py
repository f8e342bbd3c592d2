"""The story of a training, told with a toy: stops, kills, data and disks that go."""

import itertools
import json
import os
import pathlib
import re
import signal
import socket
import threading
import time

import jax
import numpy as np
import pytest
import toy_task
from conftest import small_disk
from forked import Program

from danceflax.errors import UserError
from danceflax.training import checkpoints, digests, lost, replay, report, train
from danceflax.training.lock import hold

QUIET = dict(log_every=1000, eval_every=0, save_every=0)


def start(workdir, process=(), **changes):
    """The toy's training as a process of its own, or as one of several."""
    words = [f"{key.replace('__', '.')}={value!r}" for key, value in changes.items()]
    keys = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    environment = os.environ | dict(zip(keys, process, strict=False))
    return Program("tests/toy_task.py", workdir, *words, env=environment)


def run(workdir, **changes):
    config = toy_task.make_config(**{k.replace("__", "."): v for k, v in changes.items()})
    return train.train(config, workdir, toy_task.make_task)


def weights(workdir):
    return checkpoints.load_model(workdir)[0]["params"]["dense"]["kernel"]


def test_a_resumed_training_is_the_same_and_says_what_is_not(tmp_path, capfd):
    run(tmp_path / "whole", steps=20)
    run(tmp_path / "parts", steps=10, optimizer__groups__all__schedule="constant")
    capfd.readouterr()
    run(tmp_path / "parts", steps=20)
    said = capfd.readouterr().out
    assert "resuming with another config.steps: 20, was 10" in said
    assert "config.optimizer.groups.all.schedule: multistep, was constant" in said
    changes = dict(batch_size=16, seed=3, optimizer__groups__all__lr=1.0, optimizer__clip_norm=1.0)
    run(tmp_path / "parts", steps=25, **changes)
    said = capfd.readouterr().out
    for line in ("batch_size: 16, was 8", "seed: 3, was 0", "optimizer.clip_norm: 1.0, was"):
        assert f"resuming with another config.{line}" in said
    assert not np.array_equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    run(tmp_path / "parts", steps=5)
    assert "has done 25 steps, and config.steps is 5" in capfd.readouterr().out


def test_sigterm_in_an_evaluation_stops_between_its_batches(tmp_path):
    changes = dict(steps=20, eval_every=5, toy__eval_seconds=3.0)
    process = start(tmp_path, **changes)
    for line in process.stdout:
        if line.startswith("step 5/"):
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            break
    rest = process.stdout.read()
    assert process.wait(30) == 143, process.stderr.read()
    assert time.monotonic() - begun < 18  # the whole evaluation takes 21 s
    assert "stopped by SIGTERM after step 5, which is saved" in rest
    assert digests.list_steps(tmp_path / "checkpoints") == [5]


def start_two(workdir, homes=("", ""), **changes):
    """The two processes of a training, once the first has logged step 5; each with its data."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    changes |= dict(steps=10**6, log_every=5, toy__step_seconds=0.1)
    pair = [
        start(workdir, (address, "2", str(index)), toy__home=str(home), **changes)
        for index, home in enumerate(homes)
    ]
    for line in pair[0].stdout:
        if line.startswith("step 5/"):
            return pair
    raise AssertionError(pair[0].stderr.read())


def test_several_processes_bear_a_full_disk_and_stop_at_one_step(tmp_path):
    first, second = start_two(tmp_path, save_every=5)
    folder, aside = tmp_path / "checkpoints", tmp_path / "aside"
    folder.rename(aside)
    folder.touch()
    said = first.stderr.readline()
    assert said.startswith("the checkpoint of step ") and "cannot be written" in said
    folder.unlink()
    aside.rename(folder)
    second.send_signal(signal.SIGTERM)
    rest, said = first.communicate(timeout=60)
    second.communicate(timeout=60)
    assert first.returncode == second.returncode == 143, said
    number = int(re.search(r"stopped by SIGTERM after step (\d+), which is saved", rest)[1])
    assert digests.list_steps(folder)[0] == number
    assert digests.find_damage(folder / str(number)) is None


def test_whichever_process_has_lost_its_data_saves_what_it_has(tmp_path):
    homes = [tmp_path / name for name in ("data0", "data1")]
    for home in homes:
        home.mkdir()
        for index in range(toy_task.NUM_SAMPLES):
            (home / str(index)).touch()
    first, second = start_two(tmp_path / "run", homes, data__patience=0.5, save_every=0)
    homes[1].rename(tmp_path / "away")
    told = [process.communicate(timeout=60)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (lost.STATUS, 2), told
    assert told[0].splitlines() == [lost.LOST]
    number = int(re.search(r"has gone and .*the state after step (\d+) is saved", told[1])[1])
    assert digests.list_steps(tmp_path / "run" / "checkpoints") == [number]
    state = run(tmp_path / "run", steps=number + 3)
    assert int(state.step) == number + 3


def test_a_process_that_has_gone_ends_the_others_in_a_line(tmp_path):
    """Killed or stopped, the first or the second: four runs at once, for most of it is waiting."""
    cases = list(itertools.product((signal.SIGKILL, signal.SIGSTOP), (0, 1)))
    pairs = [start_two(tmp_path / f"{kind}{gone}", lost_after=10) for kind, gone in cases]
    for (kind, gone), pair in zip(cases, pairs, strict=True):
        pair[gone].send_signal(kind)
    begun = time.monotonic()
    try:
        for (_, gone), pair in zip(cases, pairs, strict=True):
            _, said = pair[1 - gone].communicate(timeout=60)
            assert time.monotonic() - begun < 10 + 8
            assert pair[1 - gone].returncode == lost.STATUS
            assert said.splitlines() == [lost.LOST]
        for (kind, gone), pair in zip(cases, pairs, strict=True):
            if kind == signal.SIGSTOP:  # it wakes, and does not stay alone
                pair[gone].send_signal(signal.SIGCONT)
                _, said = pair[gone].communicate(timeout=60)
                assert (pair[gone].returncode, said.splitlines()) == (lost.STATUS, [lost.LOST])
    finally:
        for process in itertools.chain(*pairs):
            process.kill()


def test_a_second_training_in_a_workdir_is_refused(tmp_path):
    with hold(tmp_path), pytest.raises(UserError, match="in use by process "):
        run(tmp_path)


@pytest.mark.parametrize("seconds", [0.3, 99])
def test_data_that_go_are_waited_for_and_then_the_state_is_saved(seconds, tmp_path, capfd):
    home, away = tmp_path / "data", tmp_path / "away"
    home.mkdir()
    for index in range(toy_task.NUM_SAMPLES):
        (home / str(index)).touch()
    changes = dict(QUIET, steps=60, toy__home=str(home), data__patience=1.0)
    run(tmp_path / "whole", **changes)

    def take_away():
        time.sleep(0.3)
        home.rename(away)
        time.sleep(seconds if seconds < 9 else 3)
        away.rename(home)

    thief = threading.Thread(target=take_away)
    thief.start()
    slow = changes | dict(toy__step_seconds=0.05)
    if seconds < 9:
        run(tmp_path / "run", **slow)
    else:
        with pytest.raises(UserError, match=r"has gone and .* after step \d+ is saved, and"):
            run(tmp_path / "run", **slow)
        assert max(digests.list_steps(tmp_path / "run" / "checkpoints")) < 60
    thief.join()
    run(tmp_path / "run", **changes)
    np.testing.assert_array_equal(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_too_many_bad_samples_lose_nothing(tmp_path):
    home = tmp_path / "data"
    home.mkdir()
    for index in range(toy_task.NUM_SAMPLES - 10):
        (home / str(index)).touch()
    changes = dict(QUIET, toy__home=str(home), data__threads=0, data__max_bad_fraction=0.1)
    with pytest.raises(UserError, match=r"cannot be used.*; the state after step (\d+) is saved"):
        run(tmp_path / "run", **changes)
    assert digests.list_steps(tmp_path / "run" / "checkpoints")[0] > 0


def test_a_full_disk_neither_hangs_nor_ends_a_training_before_its_last_step(tmp_path, capfd):
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        changes = dict(steps=40, log_every=1, save_every=10, eval_every=10, save_patience=9)
        with pytest.raises(UserError, match="the last checkpoint could not be written, there is"):
            run(disk / "run", toy__size=300_000, batch_size=2, **changes)
        said = capfd.readouterr()
        assert "step 40/40" in said.out
        assert said.err.count("cannot be written: No space left on device") == 4
        assert len(said.err.splitlines()) < 10
        with pytest.raises(UserError, match=r"step 20 cannot be written.*; 2 in a row"):
            run(disk / "run", toy__size=300_000, batch_size=2, **changes | {"save_patience": 1})


def test_nothing_is_compiled_or_carried_over_unasked_or_held_after_the_first_steps(
    tmp_path, compilations, no_transfers, monkeypatch
):
    held, advance = [], report.Report.advance

    def note(*args):
        held.append(len(jax.live_arrays()))
        advance(*args)

    monkeypatch.setattr(report.Report, "advance", note)
    # 50 samples make ragged batches of 8, in training and in evaluation
    run(tmp_path, steps=30, log_every=1, eval_every=5, save_every=5)
    assert len(compilations) == 36 and compilations[1, "train"] > 0
    assert set(compilations.values()) == {compilations[1, "train"]}
    assert max(held) < 2 * held[0]  # a save that is under way holds the state once more


def test_metrics_are_whole_lines(tmp_path):
    run(tmp_path, steps=10)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [5, 10, 10]


def test_a_step_that_is_not_finite_is_kept_and_can_be_repeated(tmp_path):
    changes = {
        "toy__nan_at": 7,
        "optimizer__average_decay": 0.9,
        "optimizer__groups__all__schedule": "constant",
    }
    with pytest.raises(UserError, match=r"the loss of step \d+ is nan; .*--replay=") as caught:
        run(tmp_path, **changes)
    folder = pathlib.Path(str(caught.value).rpartition("--replay=")[2])
    number = int(folder.name)
    assert str(number) in str(caught.value) and digests.find_damage(folder) is None
    # The kept state is that of a run that ends before the step.
    run(tmp_path / "before", steps=number - 1, **changes)
    np.testing.assert_array_equal(weights(folder), weights(tmp_path / "before"))
    config = toy_task.make_config(**{k.replace("__", "."): v for k, v in changes.items()})
    metrics = train.replay_step(config, folder, toy_task.make_task)
    assert np.isnan(metrics["loss"]) and np.isfinite(metrics["lr/all"])
    with np.load(folder / "batch.npz") as data:
        batch = dict(data)
    names = json.loads((folder / "names.json").read_text())
    assert np.isnan(batch["x"][names.index("7")]).all()
    (folder / "batch.npz").write_bytes(b"")
    with pytest.raises(UserError, match=r"is damaged: batch\.npz is damaged"):
        train.replay_step(config, folder, toy_task.make_task)


def test_only_so_many_steps_that_are_not_finite_are_kept(tmp_path):
    for number in range(replay.MOST):
        (tmp_path / replay.FOLDER / str(number)).mkdir(parents=True)
    with pytest.raises(
        UserError, match=r"step \d+ is nan.*holds 3 such steps, and no more are kept"
    ):
        run(tmp_path, toy__nan_at=7)
    assert len(list((tmp_path / replay.FOLDER).iterdir())) == replay.MOST
