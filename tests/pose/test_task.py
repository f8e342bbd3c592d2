"""Pose trainings of a few steps: several sets, batch norm, one-cycle; PAFs alone."""

import json

import numpy as np
import pytest
from conftest import call, make_root

import danceflax
from configs import openpose_body25
from configs.openpose_base import add_set
from danceflax.errors import UserError
from danceflax.pose.task import make_task
from danceflax.training.train import train


@pytest.fixture
def config(tmp_path, no_transfers):
    for name, dance in (("a", "tango"), ("b", "waltz")):
        make_root(tmp_path / name, 6, size=(48, 64), dance=dance)
    config = openpose_body25.get_config("demo")
    config.model.width, config.steps, config.batch_size = 0.03, 4, 2
    config.data.root, config.data.threads, config.data.val_split = str(tmp_path / "a"), 0, "train"
    config.augment.size = config.eval.size = (48, 48)
    config.eval.limit, config.eval.batch_size, config.eval.pictures = 2, 2, 0
    config.log_every, config.eval_every, config.save_every = 1, 4, 4
    return config


def lines(workdir, split):
    read = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [line for line in read if line["split"] == split]


def test_two_sets_train_a_network_with_batch_norm(config, tmp_path, compilations):
    add_set(config, "ours", 0.5)
    add_set(config, "theirs", 0.5, root=str(tmp_path / "b"))
    config.model.batch_norm, config.eval.score = True, "theirs/PCK"
    for group in config.optimizer.groups.values():
        group.schedule, group.warmup_steps, group.rise = "one_cycle", 0, 0.5
    config.eval_every, config.eval.limit = 2, 3  # a ragged last batch
    train(config, tmp_path / "run", make_task)
    assert compilations[1, "train"] == compilations[2, "train"] > 0
    assert compilations[2, "val"] == compilations[4, "val"]
    found = lines(tmp_path / "run", "val")[-1]
    assert {"ours/AP", "ours/loss", "theirs/PCK", "theirs/loss"} <= set(found)
    rates = [line["lr/paf"] for line in lines(tmp_path / "run", "train")]
    assert rates[1] == max(rates) > 10 * rates[-1]
    _, variables, saved = danceflax.load_checkpoint(tmp_path / "run")
    mean = variables["batch_stats"]["paf_stage0"]["block1"]["bn0"]["mean"]
    assert np.abs(mean).max() > 0  # the running statistics were updated, and saved
    assert saved["model"]["options"]["batch_norm"]
    output = tmp_path / "theirs.json"
    words = f"--checkpoint={tmp_path / 'run'}", "--size=48,48", "--limit=3"
    status, _, error = call("evaluate.py", *words, "--set=theirs", f"--output={output}")
    assert status == 0, error
    figures = json.loads(output.read_text())["metrics"]
    assert figures["PCK"] == pytest.approx(found["theirs/PCK"], abs=1e-6)
    assert figures["loss"] == pytest.approx(found["theirs/loss"], rel=1e-5)
    status, _, error = call("evaluate.py", *words, "--set=nobody's")
    assert status == 2 and error.endswith("was trained on the sets ours, theirs\n")


def test_a_frozen_group_keeps_the_statistics_of_its_batch_norm(config, tmp_path):
    config.model.batch_norm, config.init_allow_missing = True, ".*"
    config.optimizer.groups.paf.train = False
    train(config, tmp_path / "run", make_task)
    _, variables, _ = danceflax.load_checkpoint(tmp_path / "run")
    means = {
        stage: np.abs(blocks["block1"]["bn0"]["mean"]).max()
        for stage, blocks in variables["batch_stats"].items()
    }
    assert means["paf_stage0"] == 0 < means["heatmap_stage0"]


def test_a_network_of_pafs_alone_is_validated_by_its_loss(config, tmp_path):
    config.model.heatmap_stages = 0
    train(config, tmp_path / "run", make_task)
    (found,) = lines(tmp_path / "run", "val")
    assert found["score"] == -found["loss"] < 0
    assert "heatmap_stage0" not in lines(tmp_path / "run", "train")[0]


def test_a_score_that_is_none_is_answered(config, tmp_path):
    add_set(config, "ours", 1.0)
    config.eval.score = "PCK"
    with pytest.raises(
        UserError, match="score='PCK' is of none of the sets ours; for example ours/AP"
    ):
        make_task(config)
    with pytest.raises(ValueError, match="two sets called 'ours'"):
        add_set(config, "ours", 1.0)
