"""The study as a user runs it, on clips whose keypoints are there already: a tiny network looks at
nothing, and finds the way."""

import json
import pathlib

import numpy as np
import pytest
from conftest import call, make_video

from danceflax.models import registry
from danceflax.models.initialise import initialise
from danceflax.pose.openpose_json import write_people
from danceflax.skeleton import COCO18
from danceflax.training import checkpoints

FRAMES, FPS = 20, 10


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """The flags of a study of two dances, whose dancers bob and sway."""
    folder = tmp_path_factory.mktemp("study")
    body = np.random.default_rng(0).uniform(20, 50, (1, 18, 2))
    for dance in ("bob", "sway"):
        for name in ("one", "two"):
            make_video(folder / "videos" / dance / f"{name}.mp4", FRAMES, FPS, (64, 80))
            for n in range(FRAMES):
                move = 8 * np.sin(n)
                points = body + ((0, move) if dance == "bob" else (move, 0))
                people = np.concatenate([points, np.full((1, 18, 1), 0.9)], -1)
                path = folder / f"study/data/keypoints/{dance}/{name}_000_{n + 1:04d}.json"
                write_people(path, people, [0])
    model = registry.create_model("openpose_coco", width=0.05, stages=1)
    variables = initialise(model, np.zeros((1, 32, 32, 3), "f"), 0)
    description = registry.describe(model, COCO18, {"mean": [128.0] * 3, "std": [256.0] * 3})
    checkpoints.save_model(folder / "net", variables, description)
    return (
        f"--videos={folder}/videos", f"--output={folder}/study", f"--pose_checkpoint={folder}/net",
        "--steps=4", "--workers=1",
    )  # fmt: skip


def test_from_videos_to_figures_and_nothing_twice(words):
    status, output, errors = call("study.py", *words)
    assert status == 0, errors
    commands = [line for line in output.splitlines() if line.startswith("$ python ")]
    scripts = [" ".join(line.split()[2:4]).partition(" --")[0] for line in commands]
    prepared = [f"prepare_data.py {c}" for c in ("frames", "keypoints", "index", "check", "split")]
    assert scripts == [*prepared, "train_classifier.py", "evaluate.py"]
    folder = pathlib.Path(words[1].partition("=")[2])
    figures = json.loads((folder / "sequence" / "evaluation_val.json").read_text())
    assert figures["metrics"]["clips"] == 2
    assert "<html" in (folder / "sequence.html").read_text()[:200]
    assert (folder / "faults.csv").read_text().count("\n") == 1

    status, output, errors = call("study.py", *words)
    assert status == 0, errors
    assert output.count(": done") == 7 and "loss" not in output

    status, output, errors = call("study.py", *words, "--seed=1", "--plan")
    assert status == 2 and errors.count("\n") == 1
    assert "made from other data or with other settings; remove" in errors


def test_mistakes_end_in_one_line_and_status_2(words, tmp_path):
    videos = words[0].partition("=")[2]
    for more, message in (
        ((f"--output={videos}/out",), "name a folder apart from it"),
        ((f"--videos={tmp_path}",), "holds no video"),
    ):
        status, output, errors = call("study.py", *words, *more)
        assert status == 2 and not output
        assert message in errors and errors.count("\n") == 1
