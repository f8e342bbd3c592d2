"""Errors of each kind, made by hand, after the paper's definitions."""

import numpy as np
import pytest

from danceflax.pose.diagnosis import KINDS, add_up, diagnose
from danceflax.pose.metrics import person_area
from danceflax.skeleton import COCO18

JOINTS = list(COCO18.joints)


@pytest.fixture
def people():
    """Two people side by side, whose joints lie far apart."""
    person = np.zeros((18, 3))
    angle = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    person[:] = np.stack([200 + 150 * np.cos(angle), 300 + 250 * np.sin(angle), 2 + 0 * angle], -1)
    return np.stack([person, person + (500, 0, 0)])


def kinds_of(people, found, joint):
    counts = diagnose(people, found, COCO18).joints[JOINTS.index(joint)]
    return {kind: int(n) for kind, n in zip(KINDS, counts, strict=True) if n}


def shift(people, joint, similarity):
    """Moves a joint of the first person to where its similarity to its own place is this."""
    j, spread = JOINTS.index(joint), 2 * person_area(people)[0]
    distance = np.sqrt(-np.log(similarity) * spread) * 2 * COCO18.sigmas[j]
    found = people.copy()
    found[0, j, 0] += distance
    return found


@pytest.mark.parametrize(
    "similarity, kind", [(0.86, "good"), (0.84, "jitter"), (0.51, "jitter"), (0.49, "miss")]
)
def test_good_jitter_and_miss_by_similarity(people, similarity, kind):
    found = shift(people, "left_eye", similarity)
    expected = {"good": 2} if kind == "good" else {"good": 1, kind: 1}
    assert kinds_of(people, found, "left_eye") == expected


def test_inversion_is_the_other_side_of_the_same_person(people):
    left, right = JOINTS.index("left_knee"), JOINTS.index("right_knee")
    found = people.copy()
    found[0, [left, right]] = found[0, [right, left]]
    for joint in ("left_knee", "right_knee"):
        assert kinds_of(people, found, joint) == {"good": 1, "inversion": 1}


@pytest.mark.parametrize("place", ["left_wrist", "right_wrist"])
def test_swap_is_another_person_s_joint_or_its_mirror(people, place):
    found = people.copy()
    found[0, JOINTS.index("left_wrist")] = people[1, JOINTS.index(place)]
    assert kinds_of(people, found, "left_wrist") == {"good": 1, "swap": 1}


def test_the_nearest_says_even_to_a_joint_that_is_near_its_own_place(people):
    """Two wrists in nearly one place: coco-analyze takes the more similar one."""
    j = JOINTS.index("left_wrist")
    reach = 2 * COCO18.sigmas[j] * np.sqrt(2 * person_area(people)[0])  # similarity exp(-1)
    people[1, j, :2] = people[0, j, :2] + (0.3 * reach, 0)
    found = people.copy()
    found[0, j, 0] += 0.2 * reach  # exp(-0.04) = 0.96 of its own place, exp(-0.01) of the other's
    assert kinds_of(people, found, "left_wrist") == {"good": 1, "swap": 1}


def test_another_person_is_near_by_their_own_size(people):
    j = JOINTS.index("left_wrist")
    reach = 2 * COCO18.sigmas[j] * np.sqrt(2 * person_area(people)[0])
    small = people.copy()
    small[1, :, :2] = 200 + 0.1 * people[1, :, :2]  # a child, a tenth as large
    found = small.copy()
    found[0, j, :2] = small[1, j, :2] + (0.5 * reach, 0)  # exp(-0.25) by the grown-up's size
    assert kinds_of(small, found, "left_wrist") == {"good": 1, "miss": 1}
    found[0, j, :2] = small[1, j, :2] + (0.05 * reach, 0)
    assert kinds_of(small, found, "left_wrist") == {"good": 1, "swap": 1}


def test_the_place_of_another_joint_is_a_miss(people):
    found = people.copy()
    found[0, JOINTS.index("left_wrist")] = people[0, JOINTS.index("left_ankle")]
    found[1, JOINTS.index("nose")] = 0
    assert kinds_of(people, found, "left_wrist") == {"good": 1, "miss": 1}
    assert kinds_of(people, found, "nose") == {"good": 1, "miss": 1}  # not found at all


def test_people_missed_and_false(people):
    stranger = people[:1] + (0, 3000, 0)
    total = diagnose(people, np.concatenate([people[:1], stranger]), COCO18)
    assert total[1:] == (1, 1, 1)
    mask = np.ones((4000, 1000), np.uint8)
    mask[2500:] = 0  # nobody is labelled there
    assert diagnose(people, np.concatenate([people, stranger]), COCO18, mask)[1:] == (2, 0, 0)
    assert add_up([total, total])[1:] == (2, 2, 2)
    assert diagnose(people[:0], people[:0], COCO18)[1:] == (0, 0, 0)
