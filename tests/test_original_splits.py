"""The original code base's split files train as they are: with frames in place of those, and only
of those, that their ids and order ask for."""

import json

import cv2
import numpy as np
from conftest import letsdance_json, shared_data

from configs import frames, openpose_body25
from danceflax.dance.task import make_task as make_dance_task
from danceflax.data.clips import ClipSource
from danceflax.data.frames import LetsDanceSource
from danceflax.data.loader import TrainingBatches
from danceflax.pose.task import make_task as make_pose_task
from danceflax.skeleton import COCO18
from danceflax.training.train import train

STEPS, BATCH, LIMIT = 2, 4, 2


def prepare(config, root):
    for folder in ("frames", "keypoints"):
        (root / folder).mkdir()
    config.steps, config.batch_size, config.eval.limit, config.eval.batch_size = (
        STEPS, BATCH, LIMIT, LIMIT,
    )  # fmt: skip
    config.data.root, config.data.threads, config.data.max_bad_fraction = str(root), 0, 0.0
    config.log_every, config.eval_every, config.save_every = 1, STEPS, STEPS
    return config


def drawn(source, seed):
    """The indices that the first steps train on, and those that are validated on."""
    order = TrainingBatches(source, dict, BATCH, seed)
    return [order.draw(g) for g in range(STEPS * BATCH)]


def validated(source):
    return np.linspace(0, len(source) - 1, LIMIT).round().astype(int).tolist()


def write_frame(root, name, rng):
    """A frame `<dance>/<file>.jpg`, and two people in it."""
    for folder in ("frames", "keypoints"):
        (root / folder / name).parent.mkdir(exist_ok=True)
    cv2.imwrite(str(root / "frames" / name), rng.integers(0, 255, (48, 64, 3), np.uint8))
    people = rng.uniform(5, 40, (2, 17, 2))
    (root / "keypoints" / name).with_suffix(".json").write_text(letsdance_json(people))


def read_metrics(workdir):
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["split"] == "val"][-1]


def test_poses_train_on_the_frames_of_the_list(tmp_path):
    split = str(shared_data("letsdance", "original_split", "pose_val.csv"))
    root, rng = tmp_path / "root", np.random.default_rng(0)
    root.mkdir()
    config = prepare(openpose_body25.get_config("demo"), root)
    source = LetsDanceSource(root, split, COCO18)
    assert len(source) == 25_742
    assert source.files[0] == b"latin/Hq1tAsV-3II_051_0218.jpg"
    for index in {0, *drawn(source, config.seed), *validated(source)}:
        write_frame(root, source.files[index].decode(), rng)
    assert len(list((root / "frames").rglob("*.jpg"))) <= STEPS * BATCH + LIMIT + 1
    config.model.width, config.eval.pictures = 0.03, 0
    config.augment.size = config.eval.size = (48, 48)
    config.data.train_split = config.data.val_split = split
    train(config, tmp_path / "run", make_pose_task)
    assert np.isfinite(read_metrics(tmp_path / "run")["loss"])


def test_classifiers_train_on_the_clips_of_the_lists(tmp_path):
    folder = shared_data("letsdance", "original_split")
    paths = {key: str(folder / f"{key}_videos.csv") for key in ("train", "val")}
    root, rng = tmp_path / "root", np.random.default_rng(0)
    root.mkdir()
    config = prepare(frames.get_config("rgb,demo"), root)
    source, val = (ClipSource(root, path) for path in paths.values())
    assert (len(source), len(val), len(val.class_names)) == (1169, 293, 16)
    for clips, indices in ((source, drawn(source, config.seed)), (val, validated(val))):
        for clip in (clips.clips[index] for index in indices):
            for number in clip.frames.tolist():
                write_frame(root, f"{clip.dance}/{clip.name}_{number.decode()}.jpg", rng)
    config.data.fps, config.clip.size = 0.0, 32
    config.data.train_split, config.data.val_split = paths.values()
    train(config, tmp_path / "run", make_dance_task)
    assert np.isfinite(read_metrics(tmp_path / "run")["loss"])
