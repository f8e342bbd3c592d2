"""The MPII source, from a .mat file that scipy wrote in the published structure."""

import cv2
import numpy as np
import pytest
import scipy.io
from ml_collections import ConfigDict

from danceflax.data.mpii import FILE, JOINTS, MpiiSource
from danceflax.data.sources import open_source
from danceflax.errors import UserError
from danceflax.skeleton import COCO18


def person(points, **fields):
    """An annorect; points are {id: (x, y, is_visible)}."""
    point = [dict(x=x, y=y, id=i, is_visible=v) for i, (x, y, v) in points.items()]
    rect = dict(x1=1, y1=2, x2=3, y2=4, scale=0.1, objpos=dict(x=30.0, y=20.0)) | fields
    return rect | {"annopoints": dict(point=np.array(point, object)) if point else np.zeros((0, 0))}


@pytest.fixture
def root(tmp_path):
    """Five images: two videos, one image with nobody labelled, one of the test set."""
    (tmp_path / "images").mkdir()
    full = {i: (float(10 + i), float(20 + 2 * i), 1) for i in range(16)}
    half = {12: (40.0, 30.0, 0), 13: (50.0, 32.0, np.zeros((0, 0))), 8: (45.0, 25.0, "1")}
    rects = [
        [person(full), person({})],
        [person(half)],
        [person({})],
        [person(full), person(half), person(half)],
        [dict(x1=1, y1=1, x2=2, y2=2)],
    ]
    annolist = []
    for number, rect in enumerate(rects):
        name = f"{number:09d}.jpg"
        cv2.imwrite(str(tmp_path / "images" / name), np.full((60, 80, 3), 40, np.uint8))
        annolist.append(
            dict(
                image=dict(name=name), annorect=np.array(rect, object), vididx=[10, 11][number % 2]
            )
        )
    train = [1, 1, 1, 1, 0]
    release = dict(annolist=np.array(annolist, object), img_train=train)
    scipy.io.savemat(tmp_path / FILE, {"RELEASE": release})
    return tmp_path


def test_people_are_read_with_their_visibility(root):
    source = MpiiSource(root / "images", root / FILE, "all", COCO18)
    assert len(source) == 3
    record = source[0]
    shoulder, ear = COCO18.joints.index("right_shoulder"), COCO18.joints.index("right_ear")
    neck = COCO18.joints.index("neck")
    np.testing.assert_array_equal(record["people"][0, shoulder], [22, 44, 2])
    np.testing.assert_array_equal(record["people"][0, neck], [22.5, 45, 2])  # not the upper neck
    assert not record["labelled"][ear] and record["labelled"][shoulder]
    left = COCO18.joints.index("left_shoulder")
    np.testing.assert_array_equal(source[1]["people"][0, [shoulder, left], 2], [1, 2])
    assert len(source[2]["people"]) == len(source[2]["boxes"]) == 3
    x, y, width, height = record["boxes"][0]
    assert (x < 10) and (y < 20) and (x + width > 25) and (y + height > 50) and len(JOINTS) == 16


def test_people_without_keypoints_are_masked(root):
    source = MpiiSource(root / "images", root / FILE, "all", COCO18)
    mask = source[0]["mask"]
    expected = np.ones((60, 80), np.uint8)
    expected[10:30, 20:40] = 0  # 200 pixels times the scale, about (30, 20)
    np.testing.assert_array_equal(mask, expected)
    assert source[1]["mask"] is None


def test_no_video_is_in_two_splits(root):
    config = ConfigDict(dict(source="mpii", root=str(root)))
    files = {
        split: {
            record["name"] for record in map(open_source(config, split, COCO18).__getitem__, ids)
        }
        for split, ids in (("val", range(1)), ("train", range(2)))
    }
    assert files == {"val": {"000000000.jpg"}, "train": {"000000001.jpg", "000000003.jpg"}}
    with pytest.raises(UserError, match="splits train, val, all, not 'test'"):
        open_source(config, "test", COCO18)


def test_other_files_are_answered(root):
    scipy.io.savemat(root / "other.mat", {"x": np.zeros(3)})
    (root / "text.mat").write_text("nothing" * 50)
    for name in ("other.mat", "text.mat"):
        with pytest.raises(UserError, match=rf"{name}: not MPII's annotations .*expected mpii_hum"):
            MpiiSource(root / "images", root / name, "all", COCO18)
    with pytest.raises(UserError, match=r"none\.mat: cannot be read: No such file"):
        MpiiSource(root / "images", root / "none.mat", "all", COCO18)
