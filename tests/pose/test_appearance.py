"""Options of the training crop: its colours, blur, patches, turns and scale."""

import cv2
import numpy as np
import pytest
from crops import PLAIN, crop, draw_dot, find_dot, make_record, random_person

from danceflax.errors import UserError
from danceflax.pose.appearance import random_blur, random_grey, random_patches

STILL = dict(colour=PLAIN, rotation=0.0, jitter=0.0, flip=0.0, scale=(1.0, 1.0))


def noise(size=(200, 300), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def test_grey_is_opencvs_luma_and_keeps_what_is_grey():
    matrix = random_grey(np.eye(3), np.random.default_rng(0), 1.0)
    found = cv2.transform(noise(), matrix.astype("f"))
    expected = cv2.cvtColor(noise(), cv2.COLOR_RGB2GRAY).astype(int)
    assert np.abs(found.astype(int) - expected[..., None]).max() <= 1
    np.testing.assert_allclose(matrix @ [128, 128, 128], 128)
    record = make_record(noise(), random_person(np.random.default_rng(0), 200, 300, 90)[None])
    item = crop(record, np.random.default_rng(0), grey=1.0, scale=(0.2, 0.2), jitter=0.0)
    assert np.ptp(item["image"].astype(int), -1).max() <= 1
    assert np.abs(item["image"][0, 0].astype(int) - 128).max() <= 1


def test_blur_takes_either_kernel_or_none():
    image, found = noise(), set()
    kinds = [image, *(cv2.GaussianBlur(image, (k, k), 0) for k in (3, 5))]
    for seed in range(30):
        blurred = random_blur(image, np.random.default_rng(seed), 0.6)
        found.add(next(i for i, kind in enumerate(kinds) if np.array_equal(kind, blurred)))
    assert found == {0, 1, 2}


def test_patches_hide_the_joints_below_and_only_those():
    image, rng = noise(), np.random.default_rng(3)
    people = np.stack([random_person(rng, 200, 300, 190) for _ in range(3)]).astype("f")
    people[0, 4] = 0  # absent stays absent
    hidden = 0
    for seed in range(20):
        patched, after = random_patches(image, people, np.random.default_rng(seed), 3, 0.4)
        changed = (patched != image).any(-1)
        x, y = np.round(people[..., :2]).astype(int).clip(0, (299, 199)).transpose(2, 0, 1)
        below = changed[y, x] & (people[..., 2] > 0)
        occluded = after[..., 2] == 1
        assert (below == occluded).mean() > 0.98  # a patch's colour may be the image's own
        np.testing.assert_array_equal(after[..., :2], people[..., :2])
        assert (after[0, 4] == 0).all() and set(np.unique(after[..., 2])) <= {0, 1, 2}
        hidden += occluded.sum()
    assert hidden > 50
    assert (people[..., 2] != 1).all() and np.array_equal(image, noise())  # neither was written


def turns(**options):
    """The angles, in degrees, that random crops turn a standing line by."""
    person = np.zeros((18, 3))
    person[:2] = [(150, 60, 2), (150, 140, 2)]
    record, angles = make_record(noise(), person[None]), []
    for seed in range(200):
        item = crop(record, np.random.default_rng(seed), **STILL | options)
        a, b = item["people"][0, :2, :2]
        angles.append(np.rad2deg(np.arctan2(*(b - a))))
    return np.array(angles)


def test_rotation_is_any_or_upright_with_a_share_of_inverted():
    anything = turns(rotation=180.0)
    counts = np.histogram(anything, 4, (-180, 180))[0]
    assert counts.min() > 30
    mostly = turns(rotation=30.0, inverted=0.25)
    upright, inverted = np.abs(mostly) < 30.1, np.abs(mostly) > 149.9
    assert (upright | inverted).all() and 30 < inverted.sum() < 70
    assert np.abs(turns(rotation=30.0)).max() < 30.1


def test_a_person_upside_down_stays_on_its_pixels():
    person = random_person(np.random.default_rng(0), 240, 320, 100)
    record = make_record(draw_dot((240, 320), person[3, :2], radius=3), person[None])
    item = crop(record, np.random.default_rng(0), **STILL | {"inverted": 1.0, "scale": (0.8, 0.8)})
    assert np.linalg.norm(find_dot(item["image"]) - item["people"][0, 3, :2]) < 0.5


@pytest.mark.parametrize("lying", [False, True])
def test_the_longer_side_makes_who_lies_as_large_as_who_stands(lying):
    person = np.full((18, 3), 2.0)
    long, short = np.linspace(20, 180, 18), np.linspace(95, 105, 18)
    person[:, :2] = np.stack([long, short] if lying else [short, long], 1)
    record = make_record(noise((200, 200)), person[None])

    def extent(size_by):
        item = crop(record, np.random.default_rng(0), size_by=size_by, **STILL)
        points = item["people"][0][item["people"][0, :, 2] > 0, :2]
        return np.ptp(points, 0).max()

    assert extent("longer") == pytest.approx(0.6 * 368, abs=1)
    if lying:  # by its height a lying person is blown out of the crop
        assert extent("height") > 300
    else:
        assert extent("height") == pytest.approx(0.6 * 368, abs=1)


def test_an_unknown_measure_is_answered():
    record = make_record(noise(), random_person(np.random.default_rng(0), 200, 300, 90)[None])
    with pytest.raises(UserError, match="size_by='width'; choose height or longer"):
        crop(record, np.random.default_rng(0), size_by="width")
