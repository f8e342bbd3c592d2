"""PCK of hand-made cases."""

import numpy as np
import pytest

from danceflax.pose import pck
from danceflax.pose.metrics import table_rows
from danceflax.skeleton import COCO18


def count_joints(true, found, skeleton):
    errors, labelled = pck.joint_errors(true, found, skeleton)
    return (errors <= pck.THRESHOLD).sum(0), labelled.sum(0)


def test_joints_count_within_a_fifth_of_the_torso():
    joints = list(COCO18.joints)
    truth = np.zeros((2, 18, 3))
    truth[:, :, 2] = 2
    truth[:, :, :2] = np.random.default_rng(1).uniform(0, 150, (18, 2))
    truth[:, joints.index("neck"), :2] = 50, 0
    truth[:, joints.index("left_hip"), :2] = 40, 100
    truth[:, joints.index("right_hip"), :2] = 60, 100  # a torso of 100 px
    truth[1, :, 0] += 300
    truth[1, joints.index("nose")] = 0
    found = truth[::-1].copy()  # the order of people does not matter
    found[0, joints.index("nose")] = 1, 1, 1  # not labelled: does not count
    found[1, joints.index("left_knee"), 0] += 19.9
    found[1, joints.index("right_knee"), 0] += 20.1
    found[1, joints.index("left_ear"), 2] = 0
    correct, count = count_joints(truth, found, COCO18)
    expected = np.full(18, 2.0)
    expected[joints.index("nose")] = 1
    np.testing.assert_array_equal(count, expected)
    expected[[joints.index("right_knee"), joints.index("left_ear")]] -= 1
    np.testing.assert_array_equal(correct, expected)
    metrics = pck.pck_metrics(correct, count, COCO18)
    assert metrics["PCK"] == pytest.approx(33 / 35)
    assert metrics["PCK/right_knee"] == 0.5
    assert ("PCK/right knee", "0.500") in table_rows(metrics)
    # One of two people found: half of the joints; nobody to find: nothing to count.
    correct, count = count_joints(truth, found[:1], COCO18)
    assert correct.sum() == 17 and count.sum() == 35
    assert count_joints(truth, found[:0], COCO18)[0].sum() == 0
    correct, count = count_joints(truth[:0], found, COCO18)
    assert correct.sum() == count.sum() == 0
