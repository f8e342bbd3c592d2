import json
import shutil

import cv2
import numpy as np
import pytest
from conftest import shared_data

from danceflax.data.frames import LetsDanceSource
from danceflax.data.keypoint_files import read_keypoints, read_numbered
from danceflax.errors import BadSampleError, UserError
from danceflax.prepare import frames, import_openpose
from danceflax.prepare.video_tasks import name_clip, plan_extraction
from danceflax.skeleton import BODY25

CLIP = "demo_______"  # 11 characters


def write_json(path, people):
    entries = [{"person_id": [-1], "pose_keypoints_2d": p.ravel().tolist()} for p in people]
    path.write_text(json.dumps({"version": 1.3, "people": entries}))


def make_people(rng, count=2):
    people = rng.uniform(2, 38, (count, 25, 3))
    people[..., 2] = 0.5
    people[:, 3] = 0
    return people


def test_images_and_json_become_a_root(tmp_path):
    rng = np.random.default_rng(0)
    people = {}
    for name in ("json", "images"):
        (tmp_path / name).mkdir()
    for i in range(4):
        stem = f"my_dance_{i:012d}"
        people[i] = make_people(rng)
        write_json(tmp_path / "json" / f"{stem}_keypoints.json", people[i])
        suffix = ".png" if i == 2 else ".jpg"
        if i != 1:
            image = np.full((40, 60, 3), 50 * i, np.uint8)
            cv2.imwrite(str(tmp_path / "images" / f"{stem}{suffix}"), image)
    found, _ = import_openpose.list_keypoints(tmp_path / "json")
    assert list(found) == ["my_dance"] and list(found["my_dance"]) == [0, 1, 2, 3]
    root, images = tmp_path / "root", tmp_path / "images"
    count, faults = import_openpose.import_frames(
        root, "tango", f"{CLIP}_000", found["my_dance"], images
    )
    assert count == 3 and len(faults) == 1 and "my_dance_000000000001.jpg" in faults[0]
    source = LetsDanceSource(root, "all", BODY25)
    for index, i in enumerate((0, 2, 3)):
        record = source[index]
        suffix = ".png" if i == 2 else ".jpg"
        assert record["name"] == f"frames/tango/{CLIP}_000_{i:04d}{suffix}"
        assert abs(record["image"].mean() - 50 * i) < 2
        np.testing.assert_allclose(record["people"][..., :2], people[i][..., :2], rtol=1e-6)


