"""AP against the truth itself, the OKS formula written out, and hand-made cases."""

import copy
import json

import numpy as np
import pytest
from conftest import shared_data
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from danceflax.errors import UserError
from danceflax.pose import metrics as evaluation
from danceflax.pose.pck import torso_length
from danceflax.skeleton import BODY25, COCO17_JOINTS, COCO18, convert_joints

# Where OpenPose finds each COCO joint, from its cocoJsonSaver.
OPENPOSE_TO_COCO = {
    "coco18": [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10],
    "body25": [0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11],
}


def load_records(annotations, skeleton):
    """The records of a COCO dict, without pictures; people without keypoints are left out."""
    for image in annotations["images"]:
        people = [
            a
            for a in annotations["annotations"]
            if a["image_id"] == image["id"] and a["num_keypoints"]
        ]
        keypoints = np.array([a["keypoints"] for a in people], float).reshape(-1, 17, 3)
        converted, _ = convert_joints(keypoints, COCO17_JOINTS, skeleton.joints)
        yield {
            "id": image["id"],
            "people": converted,
            "boxes": np.array([a["bbox"] for a in people]),
        }


def make_person(skeleton, seed=0, size=200.0):
    points = np.random.default_rng(seed).uniform(0, size, (1, skeleton.num_joints, 3))
    points[..., 2] = 2
    return points


@pytest.mark.parametrize("skeleton", [COCO18, BODY25], ids=lambda s: s.name)
def test_truth_as_prediction_is_perfect_on_real_people(skeleton, capfd):
    path = shared_data("coco", "test_coco.json")
    records = list(load_records(json.loads(path.read_text()), skeleton))
    own, coco17 = [], []
    for record in records:
        scores = np.linspace(0.9, 0.5, len(record["people"]))
        args = record["people"], scores, record["id"], skeleton
        own += evaluation.person_results(*args, joints=skeleton.joints)
        coco17 += evaluation.person_results(*args)
    truth = evaluation.ground_truth_from_records(records, skeleton)
    for figures in (
        evaluation.coco_average_precision(truth, own, skeleton.sigmas),
        evaluation.coco_average_precision(path, coco17),
    ):
        assert figures == pytest.approx(dict.fromkeys(evaluation.STATS, 1.0))
    one = evaluation.coco_average_precision(path, coco17, image_ids=[785])  # one large person
    assert one == pytest.approx(
        dict.fromkeys(["AP", "AP50", "AP75", "APL", "AR", "AR50", "AR75", "ARL"], 1.0)
    )
    missed = [entry for entry in coco17 if entry["image_id"] != 785]
    figures = evaluation.coco_average_precision(path, missed)
    assert figures["AR"] == pytest.approx(11 / 12)
    assert figures["AP"] < 0.95
    assert set(evaluation.coco_average_precision(path, []).values()) == {0.0}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("skeleton", [COCO18, BODY25], ids=lambda s: s.name)
def test_joints_go_back_to_coco_as_openpose_does_it(skeleton):
    people = make_person(skeleton)
    people[0, 0, 2] = 0
    (entry,) = evaluation.person_results(people, np.array([0.5]), 3, skeleton)
    expected = people[0, OPENPOSE_TO_COCO[skeleton.name]]
    expected[0] = 0
    np.testing.assert_allclose(np.reshape(entry["keypoints"], (17, 3)), expected, atol=0.0051)
    json.dumps(entry)  # plain numbers
    people[..., 2] = 0
    assert evaluation.person_results(people, np.array([0.5]), 3, skeleton) == []


def test_average_precision_follows_the_oks_of_the_skeletons_sigmas():
    """One person off by some pixels is found at just the thresholds that its OKS reaches."""
    truth = make_person(COCO18)
    found = truth + [5.0, -3.0, 0]
    ground_truth = evaluation.ground_truth_from_records([{"people": truth}], COCO18)
    results = evaluation.person_results(found, np.array([1.0]), 0, COCO18, COCO18.joints)
    before = copy.deepcopy((ground_truth, results))
    for factor in (0.5, 0.8, 1.0, 2.0):
        sigmas = np.array(COCO18.sigmas) * factor
        area = ground_truth["annotations"][0]["area"]
        similarity = np.exp(-(5**2 + 3**2) / (2 * area * (2 * sigmas) ** 2)).mean()
        reached = (similarity >= np.arange(0.5, 0.96, 0.05)).mean()
        figures = evaluation.coco_average_precision(ground_truth, results, sigmas)
        assert figures["AP"] == pytest.approx(reached)
        assert evaluation.oks(truth, found, sigmas)[0, 0] == pytest.approx(similarity, abs=1e-6)
    assert (ground_truth, results) == before


