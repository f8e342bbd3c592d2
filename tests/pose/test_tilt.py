"""How far people are tilted, and figures by it."""

import numpy as np
import pytest

from danceflax.pose import pck, tilt
from danceflax.pose.metrics import ground_truth_from_records, match_and_measure, person_results
from danceflax.skeleton import COCO18


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
    np.testing.assert_allclose(tilt.body_tilt(people, COCO18), np.abs(angles), atol=1e-4)
    people[3, COCO18.joints.index("left_hip")] = 0
    assert np.isnan(tilt.body_tilt(people, COCO18)).tolist() == [False] * 3 + [True] + [False] * 3


def test_figures_by_tilt():
    """Of two upright people one knee is wrong, of one upside down all; the rest of the image does
    not show, nor do tilts that nobody has."""
    people = np.stack([make_person(angle) for angle in (0, 10, 170, 90)])
    people[3, COCO18.joints.index("right_hip")] = 0
    people[:, :, 0] += np.arange(4)[:, None] * 500 * (people[..., 2] > 0)
    found = people[[0, 1, 3]].copy()
    found[1, COCO18.joints.index("left_knee"), 1] += 90
    errors, labelled = pck.joint_errors(people, found, COCO18)
    sums = tilt.sum_by_tilt(people, errors <= pck.THRESHOLD, labelled, COCO18)
    np.testing.assert_array_equal(sums, [[7, 8], [0, 0], [0, 0], [0, 4]])
    assert tilt.tilt_metrics(sums + sums) == {"PCK/tilt/upright": 7 / 8, "PCK/tilt/inverted": 0}


def make_case(images):
    """(COCO truth, results) of images of (people, found)."""
    records = [{"people": people, "id": n} for n, (people, _) in enumerate(images)]
    results = [
        entry
        for n, (_, found) in enumerate(images)
        for entry in person_results(found, found[:, 1, 2], n, COCO18, COCO18.joints)
    ]
    return ground_truth_from_records(records, COCO18), results


def test_precision_by_tilt_is_pycocotools_of_the_images_of_that_tilt():
    """Each image has a tilt of its own, in which some are missed and some false; and then all of
    them are on one picture after the other, far apart."""
    rng, images = np.random.default_rng(0), {}
    for name, angle in {"upright": 5, "lying": 90, "inverted": 175}.items():
        for n in range(4):
            people = np.stack([make_person(angle + rng.uniform(-4, 4)) for _ in range(3)])
            people[:, :, :2] += np.arange(3)[:, None, None] * (400, 0) * (people[..., 2:] > 0)
            found = people + rng.normal(0, 3, people.shape) * (1, 1, 0) * (people[..., 2:] > 0)
            found[2, :, 1] += 900 * (n % 2)  # nobody is labelled there
            found[..., 2] *= rng.uniform(0.1, 1, (3, 1))
            images[name, n] = people, found[rng.random(3) > 0.2]
    once = np.ones(len(images), int)
    mixed = [
        tuple(
            np.concatenate([
                images[name, n][side] + (0, 2000 * k, 0) * (images[name, n][side][..., 2:] > 0)
                for k, name in enumerate(("upright", "lying", "inverted"))
            ])
            for side in (0, 1)
        )
        for n in range(4)
    ]  # fmt: skip
    found = []
    for chosen in (list(images.values()), mixed):
        matches = tilt.match_by_tilt(*make_case(chosen), COCO18, list(range(len(chosen))))
        found.append(tilt.precision_by_tilt(matches, once[: len(chosen)]))
    assert np.isnan(found[0]["AP/tilt/leaning"])
    for name in ("upright", "lying", "inverted"):
        own = make_case([image for (of, _), image in images.items() if of == name])
        expected = match_and_measure(*own, COCO18.sigmas)[0]["AP"]
        assert 0.2 < expected < 0.95
        for figures in found:
            assert figures[f"AP/tilt/{name}"] == pytest.approx(expected)
