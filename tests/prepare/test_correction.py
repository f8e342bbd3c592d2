"""Keypoints out to a COCO file, corrected there, and back."""

import copy
import io
import json
import pathlib
import tempfile
from contextlib import redirect_stdout

import numpy as np
import pytest
from conftest import letsdance_json, make_root
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from danceflax import api
from danceflax.data.frames import LetsDanceSource
from danceflax.data.keypoint_edits import open_keypoints
from danceflax.data.keypoint_files import read_numbered
from danceflax.errors import BadSampleError, UserError
from danceflax.pose.openpose_json import format_people
from danceflax.prepare import doubt, export_coco, import_coco
from danceflax.prepare.annotated import list_annotated
from danceflax.skeleton import BODY25, COCO17_JOINTS, COCO18

FRAMES = 4


def write_people(kind, rng, count):
    """A keypoint file's text, of people far apart, with joints missing and more that is kept."""
    joints = {"body25": BODY25.joints, "coco18": COCO18.joints}.get(kind, COCO17_JOINTS)
    points = rng.uniform(0, 60, (count, len(joints), 3)).round(3)
    points[:, :, 0] += 200 * np.arange(count)[:, None]
    points[..., 2] = rng.uniform(0.05, 1, points.shape[:2]) * (rng.random(points.shape[:2]) < 0.8)
    points[:, :5, 2] = 0.7  # nobody is without joints
    if kind in ("body25", "coco18"):
        text = format_people(points, rng.permutation(10)[:count])
        return text.replace('"face_keypoints_2d":[]', '"face_keypoints_2d":[1,2,0.5]')
    if kind == "letsdance":
        people = json.loads(letsdance_json(points))
        kept = [
            [
                ["person", 0.9],
                *(pair for pair, seen in zip(person[1:], shown[:, 2], strict=True) if seen),
            ]
            for person, shown in zip(people, points, strict=True)
        ]
        return json.dumps(kept)
    points[..., 2] = np.ceil(points[..., 2] * 2)
    return json.dumps([{"keypoints": p.ravel().tolist(), "bbox": [0, 1, 2, 3]} for p in points])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    make_root(root, FRAMES, size=(60, 80))
    return root


def fill(root, kind, seed):
    """Writes the keypoint files anew; their bytes, by name."""
    rng = np.random.default_rng(seed)
    for path in sorted(root.glob("keypoints/*/*")):
        path.write_text(write_people(kind, rng, int(rng.integers(0, 4))))
    return read_files(root)


def read_files(root):
    return {path.name: path.read_bytes() for path in sorted(root.glob("keypoints/*/*"))}


def export(root):
    frames = list_annotated(str(root), "", "", "")
    files = [(frame, open_keypoints(frame.keypoints)) for frame in frames]
    coco, faults = export_coco.make_coco(files)
    assert not faults and len(coco["images"]) == len(frames)
    return coco


def bring_back(root, coco):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(coco, file)
        file.flush()
        with redirect_stdout(io.StringIO()):
            assert import_coco.run(file.name, root=str(root)) == 0


def test_what_was_brought_back_is_a_split(root):
    (root / "corrected.csv").unlink(missing_ok=True)
    for seed, (first, last) in enumerate([(0, 2), (1, 3)]):
        fill(root, "coco18", seed)
        coco = export(root)
        coco["images"] = coco["images"][first:last]
        ids = [image["id"] for image in coco["images"]]
        coco["annotations"] = [a for a in coco["annotations"] if a["image_id"] in ids]
        bring_back(root, coco)
    source = LetsDanceSource(root, str(root / "corrected.csv"), COCO18)
    names = sorted(path.name for path in root.glob("frames/*/*"))
    assert [file.decode().rpartition("/")[2] for file in source.files] == names[:3]


def seen(coco):
    """What a COCO file says of people, by image: keypoints, absent ones as zeros."""
    found = {}
    for entry in coco["annotations"]:
        points = np.array(entry["keypoints"]).reshape(-1, 3)
        points[points[:, 2] == 0] = 0
        found.setdefault(entry["image_id"], []).append(points.tolist())
    return {key: sorted(people) for key, people in found.items()}


KINDS = st.sampled_from(["body25", "coco18", "letsdance", "coco"])


@settings(max_examples=25, deadline=None)
@given(kind=KINDS, seed=st.integers(0, 10**6))
def test_there_and_back_changes_no_byte(root, kind, seed):
    before = fill(root, kind, seed)
    bring_back(root, export(root))
    assert read_files(root) == before


