"""predict.py on whole folders: what it must not lose, with a network that finds one person."""

import hashlib
import json
import os
import pathlib
import signal
import threading
import time

import cv2
import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from conftest import save_sequence_network, shared_data
from pycocotools.coco import COCO

from danceflax import api, cli
from danceflax.dance.sequences import predict as sequence_predict
from danceflax.io import videos
from danceflax.io.videos import VideoWriter, read_video
from danceflax.pose import predict as pose_predict
from danceflax.skeleton import COCO18
from danceflax.training import checkpoints
from danceflax.training.checkpoints import find_model, read_config
from danceflax.training.pretrained import load_checkpoint

CONFIG = {"skeleton": COCO18.to_dict(), "normalisation": {"mean": [0.0] * 3, "std": [1.0] * 3}}


@pytest.fixture
def run(predict_script, monkeypatch):
    """run(words) -> exit status."""

    def estimate(variables, images):
        people = jnp.zeros((len(images), 1, COCO18.num_joints, 3)).at[:, 0, :8].set(9.0)
        return people, jnp.ones((len(images), 1))

    monkeypatch.setattr(pose_predict, "make_estimator", lambda *_, **__: estimate)
    monkeypatch.setattr(checkpoints, "find_model", pathlib.Path)
    monkeypatch.setattr(checkpoints, "read_config", lambda _: CONFIG)
    monkeypatch.setattr(api, "load_checkpoint", lambda _: (nn.Dense(1), {}, CONFIG))

    def call(*words, size=("--height=64",)):
        with flagsaver.flagsaver():
            flags.FLAGS(["predict", "--checkpoint=x", *size, *map(str, words)])
            try:
                return cli.guard(predict_script.main, []) or 0
            except SystemExit as end:
                return end.code

    return call


