"""From video to dance by keypoints alone."""

import csv
import json

import numpy as np
import pytest
from conftest import call, save_sequence_network

from danceflax.api import load_predictor
from danceflax.dance.sequences.predict import join_answers
from danceflax.errors import UserError
from danceflax.io.videos import VideoWriter, read_video
from danceflax.pose.openpose_json import write_people

FPS, FRAMES = 25.0, 70


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint, a video of two people, of whom one leaves, and its OpenPose JSON."""
    folder = tmp_path_factory.mktemp("sequence")
    save_sequence_network(folder / "model", ["tango", "waltz"])
    rng = np.random.default_rng(0)
    still = rng.uniform(0, 40, (2, 25, 2)) + [[[20, 20]], [[90, 20]]]
    with VideoWriter(folder / "a.mp4", FPS) as writer:
        for i in range(FRAMES):
            writer.write(np.full((96, 160, 3), 90, np.uint8))
            people = np.full((2, 25, 3), 1.0, np.float32)
            people[..., :2] = still + 3 * np.sin(i / 4)
            write_people(folder / f"a_{i:012d}_keypoints.json", people[: 1 + (i < 40)])
    return folder


def test_every_dancer_has_an_answer_and_the_video_one(folder):
    predictor = load_predictor(folder / "model", keypoints=folder)
    dancers = predictor.find_dancers(predictor.follow(folder / "a.mp4"))
    assert [dancer.number for dancer in dancers] == [0, 1]
    assert len(dancers[0].spans) > len(dancers[1].spans)  # who left has fewer windows
    assert dancers[0].spans[-1, 1] == pytest.approx((FRAMES - 1) / FPS, abs=0.01)
    for dancer in dancers:
        np.testing.assert_allclose(dancer.probabilities.sum(1), 1, atol=1e-5)
    answer = join_answers(dancers)
    windows = np.concatenate([dancer.probabilities for dancer in dancers])
    np.testing.assert_allclose(answer, windows.mean(0))
    np.testing.assert_allclose(predictor(folder / "a.mp4"), answer)


def test_an_answer_is_that_of_the_mirrored_dance(folder):
    predictor = load_predictor(folder / "model", keypoints=folder)
    seen = predictor.follow(folder / "a.mp4")
    turned = seen.people[:, :, predictor.skeleton.flip] * [-1, 1, 1] + [160, 0, 0]
    mirrored = seen._replace(people=np.where(turned[..., 2:] > 0, turned, 0).astype(np.float32))
    for one, other in zip(*map(predictor.find_dancers, (seen, mirrored)), strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


def test_dancers_are_who_the_files_say(folder, tmp_path):
    """Two people in one place, by turns: without numbers they are one."""
    people = np.full((1, 25, 3), 1.0, np.float32)
    people[..., :2] = np.random.default_rng(1).uniform(0, 60, (25, 2)) + 20
    for i in range(FRAMES):
        path = tmp_path / f"a_{i:012d}_keypoints.json"
        write_people(path, people, np.array([5 if i < FRAMES // 2 else 9]))
    predictor = load_predictor(folder / "model", keypoints=tmp_path)
    seen = predictor.follow(folder / "a.mp4").people[..., 2].any(-1)
    assert seen.shape == (FRAMES, 2) and (seen.sum(1) == 1).all()
    assert (seen.sum(0) == FRAMES // 2).all()


def test_keypoints_or_a_pose_network_are_needed(folder, tmp_path):
    with pytest.raises(UserError, match="give --pose_checkpoint, a pose network, or --keypoints"):
        load_predictor(folder / "model")
    with pytest.raises(UserError, match=r"a_000000000000_keypoints\.json: no such file"):
        load_predictor(folder / "model", keypoints=tmp_path)(folder / "a.mp4")


def test_script_writes_answers_a_timeline_and_the_video(folder, tmp_path):
    words = [f"--checkpoint={folder}/model", f"--keypoints={folder}", f"--input={folder}/a.mp4"]
    status, _, errors = call("predict.py", *words, f"--output={tmp_path}/out")
    assert status == 0, errors
    found = json.loads((tmp_path / "out/a_classes.json").read_text())
    assert [entry["dancer"] for entry in found["dancers"]] == [0, 1]
    assert {item["label"] for item in found["top"]} == {"tango", "waltz"}
    with open(tmp_path / "out/a_timeline.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(entry["windows"] for entry in found["dancers"])
    for row in rows:
        likelier = max(("tango", "waltz"), key=lambda name: float(row[name]))
        assert row["dance"] == likelier and float(row["start"]) < float(row["end"])
    assert (tmp_path / "out/a_timeline.png").stat().st_size > 1000
    assert read_video(tmp_path / "out/a.mp4").count == FRAMES
