"""The decoder on what a small published network says of real photographs (pycocotools' AP)."""

import json

import numpy as np
import pytest
from conftest import shared_data

from danceflax.people import transform_people
from danceflax.pose.decode import make_decoder
from danceflax.pose.metrics import coco_average_precision, person_results
from danceflax.skeleton import COCO18

BATCH = 8


@pytest.fixture(scope="module")
def real():
    """(heatmaps, pafs, input pixels a pixel, image ids, COCO annotations) of 40 images."""
    stored = np.load(shared_data("real_maps.npz"))
    path = shared_data("photos", "coco", "annotations", "person_keypoints_val2017.json")
    truth = json.loads(path.read_text())
    ids = {image["file_name"]: image["id"] for image in truth["images"]}
    maps = stored["maps"].astype("f")
    ids = [ids[name] for name in stored["names"]]
    return maps[..., :19], maps[..., 19:], stored["scale"], ids, truth


def average_precision(real, **options):
    heatmaps, pafs, scales, ids, truth = real
    decode, results = make_decoder(COCO18, **options), []
    for start in range(0, len(ids), BATCH):
        part = slice(start, start + BATCH)
        found = map(np.asarray, decode(heatmaps[part], pafs[part]))
        for people, scores, scale, image in zip(*found, scales[part], ids[part], strict=True):
            to_image = np.column_stack([np.eye(2) / scale, [0.5 / scale - 0.5] * 2])
            people = transform_people(people[scores > 0], to_image)
            results += person_results(people, scores[scores > 0], image, COCO18)
    return coco_average_precision(truth, results, image_ids=ids)["AP"]


def test_real_maps_decode_as_well_as_they_did(real):
    """A published Python decoder reaches 0.132 on the same maps."""
    assert average_precision(real) >= 0.144


def test_no_threshold_of_ours_is_tuned_to_drawn_maps(real):
    """What the rule's authors use for real maps is within a hundredth of AP of other choices, and
    the tree rule, with its authors' choices, is better than the published decoder too."""
    own = average_precision(real)
    for options in ({"peak_threshold": 0.1}, {"paf_ratio": 0.7}, {"paf_threshold": 0.03}):
        assert abs(average_precision(real, **options) - own) < 0.01, options
    assert average_precision(real, rule="tree") >= 0.132
