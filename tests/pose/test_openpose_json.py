"""OpenPose's own files, read and written again, keep every byte."""

import json

import numpy as np
import pytest
from conftest import shared_data

from danceflax.errors import UserError
from danceflax.pose.openpose_json import read_people, write_people


def test_real_files_byte_for_byte(tmp_path):
    files = sorted(shared_data("dance_clips", "demo_openpose_json", "demo-json").glob("*.json"))
    assert len(files) == 584
    joints = set()
    for file in files:
        people, ids = read_people(file)
        joints.add(people.shape[1])
        write_people(tmp_path / "a.json", people, ids)
        assert (tmp_path / "a.json").read_bytes() == file.read_bytes(), file.name
    assert joints == {0, 25}  # frames without people do not say how many joints
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_joints_not_found_are_zero_and_ids_are_kept(tmp_path):
    people = np.random.default_rng(0).uniform(1, 500, (3, 18, 3))
    people[1, 4, 2] = 0
    write_people(tmp_path / "a.json", people, [7, 8, 9])
    back, ids = read_people(tmp_path / "a.json")
    assert ids.tolist() == [7, 8, 9]
    assert (back[1, 4] == 0).all()
    people[1, 4] = 0
    np.testing.assert_allclose(back, people, rtol=5e-6)
    assert json.loads((tmp_path / "a.json").read_text())["people"][0]["face_keypoints_2d"] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]",
        '{"version":1.3}',
        '{"people":[{"pose_keypoints_2d":[1,2]}]}',
        '{"people":[{"pose_keypoints_2d":[1,2,3]},{"pose_keypoints_2d":[1,2,3,4,5,6]}]}',
        '{"people":[{"pose_keypoints_2d":[1,NaN,3]}]}',
        '{"people":[{"pose_keypoints_2d":[1,"x",3]}]}',
    ],
)
def test_bad_files_are_named(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.json"):
        read_people(path)
