"""Keypoint files of a root, by a stand-in of a network that knows where people are."""

import cv2
import numpy as np
import pytest
from conftest import make_root
from crossings import detect, make_dancers

from danceflax import api
from danceflax.data.keypoint_files import read_numbered
from danceflax.prepare import keypoints
from danceflax.skeleton import COCO18


class Knows:
    """A predictor that finds in a frame who is in it, by the frame's number."""

    skeleton = COCO18

    def __init__(self, people):
        self.people, self.asked = people, []

    def stream(self, frames):
        for file, frame in frames:
            self.asked.append(file)
            people = self.people[int(file[-8:-4])].astype(np.float32)
            yield file, frame, people, np.ones(len(people), np.float32)


@pytest.fixture
def dance(tmp_path, monkeypatch):
    """(root, files, predictor, who is in each frame) of two dancers, in two clips."""
    points, depth, rng = make_dancers(4, 2, seconds=1.6)
    found = detect(points, depth, rng, false=0)
    files = make_root(tmp_path, 40, dance="tango") + make_root(tmp_path, 40, dance="waltz")
    for file in files:
        cv2.imwrite(str(tmp_path / "frames" / file), np.zeros((90, 160, 3), np.uint8))
        (tmp_path / "keypoints" / file).with_suffix(".json").unlink()
    knows = Knows([people for people, _ in found])
    monkeypatch.setattr(api, "share_predictor", lambda run, path, batch_size: knows)
    return tmp_path, files, knows, [who for _, who in found]


def read_ids(root, files):
    return [read_numbered((root / "keypoints" / f).with_suffix(".json"))[2] for f in files]


def test_a_person_has_one_number_in_a_clip(dance):
    root, files, knows, who = dance
    assert keypoints.run(str(root), "a") == 0 and knows.asked == files
    for clip in (files[:40], files[40:]):
        pairs = zip(who, read_ids(root, clip), strict=True)
        pairs = {pair for true, ids in pairs for pair in zip(true, ids.tolist(), strict=True)}
        assert len(pairs) == 2 and {number for _, number in pairs} == {0, 1}


def test_files_that_are_there_stay_and_no_number_is_given_twice(dance):
    root, files, knows, _ = dance
    assert keypoints.run(str(root), "a") == 0
    for file in files[20:40]:
        (root / "keypoints" / file).with_suffix(".json").unlink()
    before = read_ids(root, files[:20])
    knows.asked.clear()
    assert keypoints.run(str(root), "a") == 0 and knows.asked == files[20:40]
    assert all(map(np.array_equal, before, read_ids(root, files[:20])))
    assert set(np.concatenate(read_ids(root, files[20:40])).tolist()) == {2, 3}
