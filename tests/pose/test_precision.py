"""Weighted precision against pycocotools, which is given every image as often as it counts."""

import numpy as np
import pytest

from danceflax.pose.metrics import (
    STATS,
    ground_truth_from_records,
    match_and_measure,
    person_results,
)
from danceflax.pose.precision import weighted_precision
from danceflax.skeleton import COCO18


def make_images(rng, count=12):
    """(records, people found, their scores): noisy, some missed, some false."""
    images = []
    for _ in range(count):
        people = np.zeros((int(rng.integers(1, 4)), 18, 3))
        extent = rng.uniform(40, 400, (len(people), 1, 1))
        people[..., :2] = rng.uniform(0, 1, (*people.shape[:2], 2)) * extent + 50
        people[..., 2] = 2
        found = people + rng.normal(0, 0.05, people.shape) * extent * (1, 1, 0)
        found = np.concatenate([found[rng.random(len(found)) > 0.2], people[:1] + (600, 0, 0)])
        images.append((people, found, rng.random(len(found))))
    return images


def measure(images):
    records = [{"people": people, "id": n} for n, (people, _, _) in enumerate(images)]
    results = [
        entry
        for n, (_, found, scores) in enumerate(images)
        for entry in person_results(found, scores, n, COCO18, COCO18.joints)
    ]
    truth = ground_truth_from_records(records, COCO18)
    return match_and_measure(truth, results, COCO18.sigmas, list(range(len(images))))


def test_weights_are_repeated_images():
    rng = np.random.default_rng(3)
    images = make_images(rng)
    figures, matches = measure(images)
    once = weighted_precision(matches, np.ones(len(images), int))
    assert {name: once[name] for name in STATS} == pytest.approx(figures)
    assert 0 < once["AP"] < 1 and set(once) - set(STATS)
    weights = rng.multinomial(len(images), np.full(len(images), 1 / len(images)))
    drawn = [image for image, n in zip(images, weights, strict=True) for _ in range(n)]
    expected, found = measure(drawn)[0], weighted_precision(matches, weights)
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_nobody_found_and_nobody_of_a_size():
    images = [(people * (0.1, 0.1, 1), found[:0], scores[:0])
              for people, found, scores in make_images(np.random.default_rng(0), 2)]  # fmt: skip
    found = weighted_precision(measure(images)[1], np.array([1, 2]))
    assert found["AP"] == found["AR"] == 0 and np.isnan(found["APL"])
