"""People as sequences: made alike, filled in, windowed; and what of a video is answered."""

import numpy as np
import pytest
from conftest import letsdance_json
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import sequence
from danceflax import skeleton as skeletons
from danceflax.dance.crossvalidate import summarise, vote
from danceflax.dance.evaluate import Answers
from danceflax.dance.sequences.augment import augment_people, read_windows
from danceflax.dance.sequences.body import make_body, normalise
from danceflax.dance.sequences.people import map_people, read_people, resample
from danceflax.errors import BadSampleError, UserError
from danceflax.pose.openpose_json import write_people
from danceflax.skeleton import COCO17_JOINTS, COCO18, SKELETONS, Skeleton

BODY = make_body(COCO18)
CONFIG = sequence.get_config()
OPTIONS = dict(clip=CONFIG.clip, people=CONFIG.streams.people, body=BODY)


def dancer(frames=100, seed=0):
    """One person [N, 1, J, 3] who moves smoothly, about 100 pixels high."""
    rng = np.random.default_rng(seed)
    still = rng.uniform(0, 100, (18, 2))
    swing = rng.uniform(2, 8, (18, 2)) * np.sin(np.arange(frames) / 6)[:, None, None]
    people = np.full((frames, 1, 18, 3), 2, np.float32)
    people[:, 0, :, :2] = still + swing + 200
    return people


def record(people, fps=25.0):
    times = np.arange(len(people)) / fps
    return {"people": people, "times": times, "label": 1, "where": "tango/abc", "name": "tango/abc"}


@pytest.mark.parametrize("name", SKELETONS)
def test_parents_are_a_tree_along_limbs(name):
    skeleton = SKELETONS[name]
    body = make_body(skeleton)
    limbs = {frozenset(limb) for limb in skeleton.limbs}
    root = [j for j, parent in enumerate(body.parents) if parent == j]
    assert len(root) == 1
    for joint, parent in enumerate(body.parents):
        assert joint == parent or frozenset((joint, parent)) in limbs
        for _ in body.parents:
            joint = body.parents[joint]
        assert joint == root[0]


def test_skeletons_that_cannot_be_scaled_or_joined_are_named():
    joints = ["left_hip", "right_hip", "head"]
    with pytest.raises(UserError, match="no joint left_shoulder"):
        make_body(Skeleton.from_dict({"name": "a", "joints": joints, "limbs": [(0, 1)]}))
    joints += ["left_shoulder", "right_shoulder"]
    limbs = [(0, 1), (0, 3), (1, 4)]
    with pytest.raises(UserError, match="no limbs join head"):
        make_body(Skeleton.from_dict({"name": "a", "joints": joints, "limbs": limbs}))


@settings(max_examples=20, deadline=None)
@given(st.floats(0.2, 5), st.floats(-500, 500), st.floats(-500, 500))
def test_place_and_size_do_not_matter(scale, x, y):
    people = dancer(20)
    moved = people * np.float32([scale, scale, 1]) + np.float32([x, y, 0])
    np.testing.assert_allclose(normalise(moved, BODY), normalise(people, BODY), atol=2e-3)


def test_normalised_torso_has_length_one_and_the_hips_are_in_the_middle():
    made = normalise(dancer(50), BODY)[:, 0]
    hips, shoulders = made[:, BODY.centre].mean(1), made[:, BODY.top].mean(1)
    np.testing.assert_allclose(hips[:, :2].mean(0), 0, atol=1e-5)
    assert np.median(np.linalg.norm((hips - shoulders)[:, :2], axis=1)) == pytest.approx(
        1, abs=1e-4
    )


@pytest.mark.parametrize("until", [50, 30], ids=["never", "later"])
def test_the_torso_is_measured_where_it_is_seen_best(until):
    """By the hip and the shoulder that are found, if it must be."""
    people, lost = dancer(50), [BODY.centre[0], BODY.top[1]]
    people[:until, 0, lost] = 0
    made = normalise(people, BODY)[:, 0]
    hips, shoulders = (
        made[:, joints, :2].sum(1) / made[:, joints, 2:].sum(1)
        for joints in (BODY.centre, BODY.top)
    )
    np.testing.assert_allclose(hips.mean(0), 0, atol=1e-5)
    length = np.linalg.norm(hips - shoulders, axis=1)[until % 50 :]
    assert np.median(length) == pytest.approx(1, abs=1e-4)


