"""What is written of people, by a stand-in of a network, and that it is known beforehand."""

import json

import numpy as np
import pandas as pd
import pytest

from danceflax.errors import UserError
from danceflax.io.images import write_image
from danceflax.io.videos import VideoWriter, read_video
from danceflax.pose.files import PeopleFiles
from danceflax.pose.openpose_json import read_people
from danceflax.pose.predict import PosePredictor
from danceflax.skeleton import COCO18

TIMES = (0.0, 0.05, 0.15, 0.2)
PERSON = np.random.default_rng(0).uniform((5, 5, 0.8), (60, 60, 0.9), (18, 3)).astype(np.float32)


class Knows(PosePredictor):
    """A predictor that finds one person in each frame, further to the right in each."""

    def __init__(self):
        self.skeleton = COCO18

    def stream(self, frames):
        for i, (key, frame) in enumerate(frames):
            yield key, frame, PERSON[None] + np.float32([i, 0, 0]), np.float32([0.7])


@pytest.fixture
def inputs(tmp_path):
    """A video and two images."""
    with VideoWriter(tmp_path / "dance.mp4") as video:
        for time in TIMES:
            video.write(np.zeros((64, 80, 3), np.uint8), time, 20)
    for name in "ab":
        write_image(tmp_path / f"{name}.png", np.zeros((64, 80, 3), np.uint8))
    kinds = (("dance.mp4", "video"), ("a.png", "image"), ("b.png", "image"))
    return [(tmp_path / name, kind) for name, kind in kinds]


def test_files_of_images_and_videos(tmp_path, inputs):
    output = tmp_path / "out"
    files = PeopleFiles(Knows, output, coco_ids={"b": 7}, tables=["csv", "parquet"], angles=True)
    announced = set(files._list_outputs([path for path, _ in inputs[1:]], [inputs[0][0]]))
    assert files.write(inputs, overwrite=False) == []
    frames = [f"dance_{i:012d}" for i in range(4)]
    written = {path for path in output.rglob("*") if path.is_file()}
    later = {output / "json" / f"{name}_keypoints.json" for name in frames[1:]}
    assert written == announced | later
    for i, name in enumerate(frames):
        people, ids = read_people(output / "json" / f"{name}_keypoints.json")
        np.testing.assert_allclose(people[0], PERSON + (i, 0, 0), rtol=1e-4)
        assert ids.tolist() == [0]
    assert read_people(output / "json" / "a_keypoints.json")[1].tolist() == [-1]
    table = pd.read_csv(output / "dance.csv")
    assert len(table) == 4 * 18 and table.time.unique().tolist() == list(TIMES)
    times, drawn = zip(*read_video(output / "dance.mp4"), strict=True)
    np.testing.assert_allclose(times, TIMES, atol=1e-3)
    assert all(frame.max() > 100 for frame in drawn)
    entries = json.loads((output / "coco_results.json").read_text())
    assert [entry["image_id"] for entry in entries] == ["a", 7, *frames]
    with pytest.raises(UserError, match="out"):
        files.write(inputs, overwrite=False)


def test_joined_images_are_a_video_and_a_bad_one_is_named_once(tmp_path, inputs):
    (tmp_path / "a.png").write_text("no image")
    output = tmp_path / "out"
    files = PeopleFiles(Knows, output, join=10, smooth="fill", tables=["csv"])
    (fault,) = files.write(inputs[1:], overwrite=False)
    assert "a.png" in fault
    assert {path.name for path in output.iterdir()} == {"images.mp4", "images.csv", "json"}
    assert read_people(output / "json" / "b_keypoints.json")[1].tolist() == [0]


def test_nothing_that_is_not_asked_for(tmp_path, inputs):
    output = tmp_path / "out"
    assert PeopleFiles(Knows, output, draw=False, json=False).write(inputs, False) == []
    assert not output.exists()
