import json

import numpy as np
import pytest
from conftest import letsdance_json, shared_data
from hypothesis import given, settings
from hypothesis import strategies as st

from danceflax.data.keypoint_files import CPM14_JOINTS, parse_keypoints, read_keypoints
from danceflax.errors import BadSampleError
from danceflax.people import transform_people
from danceflax.skeleton import BODY25, COCO17_JOINTS, COCO18, UNLABELLED, convert_joints


def random_people(count, joints, seed=0):
    people = np.random.default_rng(seed).uniform(5, 300, (count, joints, 3)).round(2)
    people[..., 2] = 2
    return people


def test_letsdance_pairs_are_read_by_name():
    people = random_people(2, 17)
    shuffled = [[person[0], *person[:0:-1]] for person in json.loads(letsdance_json(people))]
    found, joints = parse_keypoints(json.dumps(shuffled), "a.json")
    assert joints == tuple(COCO17_JOINTS)
    np.testing.assert_allclose(found, people, rtol=1e-6)


def test_nobody():
    assert parse_keypoints("[]", "a.json")[0].shape == (0, 17, 3)
    assert parse_keypoints('{"version": 1.3, "people": []}', "a.json")[0].shape == (0, 25, 3)


@pytest.mark.parametrize(
    "keys", [("people", "pose_keypoints_2d"), ("people", "pose_keypoints"), ("bodies", "joints")]
)
@pytest.mark.parametrize("skeleton", [BODY25, COCO18])
def test_openpose_versions(keys, skeleton):
    people = random_people(2, skeleton.num_joints)
    people[..., 2] = 0.4
    people[0, 3] = 0
    text = json.dumps({"version": 0.1, keys[0]: [{keys[1]: p.ravel().tolist()} for p in people]})
    found, joints = parse_keypoints(text, "a.json")
    assert joints == skeleton.joints
    np.testing.assert_array_equal(found[0, 3], 0)
    np.testing.assert_array_equal(found[..., 2], np.where(people[..., 2] > 0, 2, 0))
    np.testing.assert_allclose(found[..., :2], people[..., :2], rtol=1e-6)


def test_the_2018_text_format():
    people = random_people(3, 14)
    lines = [
        json.dumps(["person", *([n, x, y] for n, (x, y, _) in zip(CPM14_JOINTS, p, strict=True))])
        for p in people
    ]
    for count in (1, 3):
        found, joints = parse_keypoints("\n".join(lines[:count]) + "\n", "a.txt")
        assert joints == tuple(CPM14_JOINTS)
        np.testing.assert_allclose(found, people[:count], rtol=1e-6)


def test_coco_annotations_and_results():
    people = random_people(2, 17)
    people[0, 1] = (0, 0, 0)
    people[0, 2, 2] = 1
    entries = [{"image_id": 7, "keypoints": person.ravel().tolist()} for person in people]
    for text in (json.dumps(entries), json.dumps({"annotations": entries})):
        np.testing.assert_allclose(parse_keypoints(text, "a.json")[0], people, rtol=1e-6)
    scores = np.array(people)
    scores[..., 2] = 0.7
    entries = [{"image_id": 7, "keypoints": person.ravel().tolist()} for person in scores]
    assert (parse_keypoints(json.dumps(entries), "a.json")[0][..., 2] == 2).all()