def test_resampling_is_exact_on_a_line_and_fills_short_gaps_only():
    people = np.full((21, 1, 18, 3), 2, np.float32)
    times = np.arange(21) / 20
    people[..., 0] = people[..., 1] = (100 * times)[:, None, None]
    people[5:9, 0, 3] = 0  # a quarter of a second
    wanted = np.arange(-4, 60) / 50
    found = resample(people, times, wanted, longest_gap=0.3)
    inside = (wanted >= -0.025) & (wanted <= 1.025)
    np.testing.assert_array_equal(found[..., 2] > 0, np.tile(inside[:, None, None], (1, 1, 18)))
    line = 100 * np.clip(wanted[inside], 0, 1)
    np.testing.assert_allclose(found[inside, 0, 3, 0], line, atol=1e-3)
    gap = resample(people, times, wanted, longest_gap=0.2)
    lost = ~(gap[inside, 0, 3, 2] > 0)
    assert lost.any() and (gap[inside, 0, 4, 2] > 0).all()
    assert not gap[~(gap[..., 2] > 0)].any()


def test_frame_rates_give_the_same_windows():
    fast = dancer(201)
    views = {"clips": 2}
    one = read_windows(record(fast[::2], 25.0), views=views, **OPTIONS)["people"]
    two = read_windows(record(fast, 50.0), views=views, **OPTIONS)["people"]
    assert one.shape == two.shape == (2, 64, 1, 18, 3)
    np.testing.assert_allclose(one, two, atol=0.02)


def test_most_training_windows_have_little_noise_and_some_have_much():
    """Half of them an eighth of the most, by each joint's sigma; what is not seen stays so."""
    most, level = 0.2, []
    augment = {name: 0.0 for name in CONFIG.augment} | {"noise": most}
    for seed in range(200):
        seen, noisy = (
            augment_people(
                record(dancer()), np.random.default_rng(seed), augment=options, **OPTIONS
            )["people"]
            for options in (augment | {"noise": 0.0}, augment)
        )
        np.testing.assert_array_equal(noisy[..., 2], seen[..., 2])
        level.append(((noisy - seen)[:, 0, :, :2].std((0, 2)) / OPTIONS["body"].blur).mean())
    assert np.median(level) == pytest.approx(most / 8, rel=0.3)
    assert 0.8 * most < max(level) < 1.1 * most


def test_training_windows_are_functions_of_the_seed():
    make = lambda seed: augment_people(  # noqa: E731
        record(dancer()), np.random.default_rng(seed), augment=CONFIG.augment, **OPTIONS
    )
    first, same, other = make(1), make(1), make(2)
    assert first["people"].shape == (64, 1, 18, 3) and first["label"] == 1
    np.testing.assert_array_equal(first["people"], same["people"])
    assert not np.array_equal(first["people"], other["people"])
    absent = first["people"][..., 2] == 0
    assert not first["people"][absent].any()


def test_masks_hide_joints_and_time():
    augment = CONFIG.augment.to_dict() | {"masked_joints": 1.0, "masked_time": 0.9}
    hidden = [
        augment_people(record(dancer()), np.random.default_rng(s), augment=augment, **OPTIONS)
        for s in range(8)
    ]
    seen = np.stack([item["people"][:, 0, :, 2] for item in hidden])
    assert (seen.max(1) == 0).any() and (seen.max(2) == 0).any()
    assert 0.1 < seen.mean() < 0.8
    assert np.abs(np.stack([item["people"] for item in hidden])).max() < 20  # still in torsos


def test_mirroring_swaps_left_and_right():
    still = {key: 0.0 for key in CONFIG.augment}
    whole = dancer(64)
    plain, mirrored = (
        augment_people(
            record(whole), np.random.default_rng(0), augment=still | {"flip": p}, **OPTIONS
        )["people"]
        for p in (0.0, 1.0)
    )
    np.testing.assert_allclose(mirrored, plain[:, :, COCO18.flip] * [-1, 1, 1], atol=1e-5)


def test_a_clip_shorter_than_half_a_window_is_named():
    with pytest.raises(BadSampleError, match=r"tango/abc: lasts 1\.00 s, less than half a window"):
        read_windows(record(dancer(25)), views={"clips": 1}, **OPTIONS)
    shown = read_windows(record(dancer(40)), views={"clips": 1}, **OPTIONS)["people"][..., 2]
    assert shown[0, :40].all() and not shown[0, 41:].any()  # the rest of the window shows nobody


