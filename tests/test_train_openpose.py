"""The pose command lines end to end, as a user runs them: the demo's config made tiny."""

import json
import os
import signal
import socket
import time

import cv2
import jax
import numpy as np
import pytest
from conftest import ROOT, call
from forked import Program

import danceflax
from danceflax.io.images import read_image
from danceflax.io.videos import VideoWriter, read_video
from danceflax.prepare.synthetic.dataset import write_dataset
from danceflax.training import checkpoints

STEPS = 8


def train_words(root, workdir, *more):
    tiny = dict(
        steps=STEPS, batch_size=2, log_every=2, eval_every=0, save_every=2, **{
            "data.root": root, "model.width": 0.1, "model.paf_stages": 1,
            "model.heatmap_stages": 1, "augment.size": "64,64", "eval.size": "64,64",
            "eval.limit": 4, "eval.batch_size": 2, "eval.pictures": 2,
        },
    )  # fmt: skip
    return [
        "--config=configs/openpose_body25.py:demo",
        f"--workdir={workdir}",
        *(f"--config.{key}={value}" for key, value in tiny.items()),
        *more,
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    clips = {"train": 1, "val": 1, "test": 1}
    return write_dataset(
        tmp_path_factory.mktemp("data") / "tiny",
        clips_per_dance=clips,
        frames_per_clip=2,
        size=(96, 96),
        workers=1,
    )


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "a"
    status, out, err = call("train_openpose.py", *train_words(root, workdir))
    assert status == 0, err
    return workdir, out


def test_training_reports_and_saves(trained):
    workdir, out = trained
    assert "parameter groups" in out and f"step {STEPS}/{STEPS}" in out
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["split"] == "train"]
    assert steps == [2, 4, 6, 8]
    assert {"loss", "paf_stage0", "heatmap_stage0", "lr/paf", "grad_norm"} <= set(lines[0])
    assert {"AP", "AP50", "coco17/AP", "PCK", "loss"} <= set(lines[-1])
    assert lines[0]["loss"] > lines[-2]["loss"] > 0
    assert list((workdir / "tensorboard").iterdir())
    assert cv2.imread(str(workdir / "curves.png")).shape[1] > 600
    assert {path.name for path in (workdir / "checkpoints").iterdir()} == {"4", "6", "8"}


