import copy
import json
import shutil

import numpy as np
import pytest
from conftest import shared_data
from pycocotools.coco import COCO

from danceflax.data.coco import CocoSource
from danceflax.data.sources import open_source
from danceflax.errors import BadSampleError, UserError
from danceflax.skeleton import BODY25, COCO18


@pytest.fixture(scope="module")
def annotations():
    return json.loads(shared_data("coco", "test_coco.json").read_text())


@pytest.fixture
def root(tmp_path, annotations):
    """The real set in COCO's own layout; returns (root, function that rewrites annotations)."""
    shutil.copytree(shared_data("coco"), tmp_path / "val2017")
    (tmp_path / "annotations").mkdir()
    path = tmp_path / "annotations" / "person_keypoints_val2017.json"

    def write(change=lambda data: None):
        data = copy.deepcopy(annotations)
        change(data)
        path.write_text(json.dumps(data))
        return CocoSource(tmp_path / "val2017", path, COCO18)

    write()
    return tmp_path, write


class Config(dict):
    __getattr__ = dict.__getitem__


def test_evaluation_sees_each_image_once(root, annotations):
    config = Config(source="coco", root=str(root[0]))
    source = open_source(config, "val2017", COCO18)
    assert source.image_ids.tolist() == [image["id"] for image in annotations["images"]]
    assert [source[i]["id"] for i in range(4)] == source.image_ids.tolist()
    assert sum(len(source[i]["people"]) for i in range(4)) == 12  # 14, two without keypoints
    assert source.annotations.endswith("person_keypoints_val2017.json")
    own = Config(
        source="coco",
        root="",
        images=str(root[0] / "{}"),
        annotations=str(shared_data("coco", "test_coco.json")),
    )
    assert len(open_source(own, "val2017", COCO18, training=True)) == len(
        open_source(config, "val2017", COCO18, training=True)
    )


def test_joints_boxes_and_mask_agree_with_pycocotools(root, annotations):
    source = root[1]()
    coco = COCO(source.annotations)
    for record in map(source.__getitem__, range(4)):
        entries = coco.loadAnns(coco.getAnnIds(imgIds=record["id"]))
        labelled = [a for a in entries if a["num_keypoints"]]
        raw = np.array([a["keypoints"] for a in labelled], float).reshape(-1, 17, 3)
        people = record["people"]
        np.testing.assert_allclose(people[:, 0], raw[:, 0])  # nose
        np.testing.assert_allclose(people[:, 4], raw[:, 10])  # right wrist
        np.testing.assert_allclose(people[:, 15], raw[:, 1])  # left eye
        shoulders = raw[:, 5:7]
        both = (shoulders[..., 2] > 0).all(1)
        np.testing.assert_allclose(people[both, 1, :2], shoulders[both, :, :2].mean(1))
        np.testing.assert_array_equal(people[~both, 1], 0)
        np.testing.assert_allclose(record["boxes"], [a["bbox"] for a in labelled], rtol=1e-6)
        hidden = [coco.annToMask(a) for a in entries if not a["num_keypoints"]]
        if hidden:
            np.testing.assert_array_equal(record["mask"], 1 - np.maximum.reduce(hidden))
        else:
            assert record["mask"] is None


def test_main_people_are_chosen_by_the_published_rule(root, annotations):
    """Checked by hand against the 14 annotations: all 12 with keypoints are main, each once."""
    source = CocoSource(root[0] / "val2017", root[1]().annotations, COCO18, training=True)
    assert len(source) == 12
    assert np.unique(source.image_ids, return_counts=True)[1].tolist() == [1, 2, 4, 5]

    def crowd_in(data):
        by_id = {a["id"]: a for a in data["annotations"]}
        by_id[442619]["num_keypoints"] = 4  # too few
        by_id[198196]["area"] = 1023  # too small
        x, y, *_ = by_id[460541]["bbox"]  # 300 high: within 0.3 of it is within 90 pixels
        by_id[488308]["bbox"] = [x + 50, y + 100, 48, 113]
        by_id[1724673]["iscrowd"] = 1
        by_id[1724673]["segmentation"] = {"size": [429, 640], "counts": [0, 429, 429 * 639]}

    path = root[1](crowd_in).annotations
    source = CocoSource(root[0] / "val2017", path, COCO18, training=True)
    assert np.unique(source.image_ids, return_counts=True)[1].tolist() == [1, 2, 5]
    crowd = next(r for r in map(source.__getitem__, range(len(source))) if r["id"] == 196141)
    assert (crowd["mask"][:, 0] == 0).all() and len(crowd["people"]) == 3


def test_feet(root):
    def add_feet(data):
        for a in data["annotations"]:
            if a["image_id"] != 785:
                a["keypoints"] += [7.0, 8.0, 2.0] * 6
        data["annotations"][0]["foot_kpts"] = [9.0, 9.0, 1.0] * 6

    path = root[1](add_feet).annotations
    source = CocoSource(root[0] / "val2017", path, BODY25)
    assert source[0]["labelled"].all() and source[1]["labelled"].all()
    np.testing.assert_array_equal(source[0]["people"][:, 19:], [[[9, 9, 1]] * 6])
    without = CocoSource(root[0] / "val2017", root[1]().annotations, BODY25)[0]["labelled"]
    assert without[:19].all() and not without[19:].any()


def test_faults(root, tmp_path):
    folder, write = root
    path = folder / "annotations" / "person_keypoints_val2017.json"
    faults = {
        "17, or 23": lambda data: data["annotations"][0]["keypoints"].pop(),
        "lacks area": lambda data: data["annotations"][0].pop("area"),
        "not a number": lambda data: data["annotations"][0]["keypoints"].__setitem__(0, None),
        "images and annotations": lambda data: data.pop("images"),
        "lists no image": lambda data: data["images"].clear(),
    }
    for reason, change in faults.items():
        with pytest.raises(UserError, match=reason) as error:
            write(change)
        assert path.name in str(error.value)
    path.write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        CocoSource(folder / "val2017", path, COCO18)
    with pytest.raises(UserError, match="cannot be read"):
        CocoSource(folder / "val2017", "none.json", COCO18)
    with pytest.raises(UserError, match="no such folder"):
        CocoSource(folder / "none", path, COCO18)
    write(lambda data: data["annotations"].clear())
    with pytest.raises(UserError, match="no person to train on"):
        CocoSource(folder / "val2017", path, COCO18, training=True)
    source = write(lambda data: data["images"][0].update(height=1))
    with pytest.raises(BadSampleError, match=r"image 785.*annotations say 640x1"):
        source[0]
    (folder / "val2017" / "000000040083.jpg").unlink()
    with pytest.raises(BadSampleError, match=r"000000040083\.jpg \(image 40083 of .*val2017\.json"):
        source[1]