def clip_on_disk(root, frames, numbers=None):
    (root / "tango").mkdir(parents=True)
    for number, people in enumerate(frames, 1):
        (root / "tango" / f"abc_000_{number:04d}.json").write_text(letsdance_json(people))
    numbers = np.arange(1, len(frames) + 1) if numbers is None else np.array(numbers)
    files = [f"tango/abc_000_{n:04d}" for n in range(1, len(frames) + 1)]
    folders = {"keypoints": str(root)}
    return dict(numbers=numbers, files=files, folders=folders, fps=25.0, where="tango/abc_000")


def test_people_keep_their_place_though_files_change_their_order(tmp_path):
    one, two = (np.random.default_rng(s).uniform(0, 60, (17, 2)) + 300 * s for s in (0, 1))
    frames = [[one + t, two - t][:: 1 - 2 * (t % 2)] for t in range(12)]
    people = read_people(clip_on_disk(tmp_path, frames), COCO18)["people"]
    assert people.shape == (12, 2, 18, 3)
    assert np.abs(np.diff(people[..., 0, :2], axis=0)).max() < 5


@pytest.mark.parametrize("known, swaps", [(True, True), (False, False)], ids=["ids", "without"])
def test_people_are_who_their_files_say_if_everybody_has_an_id(tmp_path, known, swaps):
    rng = np.random.default_rng(0)
    body = rng.uniform(20, 60, (1, 25, 2))
    bodies = np.concatenate([body, body + 300])
    people = np.concatenate([bodies, np.ones((2, 25, 1))], -1)
    record = clip_on_disk(tmp_path, [[]] * 6)
    for t, file in enumerate(record["files"]):
        ids = np.array([7, 40] if t < 3 else [40, 7])
        if not known and t == 5:
            ids[0] = -1
        write_people(tmp_path / f"{file}.json", people.astype(np.float32), ids)
    found = read_people(record, COCO18)["people"]
    moved = np.abs(found[3, :, 0, 0] - found[2, :, 0, 0])
    assert found.shape[:2] == (6, 2)
    assert (moved > 250).all() if swaps else (moved < 1).all()


@pytest.mark.parametrize(
    "frames, numbers, message",
    [
        ([[], [], []], None, "nobody is on any of its 3 frames"),
        ([[np.ones((17, 2))]] * 3, [1, 3, 2], "frame 2 follows frame 3"),
    ],
    ids=["nobody", "time goes back"],
)
def test_faults_of_a_clip_are_one_line(tmp_path, frames, numbers, message):
    with pytest.raises(BadSampleError, match=f"tango/abc_000: {message}") as error:
        read_people(clip_on_disk(tmp_path, frames, numbers), COCO18)
    assert "\n" not in str(error.value)


def test_other_skeletons_are_mapped_by_name_or_named():
    people = np.random.default_rng(0).uniform(1, 9, (1, 25, 3)).astype(np.float32)
    mapped = map_people(people, skeletons.BODY25.joints, COCO18, "file")
    for j, name in enumerate(COCO18.joints):
        np.testing.assert_array_equal(mapped[0, j], people[0, skeletons.BODY25.joints.index(name)])
    faces = COCO17_JOINTS[:5]
    with pytest.raises(BadSampleError, match=r"file: its joints .*give no left_hip, right_hip"):
        map_people(people[:, :5], faces, COCO18, "file")


def test_votes_and_figures_of_all_folds():
    a, b = [0.8, 0.2], [0.3, 0.7]
    first = Answers(np.array([[a, a], [b, a]]), np.array([0, 0]), ["x", "y"])
    second = Answers(np.array([[b, b], [a, a]]), np.array([1, 1]), ["z", "w"])
    figures = summarise([first, second], ["r1", "r1", "r2", "r3"], ["cha", "rumba"])
    assert figures["confusion"] == [[3, 1], [2, 2]]
    assert figures["folds"]["top1"] == [0.75, 0.5]
    assert figures["metrics"]["mean_class_accuracy"] == pytest.approx((0.75 + 0.5) / 2)
    assert figures["pairs"] == {"cha / rumba": pytest.approx(5 / 8)}
    assert (figures["groups"], figures["groups_right"]) == (3, 2)
    assert figures["groups_wrong"] == ["r3"]


def test_equal_votes_go_to_the_likelier_class():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]])
    assert vote(probabilities, np.array(["a", "a"])) == {"a": 0}
