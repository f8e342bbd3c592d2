import functools

import cv2
import numpy as np
import pytest
from crops import PLAIN, SIZE, STRIDE, crop, draw_dot, find_dot, make_record, random_person

from danceflax.errors import BadSampleError
from danceflax.people import transform_people
from danceflax.pose.augment import (
    COLOUR,
    GREY,
    LEFT_OUT,
    augment,
    letterbox,
)
from danceflax.pose.grid import to_grid
from danceflax.skeleton import BODY25, COCO18


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(240, 320), (900, 1200)], ids=["small", "shrunk first"])
def test_dots_in_the_image_stay_on_their_keypoints(size, seed):
    """Geometry against pixels: one dot an image, found again where its joint went."""
    person = random_person(np.random.default_rng(seed), *size, extent=0.6 * size[0])
    record = make_record(np.zeros((*size, 3), np.uint8), person[None])
    scale = (0.5, 1.1) if size[0] < 500 else (0.5, 0.7)
    draw = functools.partial(crop, scale=scale, colour=PLAIN)
    checked = 0
    for joint in range(0, 18, 3):
        record["image"] = draw_dot(size, person[joint, :2], radius=0.012 * size[0])
        item = draw(record, np.random.default_rng([seed, 1]))
        # Which joint it has become depends on whether this crop is mirrored: the dot tells.
        found = find_dot(item["image"])
        distance = np.linalg.norm(item["people"][0, :, :2] - found, axis=-1)
        absent = item["people"][0, :, 2] == 0
        if absent[joint] or absent[COCO18.flip[joint]]:
            continue
        assert min(distance[joint], distance[COCO18.flip[joint]]) < 0.5
        assert item["people"][0, distance.argmin(), 2] == 2
        checked += 1
    assert checked >= 3


def test_mirrored_crop_swaps_left_and_right():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 255, (240, 320, 3), np.uint8), (0, 0), 3)
    record = make_record(image, [random_person(rng, 240, 320, 100)])
    mask = np.ones((240, 320), np.uint8)
    mask[:, 160:] = 0
    record["mask"] = mask
    options = dict(colour=PLAIN, rotation=20.0)
    plain = crop(record, np.random.default_rng(5), flip=0.0, **options)
    mirrored = crop(record, np.random.default_rng(5), flip=1.0, **options)
    difference = plain["image"][:, ::-1].astype(int) - mirrored["image"]
    assert np.abs(difference).mean() < 0.5
    np.testing.assert_allclose(plain["mask"][:, ::-1], mirrored["mask"], atol=6)
    left, right = COCO18.joints.index("left_wrist"), COCO18.joints.index("right_wrist")
    present = plain["people"][0, left, 2] > 0
    assert present
    np.testing.assert_allclose(
        mirrored["people"][0, right],
        (367 - plain["people"][0, left, 0], *plain["people"][0, left, 1:]),
        rtol=1e-4,
    )


@pytest.mark.parametrize("seed", range(5))
def test_mask_moves_with_the_image(seed):
    """The masked region is painted black; cells must hold its absent share, counted in pixels."""
    mask = np.ones((300, 400), np.uint8)
    mask[40:200, 90:210] = 0
    image = np.repeat((mask * 255)[..., None], 3, -1)
    record = make_record(image, [random_person(np.random.default_rng(seed), 300, 400, 150)], mask)
    item = crop(record, np.random.default_rng(seed), colour=PLAIN)
    grey = item["image"][..., 0].astype(float)
    grey[np.abs(grey - GREY) < 1] = 255  # outside the image everything counts
    cells = grey.reshape(46, 8, 46, 8).mean((1, 3))
    assert item["mask"].shape == (46, 46) and item["mask"].dtype == np.uint8
    assert (item["mask"] < 5).any() and (item["mask"] > 250).any()
    error = np.abs(cells - item["mask"])
    assert error.mean() < 3 and np.percentile(error, 99) < 40


