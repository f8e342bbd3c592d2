"""Hostile COCO files: refused in a line, before any C code sees them."""

import json
import os

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from danceflax.data import coco_checks
from danceflax.data.coco import CocoSource
from danceflax.errors import BadSampleError, UserError
from danceflax.skeleton import COCO18

SIZE = (40, 60)
PERSON = {
    "id": 1, "image_id": 7, "keypoints": [30.0, 20.0, 2] * 17, "num_keypoints": 17,
    "bbox": [5.0, 5.0, 40.0, 30.0], "area": 1200.0, "segmentation": [], "iscrowd": 0,
}  # fmt: skip


def open_set(folder, segmentation=None, image=None, **person):
    """A set of one picture: a labelled person and, with a segmentation, an unlabelled one."""
    (folder / "images").mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "images" / "a.png"), np.zeros(SIZE, np.uint8))
    hidden = {"id": 2, "num_keypoints": 0, "segmentation": segmentation}
    people = [PERSON | person] + ([PERSON | hidden] if segmentation is not None else [])
    entry = {"id": 7, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]} | (image or {})
    path = folder / "people.json"
    path.write_text(json.dumps({"images": [entry], "annotations": people}))
    return CocoSource(folder / "images", path, COCO18)


RUNS = {"size": list(SIZE), "counts": [100, 50, 40 * 60 - 150]}
SEGMENTATIONS = {
    "1e308": [[0, 0, 1e308, 0, 9, 9]],
    "1e9": [[0, 0, 1e9, 0, 9, 9]],
    "nan": [[0, 0, float("nan"), 0, 9, 9]],
    "huge whole number": [[0, 0, 10**400, 0, 9, 9]],
    "half a point": [[0, 0, 9, 9, 5, 0, 3]],
    "text": [["0"] * 6],
    "no polygon": [3],
    "many points": [[1, 1] * 30_000],
    "size 2^31": RUNS | {"size": [1 << 31, 1 << 31]},
    "size 60000": RUNS | {"size": [60_000, 60_000]},
    "size of text": RUNS | {"size": "big"},
    "short": RUNS | {"counts": [10, 20]},
    "negative": RUNS | {"counts": [-5, 2405]},
    "fractions": RUNS | {"counts": [0.5, 2399.5]},
    "no counts": {"size": list(SIZE)},
    "short text": RUNS | {"counts": "1"},
    "endless text": RUNS | {"counts": "o" * 99},
    "foreign text": RUNS | {"counts": "\x00é"},
    "long text": RUNS | {"counts": "oooo1" * 9},
}


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_a_strange_segmentation_is_a_bad_sample(name, tmp_path):
    source = open_set(tmp_path, SEGMENTATIONS[name])
    with pytest.raises(BadSampleError, match=r"image 7 of .*: a segmentation ") as caught:
        source[0]
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@given(arrays(bool, st.tuples(*[st.integers(1, 40)] * 2)))
def test_sound_run_lengths_are_those_of_pycocotools(mask):
    height, width = mask.shape
    text = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    text["counts"] = text["counts"].decode()
    text["size"] = list(text["size"])
    np.testing.assert_array_equal(coco_checks.decode_mask(text, height, width, ""), mask)
    counts = coco_checks._decode_runs(text["counts"], mask.size)
    runs = {"size": text["size"], "counts": counts}
    np.testing.assert_array_equal(coco_checks.decode_mask(runs, height, width, ""), mask)


def test_sound_polygons_may_reach_out_of_the_picture(tmp_path):
    mask = open_set(tmp_path, [[-10, -10, 30, -10, 30, 20, -10, 20]])[0]["mask"]
    assert (mask[:20, :30] == 0).all() and mask[25:].all() and mask[:, 35:].all()


@pytest.mark.parametrize(
    "name", ["../a.png", "/etc/passwd", "x/../../a.png", "..\\a.png", "", "a\0"]
)
def test_no_name_leads_out_of_the_folder(name, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros(SIZE, np.uint8))
    source = open_set(tmp_path, image={"file_name": name})
    with pytest.raises(BadSampleError, match="leads out of"):
        source[0]


def test_a_name_without_end_is_refused(tmp_path):
    with pytest.raises(UserError, match="image 7 has a file_name of more than 500 characters"):
        open_set(tmp_path, image={"file_name": "9" * 5000})


def test_a_link_in_the_folder_may(tmp_path):
    source = open_set(tmp_path, image={"file_name": "link.png"})
    os.symlink(tmp_path / "images" / "a.png", tmp_path / "images" / "link.png")
    assert source[0]["image"].shape == (*SIZE, 3)


@pytest.mark.parametrize("value", [1e38, -1e6, 1e300, float("nan"), float("inf")])
def test_absurd_coordinates_are_bad_samples(value, tmp_path):
    for person in (
        {"keypoints": [30.0, value, 2] * 17},
        {"bbox": [5.0, value, 40.0, 30.0]},
    ):
        with pytest.raises(BadSampleError, match="expected pixels"):
            open_set(tmp_path, **person)[0]


FAULTS = {
    "bbox": {"bbox": [1, 2]},
    "a bbox": {"bbox": "abcd"},
    "keypoints": {"keypoints": [None] * 51},
    "area": {"area": "large"},
    "segmentation": {"segmentation": 3},
    "image_id": {"image_id": []},
    "feet": {"foot_kpts": {}},
    "id": {"image": {"id": 7.5}},
    "large id": {"image": {"id": 1 << 70}},
    "file_name": {"image": {"file_name": 3}},
    "height": {"image": {"height": -3}},
    "pixels": {"image": {"height": 1 << 31}},
    "true": {"image": {"width": True}},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_value_of_another_kind_is_one_line(name, tmp_path):
    with pytest.raises(UserError, match=r"people\.json: (image|annotation) \S+ has ") as caught:
        open_set(tmp_path, **FAULTS[name])
    assert "\n" not in str(caught.value)


OTHER = ["", "[]", "[" * 99999, "9" * 9999, '{"images": 3, "annotations": 4}']
OTHER += ['{"images": [3], "annotations": [4]}']


@pytest.mark.parametrize("text", OTHER)
def test_other_json_is_one_line(text, tmp_path):
    path = tmp_path / "people.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"people\.json: ") as caught:
        CocoSource(tmp_path, path, COCO18)
    assert "\n" not in str(caught.value)