def test_killed_and_resumed_is_bit_for_bit_the_same(root, trained, tmp_path):
    words = train_words(root, tmp_path / "b")
    # The process is killed outright as soon as its first checkpoint is whole.
    with Program(ROOT / "train_openpose.py", *words) as process:
        deadline = time.monotonic() + 240
        while not (tmp_path / "b" / "checkpoints" / "2").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        process.kill()
    status, out, err = call("train_openpose.py", *words)
    assert status == 0, err
    assert "resuming" in out
    (one, _), (two, _) = (checkpoints.load_model(path) for path in (trained[0], tmp_path / "b"))
    for kernel in ("paf_stage0", "heatmap_stage0"):
        a, b = (x["params"][kernel]["output"]["kernel"] for x in (one, two))
        np.testing.assert_array_equal(a, b)
    steps = [json.loads(line) for line in (tmp_path / "b/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in steps if line["split"] == "train"] == [2, 4, 6, 8]


def test_two_processes_train_like_one(root, trained, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = train_words(root, tmp_path / "d")
    processes = []
    for index in range(2):
        environment = os.environ | {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": "2",
            "JAX_PROCESS_ID": str(index),
        }
        processes.append(Program(ROOT / "train_openpose.py", *words, env=environment))
    outputs = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    printed = ["parameter groups" in output for output, _ in outputs]
    assert printed == [True, False]
    one, two = (checkpoints.load_model(path)[0] for path in (trained[0], tmp_path / "d"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), one, two)
    figures = [
        json.loads((path / "metrics.jsonl").read_text().splitlines()[-1])
        for path in (trained[0], tmp_path / "d")
    ]
    np.testing.assert_allclose(figures[0]["loss"], figures[1]["loss"], rtol=1e-3)


def test_sigterm_saves_and_says_how_to_go_on(root, tmp_path):
    words = train_words(root, tmp_path / "c", "--config.steps=100000", "--config.log_every=1")
    with Program(ROOT / "train_openpose.py", *words) as process:
        for line in process.stdout:
            if line.startswith("step 3/"):
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stdout.read()
        assert process.wait(60) == 143
    assert "stopped by SIGTERM" in rest and "the same command goes on" in rest
    assert [p.name for p in (tmp_path / "c" / "checkpoints").iterdir() if p.name.isdigit()]


def test_evaluate_prints_and_writes(root, trained, tmp_path):
    output, other = tmp_path / "figures.json", tmp_path / "other"
    variables, config = checkpoints.load_model(trained[0])
    config.pop("training")  # as of converted weights, which know no data set
    checkpoints.save_model(other, variables, config)
    words = (f"--checkpoint={trained[0]}", "--split=test", f"--output={output}", "--limit=4")
    words += ("--flip", "--scales=0.75,1", f"--report={tmp_path}/a.html", f"--compare={other}")
    status, out, err = call("evaluate.py", *words)
    assert status == 0, err
    assert "AP50" in out and "PCK" in out
    figures = json.loads(output.read_text())
    assert figures["settings"]["images"] == 4 and figures["settings"]["flip"]
    assert 0 <= figures["metrics"]["AP"] <= 1
    page = (tmp_path / "a.html").read_text()
    assert f"<td>PCK</td><td>{figures['metrics']['PCK']:.3f}" in page
    assert "0 of 8 videos or groups of test are in train" in page and "train loss" in page
    for flags, said in (
        ((f"--report={tmp_path}/a.pdf",), "name it FILE.html"),
        ((f"--report={tmp_path}/a.html",), "a.html: is there already"),
        (("--compare=x",), "goes with --report"),
    ):
        status, _, err = call("evaluate.py", *words[:2], f"--output={tmp_path}/b.json", *flags)
        assert status == 2 and said in err and err.count("\n") == 1


def test_predict_images_and_videos(trained, tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "in"
    folder.mkdir()
    for name, size in (("a.jpg", (90, 120)), ("b.png", (90, 122)), ("c.jpg", (120, 70))):
        cv2.imwrite(str(folder / name), rng.integers(0, 255, (*size, 3), np.uint8))
    with VideoWriter(folder / "clip.webm", 10) as video:
        for _ in range(5):
            video.write(rng.integers(0, 255, (64, 80, 3), np.uint8))
    out = tmp_path / "out"
    words = (f"--checkpoint={trained[0]}", f"--input={folder}", f"--output={out}", "--batch_size=2")
    status, _, err = call("predict.py", *words, "--coco_json")
    assert status == 0, err
    assert cv2.imread(str(out / "c.png")).shape == (120, 70, 3)
    assert len(list(read_video(out / "clip.mp4"))) == 5
    names = sorted(path.name for path in (out / "json").iterdir())
    frames = [f"clip_{i:012d}_keypoints.json" for i in range(5)]
    assert names == ["a_keypoints.json", "b_keypoints.json", "c_keypoints.json", *frames]
    written = json.loads((out / "json" / names[0]).read_text())
    assert written["version"] == 1.3
    # The same from Python.
    people, scores = danceflax.load_predictor(trained[0])(read_image(folder / "a.jpg"))
    assert len(people) == len(scores) == len(written["people"])
    for ours, theirs in zip(people, written["people"], strict=True):
        np.testing.assert_allclose(ours.ravel(), theirs["pose_keypoints_2d"], atol=1e-2)
    assert isinstance(json.loads((out / "coco_results.json").read_text()), list)
    # Images as a video, smoothed, with tables.
    words = (words[0], f"--input={folder}/[ab].*", f"--output={tmp_path / 'joined'}", "--nodraw")
    more = ("--join=5", "--smooth=savitzky_golay", "--table=csv,parquet", "--angles")
    status, _, err = call("predict.py", *words, *more)
    assert status == 0, err
    names = sorted(path.name for path in (tmp_path / "joined").iterdir())
    assert names == ["images.csv", "images.parquet", "json"]
    header = (tmp_path / "joined" / "images.csv").read_text().partition("\n")[0]
    assert header == "frame,time,person,joint,x,y,score,angle"


FAULTS = {
    "wrong key": (["--config.optimizer.groups.paf.learning_rate=1"], "optimizer.groups.paf.lr"),
    "wrong value": (["--config.steps=many"], "steps"),
    "stray word": (["stray"], "'stray' is not understood"),
    "unknown flag": (["--workdri=x"], "workdir"),
    "batch": (["--config.optimizer.accumulate=3"], "config.batch_size=2 is not divisible"),
    "root": (["--config.data.root=nowhere"], "nowhere"),
    "split": (["--config.data.train_split=trian"], "trian"),
    "source": (["--config.data.source=tape"], "'tape'"),
    "model": (["--config.model.name=openpose_mpi"], "openpose_mpi"),
    "init": (["--config.init_from=nowhere"], "nowhere does not exist"),
    "group": (["--config.optimizer.groups.paf.pattern=nose"], "matches no group"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_end_in_one_line(fault, root, tmp_path):
    more, message = FAULTS[fault]
    workdir = tmp_path / "w"
    status, _, err = call("train_openpose.py", *train_words(root, workdir, *more))
    assert status == 2, err
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert not workdir.exists()


def test_help_names_the_fields(root):
    status, out, _ = call("train_openpose.py", "--config=configs/openpose_coco.py:final", "--help")
    assert status == 0
    for words in ("--workdir", "model.stages = 6", "optimizer.groups.paf.lr = 8e-05", "pixels"):
        assert words in out
    environment = os.environ | {"COLUMNS": "80"}
    assert call("predict.py", "--help", env=environment)[0] == 0