def test_keypoints_follow_the_size_of_extracted_frames(tmp_path):
    """A dot in each frame of a video, and its JSON: the dot is still under the keypoint."""
    from danceflax.io.videos import VideoWriter

    dots = [(20 + 4 * i, 30 + 2 * i) for i in range(20)]
    (tmp_path / "json").mkdir()
    with VideoWriter(tmp_path / "demo.webm", 20) as video:
        for i, (x, y) in enumerate(dots):
            image = np.zeros((96, 160, 3), np.uint8)
            cv2.circle(image, (x, y), 5, (255, 255, 255), -1)
            video.write(image)
            person = np.zeros((1, 25, 3))
            person[0, 4] = (x, y, 0.9)
            if i != 8:
                write_json(tmp_path / "json" / f"demo_{i:012d}_keypoints.json", person)
    (task,), _ = plan_extraction(
        tmp_path / "demo.webm", tmp_path / "root", "tap", fps=5, short_side=48
    )
    assert frames.extract_clips(task).frames == 5
    found = import_openpose.list_keypoints(tmp_path / "json")[0]["demo"]
    count, faults = import_openpose.import_extracted(tmp_path / "root", "tap", task.name, found)
    assert count == 4 and len(faults) == 1 and "frame 8" in faults[0]
    for k in (0, 1, 3, 4):
        name = f"tap/demo_000_{k + 1:04d}"
        grey = cv2.imread(str(tmp_path / "root" / "frames" / f"{name}.jpg"), 0).astype(float)
        people, _ = read_keypoints(tmp_path / "root" / "keypoints" / f"{name}.json")
        y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
        weight = np.where(grey > 60, grey, 0)
        center = (x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()
        np.testing.assert_allclose(people[0, 4, :2], center, atol=0.3)
        assert (people[0, :4] == 0).all()


def test_the_real_openpose_files(tmp_path):
    folder = shared_data("dance_clips", "demo_openpose_json", "demo-json")
    found, others = import_openpose.list_keypoints(folder)
    assert not others
    assert list(found) == ["demo"] and len(found["demo"]) == 584
    counts = [len(read_keypoints(path)[0]) for path in found["demo"].values()]
    assert sum(n > 0 for n in counts) == 574 and sum(n > 1 for n in counts) == 122
    for path in list(found["demo"].values())[::50]:
        people, joints = read_keypoints(path)
        (tmp_path / "half.json").write_text(import_openpose.scale_keypoints(path, (0.5, 0.5)))
        half, same = read_keypoints(tmp_path / "half.json")
        assert same == joints
        expected = np.where(people[..., 2:] > 0, people[..., :2] / 2 - 0.25, 0)
        np.testing.assert_allclose(half[..., :2], expected, atol=1e-3)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"people": 3}', '{"people": [{"pose_keypoints_2d": [1, 2]}]}']
)
def test_json_of_another_tool(text, tmp_path):
    path = tmp_path / "a_000000000000_keypoints.json"
    path.write_text(text)
    with pytest.raises(BadSampleError) as error:
        import_openpose.scale_keypoints(path, (0.5, 0.5))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_faults(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        import_openpose.list_keypoints(tmp_path / "none")
    with pytest.raises(UserError, match="as OpenPose writes them"):
        import_openpose.list_keypoints(tmp_path)
    with pytest.raises(UserError, match="extract them first"):
        import_openpose.import_extracted(tmp_path, "tap", "demo", {})


def test_photographs_and_pictures_of_every_kind(tmp_path):
    """predict.py writes portrait_keypoints.json for portrait.JPG; numbers may be of any length."""
    rng, images, folder = np.random.default_rng(1), tmp_path / "images", tmp_path / "json"
    images.mkdir(), folder.mkdir()
    files = ["portrait.JPG", "take_2.webp", "take_10.png", "take_12345.jpeg"]
    people = {}
    for file in files:
        stem, _, suffix = file.rpartition(".")
        picture = cv2.imencode(f".{suffix.lower()}", np.full((40, 60, 3), 90, np.uint8))[1]
        (images / file).write_bytes(picture.tobytes())
        people[stem] = make_people(rng, 1)
        write_json(folder / f"{stem}_keypoints.json", people[stem])
    for name in (".DS_Store", "notes.txt"):
        (folder / name).touch()
    found, others = import_openpose.list_keypoints(folder)
    assert {name: list(of) for name, of in found.items()} == {
        "portrait": [1], "take": [2, 10, 12345]
    }  # fmt: skip
    assert others == [str(folder / "notes.txt")]
    root = tmp_path / "root"
    for name, keypoints in found.items():
        clip = name_clip(name)
        done = import_openpose.import_frames(root, "tap", clip, keypoints, images)
        assert done == (len(keypoints), [])
    source = LetsDanceSource(root, "all", BODY25)
    assert [source[i]["name"] for i in range(4)] == [
        "frames/tap/portrait_000_0001.jpg", "frames/tap/take_000_0002.webp",
        "frames/tap/take_000_0010.png", "frames/tap/take_000_12345.jpeg",
    ]  # fmt: skip
    for i, stem in enumerate(people):
        np.testing.assert_allclose(source[i]["people"][..., :2], people[stem][..., :2], rtol=1e-6)
    # What is there stays: the same again is no harm, something else is a fault.
    again = import_openpose.import_frames(root, "tap", "take_000", found["take"], images)
    assert again == (3, [])
    write_json(folder / "take_2_keypoints.json", make_people(rng, 1))
    before = (root / "keypoints/tap/take_000_0002.json").read_bytes()
    count, faults = import_openpose.import_frames(root, "tap", "take_000", found["take"], images)
    assert count == 2 and "take_000_0002.json: is there already" in faults[0]
    assert (root / "keypoints/tap/take_000_0002.json").read_bytes() == before


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_scaled_coordinates_are_refused_though_some_lie_beyond(tmp_path, low):
    people = make_people(np.random.default_rng(0), 1)
    people[..., :2] = np.where(people[..., 2:] > 0, people[..., :2] / 38 * (1 - low) + low, 0)
    people[0, 7, :2] = (0.4, 1.004)
    write_json(tmp_path / "a_1_keypoints.json", people)
    with pytest.raises(BadSampleError, match="keypoint_scale 0"):
        import_openpose.scale_keypoints(tmp_path / "a_1_keypoints.json", (1.0, 1.0))


def test_a_dancer_has_one_number_throughout(tmp_path):
    """OpenPose numbers nobody: the real dancer is followed; a second import changes nothing; files
    that have numbers keep them."""
    source = shared_data("dance_clips", "demo_openpose_json", "demo-json")
    (tmp_path / "images").mkdir()
    for path in sorted(source.glob("*.json"))[140:200]:
        stem = path.name.removesuffix("_keypoints.json")
        cv2.imwrite(str(tmp_path / "images" / f"{stem}.jpg"), np.zeros((8, 8, 3), np.uint8))
        (tmp_path / "json").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "json")
    for root, json_folder in (("a", "json"), ("a", "json"), ("b", "a/keypoints/tap")):
        if root == "b":  # what was imported, renamed as OpenPose does
            json_folder = tmp_path / "numbered"
            json_folder.mkdir(exist_ok=True)
            for path in (tmp_path / "a/keypoints/tap").iterdir():
                name = f"demo_{path.stem[-4:]:>012}_keypoints.json"
                shutil.copy(path, json_folder / name)
        found, _ = import_openpose.list_keypoints(tmp_path / json_folder)
        count, faults = import_openpose.import_frames(
            tmp_path / root, "tap", f"{CLIP}_000", found["demo"], tmp_path / "images"
        )
        assert count == 60 and not faults, faults
        people = [read_numbered(p) for p in sorted((tmp_path / root / "keypoints/tap").iterdir())]
        whole = [ids[(p[..., 2] > 0).sum(1) > 12] for p, _, ids in people]
        assert set(np.concatenate(whole).tolist()) == {0}