def test_scale_is_that_of_the_main_person():
    """Two people: the second, main, has its box height scaled to 0.6 * 368 * U(0.5, 1.1)."""
    rng = np.random.default_rng(3)
    person = random_person(rng, 300, 400, 60)
    record = make_record(np.zeros((300, 400, 3), np.uint8), [person, person], main=1)
    record["boxes"] = np.float32([[0, 0, 5, 5], [170, 120, 60, 60]])
    options = dict(rotation=0.0, jitter=0.0, flip=0.0)
    factors = []
    for seed in range(40):
        people = crop(record, np.random.default_rng(seed), **options)["people"][1]
        spread = people[:, 1].max() - people[:, 1].min()
        factors.append(spread / np.ptp(person[:, 1]) * 60 / (0.6 * 368))
        # The box's centre is the crop's.
        middle = transform_people(person, np.eye(2, 3))[0, :2] - (200, 150)
        expected = 183.5 + middle * factors[-1] * 0.6 * 368 / 60
        np.testing.assert_allclose(people[0, :2], expected, atol=0.05)
    assert 0.5 <= min(factors) < 0.6 and 1.0 < max(factors) <= 1.1


def test_chance_comes_from_the_rng_alone():
    rng = np.random.default_rng(0)
    people = [random_person(rng, 240, 320, 80) for _ in range(3)]
    record = make_record(rng.integers(0, 255, (240, 320, 3), np.uint8), people)
    kept = record["image"].copy()
    first, again, other = (crop(record, np.random.default_rng(s)) for s in (1, 1, 2))
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
    assert not np.array_equal(first["image"], other["image"])
    np.testing.assert_array_equal(record["image"], kept)


def test_colours_change_but_not_the_border():
    rng = np.random.default_rng(0)
    image = rng.integers(60, 200, (100, 100, 3), np.uint8)
    record = make_record(image, [random_person(rng, 100, 100, 90)])
    means = []
    for seed in range(20):
        item = crop(record, np.random.default_rng(seed), scale=(0.3, 0.3), rotation=0, jitter=0)
        assert np.abs(item["image"][0, 0].astype(int) - GREY).max() <= 1
        means.append(item["image"][160:200, 160:200].mean((0, 1)))
    brightness = np.mean(means, 1)
    assert 5 < brightness.std() < 30
    still = crop(record, rng, scale=(0.6, 0.6), rotation=0, jitter=0, flip=0, colour=PLAIN)
    for strengths in np.diag(COLOUR):
        changed = crop(
            record, rng, scale=(0.6, 0.6), rotation=0, jitter=0, flip=0, colour=tuple(strengths)
        )
        assert not np.array_equal(changed["image"], still["image"])


def test_people_partly_outside_keep_their_other_joints():
    inside = random_person(np.random.default_rng(0), 300, 300, 100)
    partly, outside = inside.copy(), inside.copy()
    partly[:9, 0] += 2000
    outside[:, 0] += 2000
    record = make_record(np.zeros((300, 300, 3), np.uint8), [outside, inside, partly], main=1)
    item = crop(record, np.random.default_rng(0), flip=0, scale=(0.6, 0.6))
    counts = (item["people"][..., 2] > 0).sum(1).tolist()
    assert counts == [18, 9, 0, 0]
    assert (item["people"][item["people"][..., 2] == 0] == 0).all()


def test_nobody_and_tiny_people():
    image = np.zeros((200, 300, 3), np.uint8)
    empty = make_record(image, np.ones((1, 18, 3))) | dict(
        people=np.zeros((0, 18, 3), np.float32), boxes=np.zeros((0, 4), np.float32)
    )
    item = crop(empty, np.random.default_rng(0))
    assert item["image"].shape == (368, 368, 3) and not item["people"].any()
    point = np.zeros((1, 18, 3))
    point[0, 4] = (150, 100, 2)
    item = crop(make_record(image, point), np.random.default_rng(0), jitter=0)
    assert (item["people"][0, :, 2] > 0).sum() == 1


