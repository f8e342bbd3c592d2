"""The classifier command lines end to end, as a user runs them: the demo's config made tiny."""

import csv
import json

import jax
import numpy as np
import pytest
from conftest import call

from danceflax import api
from danceflax.data.root import open_index
from danceflax.io.videos import VideoWriter, read_video
from danceflax.models import registry
from danceflax.models.initialise import initialise
from danceflax.pose.openpose_json import write_people
from danceflax.prepare.flow import compute_clip, plan_flow
from danceflax.prepare.synthetic.dataset import write_dataset
from danceflax.skeleton import BODY25, COCO18, convert_joints
from danceflax.training import checkpoints

TINY = {
    "steps": 4, "batch_size": 2, "log_every": 1, "eval_every": 0, "save_every": 2,
    "eval.batch_size": 4, "data.fps": 12.5, "clip.frames": 8, "model.width": 0.1,
    "model.last": "Mixed_3b", "model.head_channels": 4,
}  # fmt: skip


def train(variant, root, workdir, **changes):
    options = {"data.root": root} | TINY | changes
    return call(
        "train_classifier.py", f"--config=configs/i3d.py:{variant},demo", f"--workdir={workdir}",
        *(f"--config.{key}={value}" for key, value in options.items()),
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A synthetic root with flow files; its last frame's keypoints are gone, as happens."""
    root = write_dataset(
        tmp_path_factory.mktemp("data") / "dances",
        clips_per_dance={"train": 1, "val": 1},
        frames_per_clip=9,
        size=(48, 48),
        workers=1,
    )
    for task in plan_flow(root, "frames", open_index(root).files):
        compute_clip(task)
    for path in root.glob("keypoints/*/*_0009.json"):
        path.unlink()
    return root


@pytest.fixture(scope="module")
def pose_checkpoint(tmp_path_factory):
    model = api.create_model("openpose_coco", width=0.05, stages=1)
    variables = initialise(model, np.zeros((1, 32, 32, 3), "f"), 0)
    path = tmp_path_factory.mktemp("pose") / "net"
    normalisation = {"mean": [128.0] * 3, "std": [256.0] * 3}
    checkpoints.save_model(path, variables, registry.describe(model, COCO18, normalisation))
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A folder with a video of 20 frames, and one of its keypoints."""
    folder = tmp_path_factory.mktemp("video")
    rng = np.random.default_rng(0)
    (folder / "json").mkdir()
    (folder / "videos").mkdir()
    with VideoWriter(folder / "videos" / "dance.webm", 12.5) as writer:
        for i in range(20):
            writer.write(rng.integers(0, 255, (64, 80, 3), np.uint8))
            people = convert_joints(rng.uniform(5, 60, (1, 18, 3)), COCO18.joints, BODY25.joints)
            write_people(folder / "json" / f"dance_{i:012d}_keypoints.json", people[0])
    return folder


@pytest.mark.parametrize("variant", ["rgb+flow", "rgb+pose", "flow+pose"])
def test_train_resume_evaluate_predict(variant, root, pose_checkpoint, video, tmp_path):
    changes = {f"optimizer.groups.{name}.schedule": "constant" for name in variant.split("+")}
    changes["optimizer.groups.head.schedule"] = "constant"
    if variant == "rgb+flow":
        changes |= {"streams.flow.source": "farneback"}
    if variant == "rgb+pose":
        changes |= {"streams.pose.source": "network", "streams.pose.network": pose_checkpoint}
    if variant == "flow+pose":  # the head alone, on cached features
        changes |= {"streams.flow.train": False, "streams.pose.train": False, "cache.views": 2}
        changes |= {f"streams.{name}.init_allow_missing": ".*" for name in ("flow", "pose")}
    workdir = tmp_path / "run"
    for steps, said in ((2, "parameter groups"), (4, "resuming")):
        status, output, errors = train(variant, root, workdir, **changes | {"steps": steps})
        assert status == 0, errors
        assert said in output and f"step {steps}  val  top1" in output
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines if x["split"] == "train"] == [1, 2, 3, 4]
    variables, config = checkpoints.load_model(workdir / "checkpoints" / "4")
    assert config["inputs"]["streams"] == variant.split("+") and len(config["class_names"]) == 8
    assert (workdir / "features").exists() == (variant == "flow+pose")
    if variant == "rgb+flow":  # N + M steps are N, stop, M
        status, _, errors = train(variant, root, tmp_path / "whole", **changes)
        assert status == 0, errors
        whole, _ = checkpoints.load_model(tmp_path / "whole" / "checkpoints" / "4")
        same = jax.tree.map(lambda a, b: bool((a == b).all()), whole, variables)
        assert all(jax.tree.leaves(same))
        status, _, errors = train("flow", root, workdir)
        assert status == 2 and "holds another model" in errors and errors.count("\n") == 1

    words = (f"--checkpoint={workdir}", f"--output={tmp_path}/figures.json", "--clips=2")
    words += (f"--fuse={tmp_path}/whole",) if variant == "rgb+flow" else ()
    words += () if variant == "rgb+pose" else (f"--report={tmp_path}/a.html",)
    status, output, errors = call("evaluate.py", *words)
    assert status == 0, errors
    assert "top1" in output and "quickstep" in output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["metrics"]["clips"] == 8 and figures["settings"]["views"] == {"clips": 2}
    assert (tmp_path / "confusion_val.png").exists()
    if variant != "rgb+pose":
        together = f"{workdir} + {tmp_path}/whole" if variant == "rgb+flow" else str(workdir)
        page = (tmp_path / "a.html").read_text()
        top1 = figures["metrics"]["top1"]
        assert f"<td>top1</td><td>{top1:.3f} [" in page
        assert page.count("<img") == round(8 * (1 - top1))
        assert f">{together}<" in page
    assert len(list(csv.reader((tmp_path / "confusion_val.csv").open()))) == 9

    words = (f"--checkpoint={workdir}", f"--input={video}/videos", f"--output={tmp_path}/out")
    words += (f"--keypoints={video}/json",) if variant == "flow+pose" else ()
    status, output, errors = call("predict.py", *words, "--top=3")
    assert status == 0, errors
    found = json.loads((tmp_path / "out" / "dance_classes.json").read_text())
    assert set(found) == {"input", "top"} and len(found["top"]) == 3
    probabilities = [item["probability"] for item in found["top"]]
    assert probabilities == sorted(probabilities, reverse=True) and sum(probabilities) <= 1
    assert len(list(read_video(tmp_path / "out" / "dance.mp4"))) == 20
    timeline = list(csv.DictReader((tmp_path / "out" / "dance_timeline.csv").open()))
    assert float(timeline[-1]["end"]) == pytest.approx(20 / 12.5, abs=1e-3)
    rows = list(csv.reader((tmp_path / "out" / "classes.csv").open()))
    assert rows[0][1:3] == ["label1", "probability1"] and rows[1][1] == found["top"][0]["label"]
    if variant == "flow+pose":
        status, _, errors = call("predict.py", *words[:-1], "--overwrite")
        assert status == 2 and "give its OUTPUT/json as --keypoints" in errors


def test_faults_are_one_line(root, tmp_path):
    val = root / "videos_split" / "val_videos.csv"
    rows = val.read_text().splitlines(keepends=True)
    one = tmp_path / "one.csv"
    one.write_text("".join(rows[:3]))
    for changes, said in (
        ({"data.val_split": one}, "has no clip of"),
        ({"data.root": tmp_path / "none"}, "no such data root"),
        ({"clip.sampling": "dense"}, "expected contiguous, uniform"),
    ):
        status, _, errors = train("pose", root, tmp_path / "run", **changes)
        assert status == 2 and said in errors and errors.count("\n") == 1, errors


def test_a_config_of_the_other_side_is_refused(tmp_path):
    for script, config, other in (
        ("train_classifier.py", "openpose_coco.py", "train it by train_openpose.py"),
        ("train_openpose.py", "i3d.py:rgb", "train it by train_classifier.py"),
    ):
        status, _, errors = call(script, f"--config=configs/{config}", f"--workdir={tmp_path}/run")
        assert status == 2 and other in errors and errors.count("\n") == 1, errors
