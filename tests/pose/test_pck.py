"""PCK of hand-made cases, and by how far people are tilted."""

import numpy as np
import pytest

from danceflax.pose import pck
from danceflax.pose.metrics import table_rows
from danceflax.skeleton import COCO18


def judge_joints(true, found, skeleton):
    errors, labelled = pck.joint_errors(true, found, skeleton)
    return errors <= pck.THRESHOLD, labelled


def count_joints(true, found, skeleton):
    correct, labelled = judge_joints(true, found, skeleton)
    return correct.sum(0), labelled.sum(0)


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


def make_person(degrees):
    """A torso that is turned by an angle, with a knee."""
    angle, person = np.radians(degrees), np.zeros((18, 3))
    down, right = (
        np.array([-np.sin(angle), np.cos(angle)]),
        np.array([np.cos(angle), np.sin(angle)]),
    )
    for name, place in {
        "neck": (0, 0), "left_hip": (5, 50), "right_hip": (-5, 50), "left_knee": (5, 90),
    }.items():  # fmt: skip
        person[COCO18.joints.index(name)] = *(200 + place[0] * right + place[1] * down), 1
    return person


def test_tilt():
    """Whichever way a body falls; unknown without hips."""
    angles = [0, 29, -45, 90, -100, 130, 180]
    people = np.stack([make_person(angle) for angle in angles])
    np.testing.assert_allclose(pck.body_tilt(people, COCO18), np.abs(angles), atol=1e-4)
    people[3, COCO18.joints.index("left_hip")] = 0
    assert np.isnan(pck.body_tilt(people, COCO18)).tolist() == [False] * 3 + [True] + [False] * 3


def test_figures_by_tilt():
    """Of two upright people one knee is wrong, of one upside down all; the rest of the image does
    not show, nor do tilts that nobody has."""
    people = np.stack([make_person(angle) for angle in (0, 10, 170, 90)])
    people[3, COCO18.joints.index("right_hip")] = 0
    people[:, :, 0] += np.arange(4)[:, None] * 500 * (people[..., 2] > 0)
    found = people[[0, 1, 3]].copy()
    found[1, COCO18.joints.index("left_knee"), 1] += 90
    correct, labelled = judge_joints(people, found, COCO18)
    sums = pck.sum_by_tilt(people, correct, labelled, COCO18)
    np.testing.assert_array_equal(sums, [[7, 8], [0, 0], [0, 0], [0, 4]])
    assert pck.tilt_metrics(sums + sums) == {"PCK/tilt/upright": 7 / 8, "PCK/tilt/inverted": 0}
