"""The synthetic dances: same bytes, no leaks, readable layout, and a dance is motion only."""

import ast
import csv
import hashlib
import json

import cv2
import numpy as np
import pytest

from danceflax.errors import UserError
from danceflax.prepare.synthetic import (
    DANCES,
    choreography,
    figure,
    render,
    render_clip,
    write_dataset,
)
from danceflax.prepare.synthetic.camera import Camera
from danceflax.skeleton import COCO17_JOINTS

SMALL = {"clips_per_dance": {"train": 1, "val": 1}, "frames_per_clip": 3, "size": (80, 64)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "dances", seed=3, workers=2, **SMALL)


def digest(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root): hashlib.sha256(path.read_bytes()).digest() for path in files}


def test_bytes_follow_from_the_arguments(root, tmp_path):
    again = write_dataset(tmp_path / "dances", seed=3, workers=1, **SMALL)
    other = write_dataset(tmp_path / "other", seed=4, workers=1, **SMALL)
    assert digest(again) == digest(root)
    assert not {path for path in digest(other) if path.suffix == ".jpg"} & set(digest(root))


def test_layout_reads_without_the_writer(root):
    """Parsed by hand as users' own sets are: every file named in a split is there and fits."""
    assert not root.with_name(root.name + ".partial").exists()
    videos, pictures = {}, {}
    for split in SMALL["clips_per_dance"]:
        with open(root / f"pose_training_split/{split}.csv", newline="") as file:
            frames = list(csv.DictReader(file))
        with open(root / f"videos_split/{split}_videos.csv", newline="") as file:
            clips = list(csv.DictReader(file))
        assert [clip["dance_type"] for clip in clips] == list(DANCES)
        listed = [
            f"data/{root.name}/frames/{clip['dance_type']}/{clip['video_id']}_{frame}.jpg"
            for clip in clips
            for frame in ast.literal_eval(clip["frames"])
        ]
        assert [row["file_path"] for row in frames] == listed
        videos[split] = {clip["video_id"].rsplit("_", 1)[0] for clip in clips}
        assert {len(name) for name in videos[split]} == {11}
        pictures[split] = set()
        for row in frames:
            path = root.parent / row["file_path"].removeprefix("data/")
            image = cv2.imread(str(path))
            assert image.shape == (64, 80, 3) and image.std() > 5
            pictures[split].add(image.tobytes())
            name = f"keypoints/{row['dance_type']}/{path.stem}.json"
            people = json.loads((root / name).read_text())
            assert 1 <= len(people) <= 4
            for header, *joints in people:
                assert header == ["person"] and joints
                names = [joint for joint, _ in joints]
                assert sorted(names, key=COCO17_JOINTS.index) == names
                assert len(set(names)) == len(names)
                xy = np.array([xy for _, xy in joints])
                assert (xy >= 0).all() and (xy <= (79, 63)).all()
    assert not videos["train"] & videos["val"] and not pictures["train"] & pictures["val"]