PEOPLE = random_people(1, 17)
FAULTS = {
    "empty": ("", "is empty"),
    "truncated": (letsdance_json(PEOPLE)[:-9], "not JSON"),
    "unknown joint": (letsdance_json(PEOPLE).replace("nose", "tail"), "tail, left_eye"),
    "not a number": (letsdance_json(np.full((1, 17, 2), np.nan)), "person 0"),
    "no picture": (letsdance_json(np.full((1, 17, 2), 1e38)), "a nose at (1e+38, 1e+38)"),
    "large": ("[" + " " * 9_000_000 + "]", "larger than 8,000,000 bytes"),
    "long name": (json.dumps([[["person"], ["x" * 99_999, [1, 2]]]]), "person 0 has 1 joints (xxx"),
    "openpose joints": ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', "1 joints"),
    "openpose null": (
        json.dumps({"people": [{"pose_keypoints_2d": [None] * 54}]}),
        "not a number",
    ),
    "openpose scaled": (
        json.dumps({"people": [{"pose_keypoints_2d": [0.5] * 54}]}),
        "expected pixels",
    ),
    "other tool": ('{"shapes": [], "imagePath": "a.jpg"}', "another tool"),
    "number": ("3", "another tool"),
    "text lines": ('["person"]\n["person", ["a", 1, 2]]', "0 joints; expected 14"),
    "several images": (
        json.dumps([{"image_id": i, "keypoints": [1] * 51} for i in (1, 2)]),
        "several images",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line_naming_the_file(fault, tmp_path):
    text, expected = FAULTS[fault]
    path = tmp_path / "a_0001.json"
    path.write_text(text)
    with pytest.raises(BadSampleError) as error:
        read_keypoints(path)
    assert str(path) in str(error.value) and expected in str(error.value)
    assert "\n" not in str(error.value)


KEYS = st.sampled_from(["people", "bodies", "annotations", "keypoints", "pose_keypoints_2d", "x"])
NUMBERS = st.integers() | st.floats() | st.just([1.0] * 51) | st.just([2] * 54)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.sampled_from(["nose", "person"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ANYTHING, min_size=1, max_size=3))
def test_any_json_is_people_or_a_bad_sample(lines):
    try:
        people, joints = parse_keypoints("\n".join(map(json.dumps, lines)), "a.json")
    except BadSampleError as error:
        assert str(error).startswith("a.json: ")
    else:
        assert people.shape[1:] == (len(joints), 3) and np.isfinite(people).all()


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(BadSampleError, match="No such file"):
        read_keypoints(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(BadSampleError, match="not a text file"):
        read_keypoints(tmp_path / "b.json")


def test_real_openpose_files():
    """584 files of a dance video, as OpenPose 1.3 wrote them; read beside json alone."""
    files = sorted(shared_data("dance_clips/demo_openpose_json/demo-json").glob("*.json"))
    counts = []
    for path in files:
        people, joints = read_keypoints(path)
        raw = [p["pose_keypoints_2d"] for p in json.loads(path.read_text())["people"]]
        assert joints == BODY25.joints and len(people) == len(raw)
        raw = np.array(raw).reshape(-1, 25, 3)
        np.testing.assert_allclose(people[..., :2], raw[..., :2] * (raw[..., 2:] > 0), rtol=1e-6)
        counts.append(len(people))
    assert len(files) == 584
    assert sum(c > 0 for c in counts) == 574 and sum(c > 1 for c in counts) == 122


def test_a_teachers_doubtful_joints_are_unlabelled_not_absent():
    """OpenPose JSON and COCO results; what was never found lies in the middle of the others."""
    values = np.zeros((25, 3))
    values[:4] = [(10, 20, 0.9), (30, 40, 0.6), (50, 60, 0.3), (0, 0, 0)]
    text = json.dumps({"people": [{"pose_keypoints_2d": values.ravel().tolist()}]})
    people, _ = parse_keypoints(text, "a.json", 0.5)
    assert people[0, :4, 2].tolist() == [2, 2, UNLABELLED, UNLABELLED]
    np.testing.assert_allclose(people[0, 2:4, :2], [(50, 60), (30, 40)])
    people, _ = parse_keypoints(text, "a.json")
    assert people[0, :4, 2].tolist() == [2, 2, 2, 0]
    result = [{"image_id": 1, "keypoints": values[:17].ravel().tolist(), "score": 0.5}]
    people, _ = parse_keypoints(json.dumps(result), "a.json", 0.5)
    assert people[0, :4, 2].tolist() == [2, 2, UNLABELLED, UNLABELLED]
    labels = values[:17].copy()
    labels[:3, 2] = 1, 2, 1  # visibilities are no confidences
    result[0]["keypoints"] = labels.ravel().tolist()
    people, _ = parse_keypoints(json.dumps(result), "a.json", 0.5)
    assert people[0, :4, 2].tolist() == [1, 2, 1, 0]


def test_unlabelled_joints_stay_so_on_the_way():
    joints = ("left_shoulder", "right_shoulder", "left_hip")
    people = np.array(
        [[(10, 10, UNLABELLED), (20, 10, 2), (15, 40, 2)], [(1, 1, 2), (0, 0, 0), (5, 5, 2)]]
    )
    converted, _ = convert_joints(people, joints, ("neck", "left_shoulder"))
    np.testing.assert_allclose(converted[0], [(15, 10, UNLABELLED), (10, 10, UNLABELLED)])
    np.testing.assert_allclose(converted[1], [(0, 0, 0), (1, 1, 2)])
    moved = transform_people(converted, np.array([[2.0, 0, 1], [0, 2, 0]]))
    np.testing.assert_allclose(moved[0], [(31, 20, UNLABELLED), (21, 20, UNLABELLED)])
