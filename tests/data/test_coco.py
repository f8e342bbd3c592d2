import copy
import json
import pathlib
import shutil

import numpy as np
import pytest
from conftest import shared_data
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from danceflax.data.coco import CocoSource
from danceflax.data.coco_files import image_ids
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
        by_id[442619]["keypoints"][12:] = [0] * 39  # four are too few
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

    assert root[1](add_feet).annotations is None  # pycocotools would want 17 joints
    path = root[0] / "annotations" / "person_keypoints_val2017.json"
    source = CocoSource(root[0] / "val2017", path, BODY25)
    assert source[0]["labelled"].all() and source[1]["labelled"].all()
    np.testing.assert_array_equal(source[0]["people"][:, 19:], [[[9, 9, 1]] * 6])
    without = CocoSource(root[0] / "val2017", root[1]().annotations, BODY25)[0]["labelled"]
    assert without[:19].all() and not without[19:].any()


def test_faults(root, tmp_path):
    folder, write = root
    path = folder / "annotations" / "person_keypoints_val2017.json"
    faults = {
        "expected the 17 of its cat": lambda data: data["annotations"][0]["keypoints"].pop(),
        "has no image_id": lambda data: data["annotations"][0].pop("image_id"),
        "of no image": lambda data: data["annotations"][0].update(image_id=3),
        "no category lists keypoints": lambda data: data.update(categories=[{"id": 1}]),
        "none is a joint": lambda data: data["categories"][0].update(keypoints=["x"] * 17),
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


def test_a_category_s_own_joints(tmp_path):
    """Sports photographs with 14 joints of their own, in their own order: no face is labelled."""
    folder = shared_data("photos", "sports")
    path = folder / "annotations" / "person_keypoints_test.json"
    data = json.loads(path.read_text())
    names = data["categories"][0]["keypoints"]
    by_image = {a["image_id"]: a for a in data["annotations"]}
    for skeleton in (COCO18, BODY25):
        source = CocoSource(folder / "test", path, skeleton)
        assert source.annotations is None and len(source) == 200
        record = source[3]
        keypoints = np.array(by_image[record["id"]]["keypoints"]).reshape(-1, 3)
        for j, joint in enumerate(skeleton.joints):
            derived = joint == "mid_hip"
            assert record["labelled"][j] == (joint in names or derived), joint
            if joint in names:
                np.testing.assert_allclose(record["people"][0, j], keypoints[names.index(joint)])
            elif not derived:
                assert (record["people"][:, j] == 0).all()
    assert not source[0]["labelled"][BODY25.joints.index("nose")]
    assert len(CocoSource(folder / "test", path, COCO18, training=True)) > 190


def test_categories_that_are_no_people(root):
    """Only categories that list keypoints are people; names are taken as they are meant."""

    def add_animals(data):
        other = {"id": 17, "name": "cat"}
        person = data["categories"][0]
        person["keypoints"] = [name.replace("_", " ").title() for name in person["keypoints"]]
        data["categories"] = [other, person | {"id": "p"}]
        for annotation in data["annotations"]:
            annotation["category_id"] = "p"
        cat = {"id": 1, "image_id": 785, "category_id": 17, "bbox": [0, 0, 300, 300]}
        data["annotations"] += [cat, cat | {"id": 2, "keypoints": [1, 1, 2], "category_id": 17}]

    plain, mixed = root[1](), root[1](add_animals)
    assert mixed.annotations is None and plain.annotations
    for i in range(4):
        for key in ("people", "boxes", "labelled"):
            np.testing.assert_array_equal(plain[i][key], mixed[i][key])
        assert (plain[i]["mask"] is None) == (mixed[i]["mask"] is None)


REGIONS = {"nothing": [], "null": None, "two points": [[1.0, 2.0, 3.0, 4.0]]}


@pytest.mark.parametrize("region", REGIONS)
def test_regions_that_are_none_cover_the_box(root, region):
    def crowd(data):
        data["annotations"] = [
            {"id": 1, "image_id": 785, "category_id": 1, "iscrowd": 1, "bbox": [10, 20, 30, 40.5],
             "segmentation": REGIONS[region]}
        ]  # fmt: skip

    mask = root[1](crowd)[0]["mask"]
    expected = np.ones((425, 640), np.uint8)
    expected[20:61, 10:40] = 0
    np.testing.assert_array_equal(mask, expected)


def test_packed_run_lengths_agree_with_pycocotools(root):
    shape = np.random.default_rng(0).random((425, 640)) > 0.7
    packed = coco_mask.encode(np.asfortranarray(shape.astype(np.uint8)))
    runs = np.flatnonzero(np.diff(np.concatenate([[0], shape.T.ravel(), [0]]).astype(int)))
    counts = np.diff(np.concatenate([[0], runs, [shape.size]])).tolist()
    for text in (packed["counts"].decode(), counts):

        def crowd(data, text=text):
            region = {"size": [425, 640], "counts": text}
            data["annotations"] = [
                {"id": 1, "image_id": 785, "category_id": 1, "iscrowd": 1, "segmentation": region}
            ]

        np.testing.assert_array_equal(root[1](crowd)[0]["mask"], 1 - shape.astype(np.uint8))


def test_what_tools_leave_out_is_made_up_for(root):
    """Every entry but the keypoints absent or null, ids that are words, a byte order mark."""

    def strip(data):
        for image in data["images"]:
            image["id"] = f"image {image['id']}"
            image.pop("height")
        for n, a in enumerate(data["annotations"]):
            a["image_id"] = f"image {a['image_id']}"
            for key in ("bbox", "area", "iscrowd", "segmentation", "num_keypoints"):
                if n % 2:
                    a.pop(key, None)
                else:
                    a[key] = None
        data.pop("categories")

    plain, poor = root[1](), root[1](strip)
    path = root[0] / "annotations" / "person_keypoints_val2017.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    again = CocoSource(root[0] / "val2017", path, COCO18, training=True)
    assert poor.annotations is None and poor.image_ids.tolist() == [0, 1, 2, 3]
    for i in range(4):
        np.testing.assert_array_equal(plain[i]["people"], poor[i]["people"])
        assert poor[i]["boxes"].shape == (len(poor[i]["people"]), 4)
        assert (poor[i]["boxes"][:, 2:] > 0).all()
    assert len(again) >= 10


def test_ids_of_images_by_name_or_file(tmp_path):
    numbered = [pathlib.Path(f"a/{name}.jpg") for name in ("000000000139", "COCO_val2014_42", "7")]
    ids = {"000000000139": 139, "COCO_val2014_42": 42, "7": 7}
    assert image_ids(numbered) == ids
    assert image_ids([pathlib.Path("7.jpg"), pathlib.Path("007.png")]) == {}  # both would be 7
    named = [pathlib.Path("x.jpg")]
    assert image_ids(named) == {}
    (tmp_path / "coco.json").write_text('{"images": [{"id": "5", "file_name": "deep/x.jpg"}]}')
    assert image_ids(named, tmp_path / "coco.json") == {"x": 5}
    with pytest.raises(UserError, match=r"lists no image 7\.jpg"):
        image_ids([pathlib.Path("7.jpg")], tmp_path / "coco.json")