@settings(max_examples=40, deadline=None)
@given(kind=KINDS, seed=st.integers(0, 10**6), digits=st.sampled_from([2, 4]))
@example(kind="body25", seed=7002, digits=2)  # who is new stands far from who is gone
def test_what_is_corrected_comes_back_and_nothing_else_changes(root, kind, seed, digits):
    before, rng = fill(root, kind, seed), np.random.default_rng(seed)
    coco = export(root)
    corrected = copy.deepcopy(coco)
    rng.shuffle(corrected["annotations"])  # tools give numbers and order of their own
    touched = set()
    for number, entry in enumerate(corrected["annotations"], 500):
        entry["id"] = number
        del entry["attributes"]
        points = np.array(entry["keypoints"]).reshape(-1, 3)
        act = rng.integers(4)
        if act == 1:  # a joint is moved
            points[0, :2] = (points[0, :2] + rng.uniform(1, 9, 2)).round(digits)
        elif act == 2:  # one is taken out
            points[1, 2] = 0
        elif act == 3:  # one that was missing or not is placed, occluded where that can be said
            points[6] = *rng.uniform(1, 50, 2).round(digits), 2 if kind == "letsdance" else 1
        if act:
            touched.add(entry["image_id"])
        entry["keypoints"] = points.ravel().tolist()
    if corrected["annotations"] and seed % 3 == 0:
        touched.add(corrected["annotations"].pop()["image_id"])
    if corrected["annotations"] and seed % 2 == 0:
        new = copy.deepcopy(corrected["annotations"][0])
        new["keypoints"] = [
            value + 900 * (k % 3 < 2) if new["keypoints"][k // 3 * 3 + 2] else 0
            for k, value in enumerate(new["keypoints"])
        ]
        new["id"] = 900
        touched.add(new["image_id"])
        corrected["annotations"].append(new)
    ids = {path: set(read_numbered(path)[2].tolist()) for path in root.glob("keypoints/*/*")}
    bring_back(root, corrected)
    now, expected = seen(export(root)), seen(corrected)
    assert now.keys() == expected.keys()
    for image, people in expected.items():
        np.testing.assert_allclose(now[image], people, atol=0.051)
    after = read_files(root)
    for image in coco["images"]:
        name = pathlib.Path(image["file_name"]).stem + ".json"
        if image["id"] not in touched:
            assert after[name] == before[name]
        elif kind in ("body25", "coco18"):
            assert after[name].count(b"[1,2,0.5]") >= after[name].count(b'"person_id":[') - 1
    for path, own in ids.items():
        assert set(read_numbered(path)[2].tolist()) <= own | {-1}


def test_scores_of_what_stays_are_kept(root):
    fill(root, "coco18", 11)
    coco = export(root)
    first = coco["annotations"][0]
    image = next(i for i in coco["images"] if i["id"] == first["image_id"])
    path = (root / "keypoints" / image["file_name"]).with_suffix(".json")
    before = open_keypoints(path).scores()[0]
    first["keypoints"][0] += 5
    bring_back(root, coco)
    after = open_keypoints(path).scores()[0]
    assert after[0] == 1 and before[0] < 1
    np.testing.assert_array_equal(after[1:], before[1:])


def test_the_command_writes_what_pycocotools_reads(root, tmp_path, capsys):
    fill(root, "body25", 2)
    output = tmp_path / "out"
    assert export_coco.run(str(output), root=str(root)) == 0
    coco = COCO(output / export_coco.ANNOTATIONS)
    (category,) = coco.loadCats(coco.getCatIds())
    assert category["keypoints"] == list(BODY25.joints)
    names = [{category["keypoints"][i - 1] for i in edge} for edge in category["skeleton"]]
    assert {"left_hip", "left_knee"} in names and {"neck", "nose"} in names
    for image in coco.loadImgs(coco.getImgIds()):
        assert (output / export_coco.IMAGES / image["file_name"]).is_file()
        assert (image["width"], image["height"]) == (80, 60)
        for entry in coco.loadAnns(coco.getAnnIds(image["id"])):
            x, y, width, height = entry["bbox"]
            points = np.array(entry["keypoints"]).reshape(-1, 3)
            points = points[points[:, 2] > 0]
            assert entry["num_keypoints"] == len(points)
            np.testing.assert_allclose(points[:, :2].min(0), (x, y), atol=0.01)
            np.testing.assert_allclose(np.ptp(points[:, :2], 0), (width, height), atol=0.02)
    capsys.readouterr()
    with pytest.raises(UserError, match="is there already"):
        export_coco.run(str(output), root=str(root))
    corrected = json.loads((output / export_coco.ANNOTATIONS).read_text())
    for image in corrected["images"]:  # tools put folders before a name
        image["file_name"] = f"default/{image['file_name']}"
    bring_back(root, corrected)
    corrected["images"][0]["file_name"] = "default/tango/other.jpg"
    with pytest.raises(UserError, match="is no frame of"):
        bring_back(root, corrected)


def test_images_and_their_predictions(root, tmp_path):
    (tmp_path / "json").mkdir()
    image = next(root.glob("frames/*/*"))
    path = tmp_path / "json" / f"{image.stem}_keypoints.json"
    path.write_text(write_people("body25", np.random.default_rng(0), 2))
    words = dict(images=str(image.parent), json=str(tmp_path / "json"))
    assert export_coco.run(str(tmp_path / "out"), **words) == 0
    file = tmp_path / "out" / export_coco.ANNOTATIONS
    coco = json.loads(file.read_text())
    assert len(coco["images"]) == 1 and len(coco["annotations"]) == 2
    coco["annotations"].pop()
    file.write_text(json.dumps(coco))
    assert import_coco.run(str(file), **words) == 0
    assert len(open_keypoints(path).people) == 1


def test_the_worst_frames_are_those_of_doubt(tmp_path):
    """Unsure joints, a leap and an empty frame, among sixty good ones; none beside another."""
    names = make_root(tmp_path, 60, size=(60, 80))
    rng = np.random.default_rng(0)
    body = rng.uniform(0, 50, (1, 18, 3))
    for n, name in enumerate(names):
        people = body + (n, 0, 0)
        people[..., 2] = 0.3 if n == 10 else 0.9
        people[0, 4, 1] += 40 * (n == 30)
        people = people[:0] if n == 50 else people
        path = (tmp_path / "keypoints" / name).with_suffix(".json")
        path.write_text(format_people(people, [0] * len(people)))
    frames = list_annotated(str(tmp_path), "", "", "")
    files = [(frame, open_keypoints(frame.keypoints)) for frame in frames]
    doubts = doubt.judge_frames(files)
    picked = [names.index(frame.name) for frame, _ in doubt.pick_worst(files, doubts, 3)]
    assert picked == [10, 30, 50]
    assert len(doubt.pick_worst(files, doubts, 20)) == 20  # where there is no choice, neighbours


def test_the_text_of_2018_is_named(tmp_path):
    path = tmp_path / "a.txt"
    line = [["person"], *([f"joint{i}", 1.5, 2.5] for i in range(14))]
    path.write_text(json.dumps(line))
    with pytest.raises(BadSampleError, match="cannot be corrected"):
        open_keypoints(path)


def test_mirrored_frames_add_to_doubt(tmp_path, monkeypatch):
    """A network that finds the same in the mirror image but for one frame, in which it is sure."""
    names = make_root(tmp_path, 40, size=(60, 80))
    rng = np.random.default_rng(0)
    body = np.concatenate([rng.uniform(10, 50, (1, 18, 2)), np.full((1, 18, 1), 0.9)], -1)
    for name in names:
        (tmp_path / "keypoints" / name).with_suffix(".json").write_text(format_people(body, [0]))
    frames = list_annotated(str(tmp_path), "", "", "")
    files = [(frame, open_keypoints(frame.keypoints)) for frame in frames]

    class Network:
        skeleton, calls = COCO18, -1

        def __call__(self, image):
            self.calls += 1
            people = body.astype(np.float32)
            if self.calls % 2:
                people = people[:, COCO18.flip].copy()
                people[..., 0] = 79 - people[..., 0] + 15 * (self.calls == 11)
            return people, np.ones(1)

    monkeypatch.setattr(api, "load_predictor", lambda checkpoint: Network())
    found = doubt.compare_mirrored(frames[:10], "net")
    assert found.argmax() == 5 and found[5] > 0.2
    np.testing.assert_allclose(np.delete(found, 5), 0, atol=1e-5)
    assert len(doubt.pick_worst(files, doubt.judge_frames(files), 2, "net")) == 2
    monkeypatch.setattr(api, "load_predictor", lambda checkpoint: object())
    with pytest.raises(UserError, match="is no pose network"):
        doubt.compare_mirrored(frames[:1], "net")