def test_oks_agrees_with_pycocotools_on_real_people():
    rng = np.random.default_rng(0)
    annotations = json.loads(shared_data("coco", "test_coco.json").read_text())
    coco = COCO()
    coco.dataset = annotations
    coco.createIndex()
    for image in annotations["images"]:
        truth = [a for a in coco.imgToAnns[image["id"]] if a["num_keypoints"]]
        people = np.array([a["keypoints"] for a in truth], float).reshape(-1, 17, 3)
        found = people + rng.normal(0, 6, people.shape)
        found[..., 2] = 1
        scores = np.linspace(1, 0.5, len(found))  # pycocotools sorts by score
        results = [
            dict(image_id=image["id"], category_id=1, keypoints=p.ravel().tolist(), score=s)
            for p, s in zip(found, scores, strict=True)
        ]
        evaluator = COCOeval(coco, coco.loadRes(results), "keypoints")
        evaluator.params.imgIds = [image["id"]]
        evaluator._prepare()
        expected = np.array(evaluator.computeOks(image["id"], 1)).T
        kept = [i for i, a in enumerate(coco.imgToAnns[image["id"]]) if a["num_keypoints"]]
        areas = np.array([a["area"] for a in truth], float)
        measured = evaluation.oks(people, found, evaluation.COCO17_SIGMAS, areas)
        np.testing.assert_allclose(measured, expected[kept], atol=1e-6)


def test_area_from_keypoints_matches_real_segmentations():
    annotations = json.loads(shared_data("coco", "test_coco.json").read_text())["annotations"]
    annotations = [a for a in annotations if a["num_keypoints"]]
    people = np.array([a["keypoints"] for a in annotations], float).reshape(-1, 17, 3)
    ratio = np.array([a["area"] for a in annotations]) / evaluation.person_area(people)
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    assert ratio.min() > 0.5 and ratio.max() < 2
    upright = np.zeros((1, 18, 3))  # a person seen edge-on: two joints, one above the other
    upright[0, :2] = [[50, 0, 2], [50, 100, 2]]
    assert evaluation.person_area(upright) == pytest.approx(0.53 * 100 * 50)
    upright[0, 1] = 0
    assert evaluation.person_area(upright) == 1
    assert evaluation.person_area(upright, np.array([[0.0, 0, 20, 100]])) == pytest.approx(
        0.38 * 2000
    )


def test_people_under_a_mask_are_neither_right_nor_wrong():
    person = make_person(COCO18, size=50)
    stranger = person + [100, 100, 0]
    mask = np.ones((200, 200), np.uint8)
    mask[95:160, 95:160] = 0
    found = np.concatenate([stranger, person])
    results = evaluation.person_results(found, np.array([0.9, 0.8]), 0, COCO18, COCO18.joints)
    for covered, expected in ((mask, 1.0), (None, 0.5)):
        records = [{"people": person, "mask": covered}]
        truth = evaluation.ground_truth_from_records(records, COCO18)
        figures = evaluation.coco_average_precision(truth, results, COCO18.sigmas)
        assert figures["AP"] == pytest.approx(expected, abs=0.01)


def test_torso_without_its_joints_comes_from_the_area():
    annotations = json.loads(shared_data("coco", "test_coco.json").read_text())
    people = np.concatenate([r["people"] for r in load_records(annotations, COCO18)])
    whole = people[(people[:, [1, 8, 11], 2] > 0).all(1)]
    torso = torso_length(whole, COCO18)
    middle = (whole[:, 8, :2] + whole[:, 11, :2]) / 2
    np.testing.assert_allclose(torso, np.hypot(*(whole[:, 1, :2] - middle).T), rtol=1e-5)
    whole[:, 1] = 0
    ratio = torso_length(whole, COCO18) / torso
    assert ratio.min() > 0.6 and ratio.max() < 1.6 and abs(np.median(ratio) - 1) < 0.15


def test_faults_are_named(tmp_path):
    truth = evaluation.ground_truth_from_records([{"people": make_person(COCO18)}], COCO18)
    results = evaluation.person_results(make_person(COCO18), np.array([1.0]), 0, COCO18)
    own = evaluation.person_results(make_person(COCO18), np.array([1.0]), 0, COCO18, COCO18.joints)
    (tmp_path / "text.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    nobody = evaluation.ground_truth_from_records([{"people": np.zeros((0, 18, 3))}], COCO18)
    stray = [{**own[0], "image_id": 5}]
    for args, reason in (
        ((tmp_path / "absent.json", own), "absent.json: cannot be read"),
        ((tmp_path / "text.json", own), "text.json: cannot be read"),
        ((tmp_path / "list.json", own), "list.json: not in the COCO format"),
        ((truth, results, COCO18.sigmas), "has 17 keypoints, expected 18"),
        ((truth, own), "has 18 keypoints, expected 17"),
        ((truth, stray, COCO18.sigmas), "no image with id 5"),
        ((truth, own, COCO18.sigmas, [8]), "no image with id 8"),
        ((nobody, [], COCO18.sigmas), "no person with keypoints"),
    ):
        with pytest.raises(UserError, match=reason) as error:
            evaluation.coco_average_precision(*args)
        assert "\n" not in str(error.value)
