"""The published channel orders, joint maps, and skeletons of one's own."""

import json

import numpy as np
import pytest

from danceflax.errors import UserError
from danceflax.skeleton import (
    BODY25,
    COCO17_JOINTS,
    COCO18,
    FOOT_JOINTS,
    Skeleton,
    convert_joints,
    load,
    mirror_name,
)

# OpenPose's POSE_BODY_PART_PAIRS and POSE_MAP_INDEX (first of each channel pair), inference order.
PUBLISHED = {
    "coco18": (
        "1,2 1,5 2,3 3,4 5,6 6,7 1,8 8,9 9,10 1,11 11,12 12,13 1,0 0,14 14,16 0,15 15,17 2,16 5,17",
        "12 20 14 16 22 24 0 2 4 6 8 10 28 30 34 32 36 18 26",
    ),
    "body25": (
        "1,8 1,2 1,5 2,3 3,4 5,6 6,7 8,9 9,10 10,11 8,12 12,13 13,14 1,0 0,15 15,17 0,16 16,18 "
        "2,17 5,18 14,19 19,20 14,21 11,22 22,23 11,24",
        "0 14 22 16 18 24 26 6 2 4 8 10 12 30 32 36 34 38 20 28 40 42 44 46 48 50",
    ),
}


@pytest.mark.parametrize("skeleton", [COCO18, BODY25], ids=lambda s: s.name)
def test_limbs_and_channels_are_the_published_ones(skeleton):
    pairs, channels = PUBLISHED[skeleton.name]
    pairs = [tuple(map(int, pair.split(","))) for pair in pairs.split()]
    channels = [int(channel) // 2 for channel in channels.split()]
    assert [skeleton.limbs[k] for k in channels] == pairs
    assert list(skeleton.assembly) == channels


@pytest.mark.parametrize("skeleton", [COCO18, BODY25], ids=lambda s: s.name)
def test_mirroring(skeleton):
    flip = skeleton.flip
    np.testing.assert_array_equal(flip[flip], np.arange(skeleton.num_joints))
    assert [skeleton.joints[j] for j in flip] == [mirror_name(name) for name in skeleton.joints]
    index, sign = skeleton.limb_flip
    for k, (a, b) in enumerate(skeleton.limbs):
        ends = skeleton.limbs[index[k]]
        assert ends == ((flip[a], flip[b]) if sign[k] > 0 else (flip[b], flip[a]))


def test_redundant_limbs_are_the_ears_to_shoulders():
    for skeleton in (COCO18, BODY25):
        names = {
            tuple(skeleton.joints[j] for j in skeleton.limbs[k])
            for k in np.flatnonzero(skeleton.redundant)
        }
        assert names == {("right_shoulder", "right_ear"), ("left_shoulder", "left_ear")}


def test_coco17_to_coco18_is_the_published_map():
    people = np.arange(17 * 3, dtype=np.float32).reshape(1, 17, 3)
    people[..., 2] = 2
    people[0, 15, 2] = 1
    ours, labelled = convert_joints(people, COCO17_JOINTS, COCO18.joints)
    order = [0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    for j, source in enumerate(order):
        expected = people[0, 5:7].mean(0) if source is None else people[0, source]
        np.testing.assert_allclose(ours[0, j], expected)
    assert labelled.all()
    back, _ = convert_joints(ours, COCO18.joints, COCO17_JOINTS)
    np.testing.assert_allclose(back, people)


def test_derived_joints_need_both_sources_and_take_the_lower_visibility():
    people = np.full((3, 17, 3), 2, np.float32)
    people[1, 5, 2] = 1  # left shoulder occluded
    people[2, 6] = 0  # right shoulder absent
    ours, _ = convert_joints(people, COCO17_JOINTS, BODY25.joints)
    np.testing.assert_array_equal(ours[:, 1, 2], [2, 1, 0])
    np.testing.assert_array_equal(ours[2, 1], 0)
    np.testing.assert_array_equal(ours[:, 8, 2], 2)


def test_feet_are_unlabelled_where_a_data_set_has_none():
    _, labelled = convert_joints(np.zeros((0, 17, 3)), COCO17_JOINTS, BODY25.joints)
    assert [BODY25.joints[j] for j in np.flatnonzero(~labelled)] == FOOT_JOINTS
    _, labelled = convert_joints(
        np.zeros((0, 23, 3)), [*COCO17_JOINTS, *FOOT_JOINTS], BODY25.joints
    )
    assert labelled.all()


def test_a_skeleton_of_ones_own(tmp_path):
    data = {
        "name": "stick",
        "joints": ["head", "left_hand", "right_hand"],
        "limbs": [["head", "left_hand"], ["head", "right_hand"]],
    }
    path = tmp_path / "stick.json"
    path.write_text(json.dumps(data))
    skeleton = load(str(path))
    assert (skeleton.num_heatmaps, skeleton.num_pafs) == (4, 4)
    assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": ["head", "left_hand"]}, "has no 'right_hand'"),
        ({"limbs": [["head", "foot"]]}, "names 'foot'"),
        ({"limbs": [["head", "left_hand"]]}, "no mirrored limb"),
        ({"assembly": [0, 0]}, "each of the 2 limb indices once"),
        ({"sigmas": [0.1]}, "1 sigmas for 3 joints"),
        ({"joints": ["head", "head"]}, "appears twice"),
    ],
)
def test_faults_of_a_skeleton_are_named(change, message):
    data = {
        "name": "stick",
        "joints": ["head", "left_hand", "right_hand"],
        "limbs": [["head", "left_hand"], ["head", "right_hand"]],
    } | change
    with pytest.raises(UserError, match=message):
        Skeleton.from_dict(data, where="stick.json")


def test_an_unknown_skeleton_lists_the_known():
    with pytest.raises(UserError, match="coco18 or body25"):
        load("coco19")