@pytest.fixture
def folder(tmp_path):
    """Two pictures, a video of a rate that varies, a picture cut short and a video that is none."""
    path, rng = tmp_path / "in", np.random.default_rng(0)
    path.mkdir()
    for name in ("000000000007.jpg", "000000000012.png", "9.jpg"):
        cv2.imwrite(str(path / name), rng.integers(0, 255, (60, 80, 3), np.uint8))
    data = (path / "9.jpg").read_bytes()
    (path / "9.jpg").write_bytes(data[: len(data) // 2])
    with VideoWriter(path / "clip.webm", 10) as video:
        for time_ in (0.0, 0.1, 0.7):
            video.write(rng.integers(0, 255, (64, 80, 3), np.uint8), time_)
    (path / "text.mp4").write_text("no video")
    (path / "notes.txt").touch()
    return path


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_one_bad_file_ends_nothing(run, folder, tmp_path, capfd):
    before, out = digest(folder), tmp_path / "out"
    assert run(f"--input={folder}", f"--output={out}") == 1
    assert digest(folder) == before
    made = {str(path.relative_to(out)) for path in digest(out)}
    assert made == {
        "000000000007.png", "000000000012.png", "clip.mp4",
        *(f"json/{name}_keypoints.json" for name in (
            "000000000007", "000000000012",
            "clip_000000000000", "clip_000000000001", "clip_000000000002")),
    }  # fmt: skip
    times = [time_ for time_, _ in read_video(out / "clip.mp4")]
    np.testing.assert_allclose(times, [0.0, 0.1, 0.7], atol=1e-3)
    captured = capfd.readouterr()
    failed = [line for line in captured.err.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 2 and "9.jpg" in failed[0] and "text.mp4" in failed[1]
    assert (
        "passed over: 1: notes.txt" in captured.err and "3 of 5 images and videos" in captured.out
    )
    # Again: nothing is replaced, unless told to.
    made = digest(out)
    assert run(f"--input={folder}", f"--output={out}") == 2
    assert "is there already" in capfd.readouterr().err and digest(out) == made
    assert run(f"--input={folder}", f"--output={out}", "--overwrite") == 1
    assert run(f"--input={folder}", f"--output={folder}", "--overwrite") == 2
    assert "holds the input" in capfd.readouterr().err and digest(folder) == before


def test_results_that_pycocotools_loads(run, folder, tmp_path):
    """Numbers for ids where the names are numbers, or by a file that lists the images."""
    (folder / "9.jpg").unlink(), (folder / "text.mp4").unlink(), (folder / "clip.webm").unlink()
    listed = [
        {"id": 40, "file_name": "000000000007.jpg"},
        {"id": 41, "file_name": "x/000000000012.png"},
    ]
    (tmp_path / "coco.json").write_text(json.dumps({"images": listed}))
    for name, ids, words in (
        ("own", [7, 12], ()),
        ("looked up", [40, 41], (f"--coco_images={tmp_path / 'coco.json'}",)),
    ):
        out = tmp_path / name
        assert run(f"--input={folder}", f"--output={out}", "--coco_json", *words) == 0
        results = json.loads((out / "coco_results.json").read_text())
        assert [entry["image_id"] for entry in results] == ids
        truth = COCO()
        truth.dataset = {
            "info": {}, "images": [{"id": i} for i in ids], "annotations": [],
            "categories": [{"id": 1, "name": "person"}],
        }  # fmt: skip
        truth.createIndex()
        assert len(truth.loadRes(results).getAnnIds()) == 2


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_what_is_finished(run, folder, tmp_path, kind, monkeypatch, capfd):
    """Ctrl-C and SIGTERM in the middle of a video: one line, and no temporary file."""
    (folder / "9.jpg").unlink(), (folder / "text.mp4").unlink()
    out, write = tmp_path / "out", VideoWriter.write

    def write_and_stop(writer, *words, **options):
        write(writer, *words, **options)
        os.kill(os.getpid(), kind)
        time.sleep(5)

    monkeypatch.setattr(VideoWriter, "write", write_and_stop)
    assert threading.current_thread() is threading.main_thread()
    assert run(f"--input={folder}", f"--output={out}") == 128 + kind
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error == f"stopped by {kind.name}; what was finished stays, and nothing half done"
    left = sorted(path.name for path in out.iterdir())
    assert left == ["000000000007.png", "000000000012.png", "json"]
    assert not [path for path in digest(out) if "partial" in path.name]


def test_a_real_clip_is_drawn_as_it_plays(run, tmp_path):
    clip = shared_data("dance_clips", "fast.mp4")
    assert run(f"--input={clip}", f"--output={tmp_path / 'out'}", "--nojson") == 0
    drawn = read_video(tmp_path / "out" / "fast.mp4")
    assert (drawn.fps, drawn.count) == (24, 160)


def test_dancers_that_a_pose_network_finds(run, tmp_path, monkeypatch):
    """--pose_checkpoint: two people who sway, each with an answer; the video is decoded once."""
    names, still = ["tango", "waltz"], np.random.default_rng(0).uniform(8, 56, (2, 18, 2))

    def estimate(variables, images):
        sway = images.mean((1, 2, 3))[:, None, None, None] / 40
        places = jnp.asarray(still + [[[0, 0]], [[40, 0]]]) + sway
        people = jnp.concatenate([places, jnp.full((*places.shape[:-1], 1), 0.9)], -1)
        return people.astype(jnp.float32), jnp.ones((len(images), 2))

    monkeypatch.setattr(pose_predict, "make_estimator", lambda *_, **__: estimate)
    monkeypatch.setattr(checkpoints, "find_model", find_model)
    monkeypatch.setattr(checkpoints, "read_config", read_config)
    monkeypatch.setattr(sequence_predict, "load_checkpoint", api.load_checkpoint)
    monkeypatch.setattr(api, "load_checkpoint", load_checkpoint)
    decoded, decode = [], videos.Video._decode
    monkeypatch.setattr(videos.Video, "_decode", lambda self: count(decode(self), decoded))
    save_sequence_network(tmp_path / "net", names)
    with VideoWriter(tmp_path / "a.mp4", 25) as video:
        for i in range(40):
            video.write(np.full((64, 112, 3), round(90 + 60 * np.sin(i / 3)), np.uint8))
    words = [f"--checkpoint={tmp_path}/net", "--pose_checkpoint=x", f"--input={tmp_path}/a.mp4"]
    assert run(*words, f"--output={tmp_path}/out", size=()) == 0
    found = json.loads((tmp_path / "out/a_classes.json").read_text())
    assert [entry["dancer"] for entry in found["dancers"]] == [0, 1]
    assert {item["label"] for item in found["top"]} == set(names)
    assert (tmp_path / "out/a_timeline.csv").exists()
    assert len(decoded) <= 40 + 1  # the first frame again, for the rate
    assert read_video(tmp_path / "out/a.mp4").count == 40


def count(items, seen):
    """The items, each noted in `seen` as it passes."""
    for item in items:
        seen.append(item is not None)
        yield item