def test_of_too_many_people_the_largest_are_trained_on():
    """The smallest is left out and counted, and its place does not count; in evaluation nobody is
    left out, and a batch too small for them is an error that names the file."""
    heights = (60, 90, 20, 70, 80)
    people = [np.zeros((18, 3)) for _ in heights]
    for k, (person, height) in enumerate(zip(people, heights, strict=True)):
        person[:4] = [(30 + 30 * k, 60, 2), (40 + 30 * k, 60, 2), (30 + 30 * k, 60 + height, 2),
                      (40 + 30 * k, 60 + height, 2)]  # fmt: skip
    record = make_record(np.zeros((200, 200, 3), np.uint8), people)
    record["main"] = 1
    before = LEFT_OUT.total
    options = dict(rotation=0.0, jitter=0.0, flip=0.0, scale=(1.0, 1.0), target_scale=0.4)
    item = crop(record, np.random.default_rng(0), **options)
    all_of_them = crop(record, np.random.default_rng(0), **options, max_people=5)
    kept = all_of_them["people"][[0, 1, 3, 4]]
    np.testing.assert_array_equal(item["people"], kept)
    assert LEFT_OUT.total == before + 1 and all_of_them["mask"].all()
    small = all_of_them["people"][2]
    x, y = np.rint(to_grid(small[small[:, 2] > 0, :2].mean(0), STRIDE)).astype(int)
    assert item["mask"][y, x] == 0 and 0 < (item["mask"] == 0).sum() < 60
    assert letterbox(record, size=SIZE, stride=STRIDE)["people"].shape[0] == 5
    with pytest.raises(BadSampleError, match=r"a\.jpg: 5 people, more than 4"):
        letterbox(record, size=SIZE, stride=STRIDE, max_people=4)


@pytest.mark.parametrize("image_size", [(240, 320), (800, 500), (100, 90)])
def test_letterbox_and_back(image_size):
    height, width = image_size
    corners = np.zeros((1, 25, 3))
    corners[0, :4] = [(0, 0, 2), (width - 1, 0, 2), (0, height - 1, 1), (width - 1, height - 1, 2)]
    xy = (0.3 * width, 0.6 * height)
    corners[0, 4] = (*xy, 2)
    image = draw_dot(image_size, xy, radius=0.03 * height)
    record = make_record(image, corners, np.ones(image_size, np.uint8)) | dict(id=17)
    item = letterbox(record, size=(256, 320), stride=8, max_people=3)
    assert item["image"].shape == (256, 320, 3) and item["mask"].shape == (32, 40)
    people = item["people"][0]
    assert (people[:5, 2] == corners[0, :5, 2]).all() and item["id"] == 17
    assert np.linalg.norm(find_dot(item["image"]) - people[4, :2]) < 0.5
    np.testing.assert_allclose(
        transform_people(item["people"][:1], item["to_image"]), corners, atol=1e-3
    )
    # It fits: one side is filled, the other is not left; the rest is grey.
    right, bottom = people[3, :2]
    assert right > 318 or bottom > 254
    rest = np.ones((256, 320), bool)
    rest[: round(bottom) + 2, : round(right) + 2] = False
    assert (item["image"][rest] == GREY).all()


def test_body25_has_its_own_mirror():
    person = np.full((25, 3), 2.0)
    person[:, :2] = np.random.default_rng(0).uniform(60, 140, (25, 2))
    record = make_record(np.zeros((200, 200, 3), np.uint8), [person])
    draw = functools.partial(
        augment, skeleton=BODY25, size=(128, 96), stride=8, max_people=2, rotation=0, jitter=0
    )
    item = draw(record, np.random.default_rng(0), flip=1, scale=(0.5, 0.5))
    assert item["image"].shape == (128, 96, 3) and item["mask"].shape == (16, 12)
    order = np.argsort(person[BODY25.flip, 0])
    assert (np.diff(item["people"][0, order, 0]) < 0).all()