def test_existing_root_is_kept_or_refused(root, tmp_path):
    before = digest(root)
    assert write_dataset(root, seed=3, **SMALL) == root
    with pytest.raises(UserError, match="other arguments"):
        write_dataset(root, seed=5, **SMALL)
    assert digest(root) == before
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(UserError, match="no synthetic set"):
        write_dataset(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_interruption_leaves_nothing(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "dances", workers=1, progress=stop, **SMALL)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [{"seed": -1}, {"clips_per_dance": {}}, {"fps": 0}, {"size": (9, 9)}, {"max_people": 5}],
)
def test_wrong_arguments_are_named(tmp_path, wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        write_dataset(tmp_path / "dances", **wrong)


def test_dances_share_their_first_frame():
    """The dance decides how the phases advance, hence nothing of a frame by itself."""
    clips = [render_clip(11, dance, 5, 12.5, (96, 96)) for dance in DANCES]
    for images, people in clips[1:]:
        np.testing.assert_array_equal(images[0], clips[0][0][0])
        np.testing.assert_array_equal(people[0], clips[0][1][0])
    for k, (images, _) in enumerate(clips):
        assert all((images[4] != other[4]).any() for other, _ in clips[:k])


def test_dances_differ_in_three_channels_even_in_a_mirror():
    def differing(a, b):
        slow, fast = np.minimum(a, b), np.maximum(a, b)
        return np.sum((fast > 0) & (slow * 1.5 <= fast))

    tempi = np.abs([choreography.TEMPI[dance] for dance in DANCES])
    left, right = choreography.CHANNELS.index("left_arm"), choreography.CHANNELS.index("right_arm")
    mirrored = tempi.copy()
    mirrored[:, [left, right]] = tempi[:, [right, left]]
    for i in range(len(DANCES)):
        for j in range(i):
            assert min(differing(tempi[i], tempi[j]), differing(mirrored[i], tempi[j])) >= 3
    assert tempi.max() * (1 + choreography.TEMPO_SPREAD) < 2


def dance_alone(seed, dance, frames=32, fps=12.5):
    """[T, 17, 2] pixels of one dancer, without drawing anybody."""
    stage, cast, move = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
    body = figure.sample_body(cast, 1)
    camera = Camera.sample(stage, (256, 256), float(body["height"][0, 0]))
    style = choreography.sample_style(move, 1)
    phases = choreography.sample_phases(move, dance, 1, frames, fps)
    points = figure.pose_figure(body, style, phases, np.zeros((1, 2)))
    return camera.project(np.stack([points[name] for name in COCO17_JOINTS], 2))[0][0]


def classify(train, train_labels, test, ridge=30.0):
    """Least squares on one-hot labels: the weakest honest classifier."""
    mean, deviation = train.mean(0), train.std(0) + 1e-6
    train, test = (np.c_[(x - mean) / deviation, np.ones(len(x))] for x in (train, test))
    gram = train.T @ train + ridge * np.eye(train.shape[1])
    weights = np.linalg.solve(gram, train.T @ np.eye(len(DANCES))[train_labels])
    return np.argmax(test @ weights, 1)


def test_motion_tells_the_dances_and_a_frame_does_not():
    def sample(split, count):
        frames, spectra, labels = [], [], []
        for label, dance in enumerate(DANCES):
            for number in range(count):
                xy = dance_alone([split, label, number], dance)
                pose = xy[16] - xy[16].mean(0)
                pose = (pose / np.ptp(pose[:, 1])).ravel()
                frames.append(np.r_[pose, np.outer(pose, pose)[np.triu_indices(34)]])
                moved = (xy - xy.mean(0)) / np.ptp(xy[16, :, 1]) * np.hanning(32)[:, None, None]
                spectra.append(np.log(np.abs(np.fft.rfft(moved, axis=0))[:8] + 0.02).ravel())
                labels.append(label)
        return np.array(frames), np.array(spectra), np.array(labels)

    frames, spectra, labels = sample(0, 50)
    test_frames, test_spectra, test_labels = sample(1, 40)
    by_motion = np.mean(classify(spectra, labels, test_spectra) == test_labels)
    by_frame = np.mean(classify(frames, labels, test_frames) == test_labels)
    assert by_motion >= 0.95  # measured 1.00
    assert by_frame <= 0.20  # chance 0.125, four standard errors


def test_camera_projects_its_own_rays():
    camera = Camera.sample(np.random.default_rng(0), (80, 60), 1.7)
    eye = np.array([0, -camera.distance, camera.height])
    xy, depth = camera.project(eye + 3.5 * camera.rays(1))
    expected = np.stack(np.meshgrid(np.arange(80), np.arange(60)), -1)
    np.testing.assert_allclose(xy, expected, atol=1e-9)
    np.testing.assert_allclose(depth, 3.5)


def test_bones_keep_their_lengths_and_feet_stay_above_the_floor():
    rng = np.random.default_rng(5)
    body, style = figure.sample_body(rng, 6), choreography.sample_style(rng, 6)
    phases = choreography.sample_phases(rng, "jive", 6, 50, 12.5)
    points = figure.pose_figure(body, style, phases, np.zeros((6, 2)))
    bones = "hip knee thigh, knee ankle shin, shoulder elbow upper_arm, elbow wrist forearm"
    for a, b, bone in map(str.split, bones.split(",")):
        for side in ("left", "right"):
            length = np.linalg.norm(points[f"{side}_{a}"] - points[f"{side}_{b}"], axis=-1)
            expected = np.broadcast_to(body[bone] * body["height"], length.shape)
            np.testing.assert_allclose(length, expected, rtol=1e-6)
    for name in ("left_toe", "right_toe", "left_heel", "right_heel"):
        assert points[name][..., 2].min() > -0.01


def test_only_what_the_camera_sees_is_annotated():
    owners = np.zeros((40, 40), np.uint8)  # a picture of 20 x 20
    owners[:, :10], owners[:, 10:20], owners[:, 20:30] = 1, 2, render.OCCLUDER
    joints = np.tile(np.array([[2.0, 5], [7, 5], [12, 5], [17, 5], [25, 5]]), (2, 1, 1))
    seen = render._look_up(owners, joints, rank=np.array([0, 1]))[..., 2] > 0
    # Columns: over person 0, person 1, the foreground, the background, outside; 1 is nearer.
    assert seen.tolist() == [[True, False, False, True, False], [True, True, False, True, False]]
