"""Pictures: what is drawn where, in which colour, and what must not be drawn."""

import numpy as np
import pytest

from danceflax.pose import draw
from danceflax.skeleton import BODY25, COCO18, Skeleton

SKELETONS = pytest.mark.parametrize("skeleton", [COCO18, BODY25], ids=lambda s: s.name)


def make_people(skeleton, confidence=1.0):
    points = np.random.default_rng(0).uniform(20, 180, (1, skeleton.num_joints, 3))
    points[..., 2] = confidence
    return points


@SKELETONS
def test_joints_have_their_colour_and_the_input_is_left_alone(skeleton):
    image = np.full((200, 200, 3), 90, np.uint8)
    people = make_people(skeleton)
    drawn = draw.draw_people(image, people, skeleton, opacity=1.0)
    assert (image == 90).all() and drawn.dtype == np.uint8
    x, y = np.round(people[0, -1, :2]).astype(int)  # the last joint lies on top
    np.testing.assert_array_equal(drawn[y, x], draw.colours(skeleton)[1][-1])
    for a, b in np.array(skeleton.limbs)[~skeleton.redundant]:
        x, y = np.round(people[0, [a, b], :2].mean(0)).astype(int)
        assert (drawn[y, x] != 90).any()


@SKELETONS
def test_left_is_cold_and_right_is_warm(skeleton):
    for indices, colour in zip(
        ([[skeleton.joints[j] for j in limb] for limb in skeleton.limbs], skeleton.joints),
        draw.colours(skeleton),
        strict=True,
    ):
        for names, (red, _, blue) in zip(indices, colour.astype(int), strict=True):
            names = [names] if isinstance(names, str) else names
            body = [n for n in names if n.partition("_")[2] not in ("eye", "ear")]
            if any(n.startswith("left") for n in body):
                assert blue > red, names
            if any(n.startswith("right") for n in body):
                assert red > blue, names
    limbs, _ = draw.colours(skeleton)
    used = limbs[~skeleton.redundant]
    assert len(np.unique(used, axis=0)) == len(used)


def test_confidence_decides_what_is_drawn():
    image = np.full((200, 200, 3), 90, np.uint8)
    change = [
        np.abs(draw.draw_people(image, make_people(COCO18, c), COCO18).astype(int) - 90).sum()
        for c in (0.0, 0.04, 0.1, 0.3, 1.0, 2.0)
    ]
    assert change[0] == change[1] == 0
    assert 0 < change[2] < change[3] < change[4] == change[5]
    low = make_people(COCO18, 0.04)
    assert (draw.draw_people(image, low, COCO18, threshold=0.01) != 90).any()
    assert (draw.draw_people(image, np.zeros((0, 18, 3)), COCO18) == 90).all()


def test_people_off_the_picture_do_no_harm():
    image = np.full((50, 60, 3), 90, np.uint8)
    people = make_people(COCO18)
    people[0, 0, 0] = np.nan
    for shift in (-1e5, -30, 30, 1e5):
        draw.draw_people(image, people + [shift, shift, 0], COCO18)
    assert (draw.draw_people(image, people + [1e5, 0, 0], COCO18) == 90).all()


def test_maps_lie_where_they_belong():
    image = np.full((64, 80, 3), 100, np.uint8)
    heatmaps = np.zeros((8, 10, 19), np.float32)
    heatmaps[..., -1] = 1  # the background is not drawn
    blank = draw.draw_heatmaps(image, heatmaps)
    assert len(np.unique(blank)) == 1 and blank[0, 0, 0] < 100
    heatmaps[2, 7, 0] = 1
    changed = (draw.draw_heatmaps(image, heatmaps) != blank).any(-1)
    y, x = np.argwhere(changed).mean(0)
    assert (y, x) == (19.5, 59.5)  # the cell's centre in pixels: 8 * (2, 7) + 3.5
    heatmaps[0, 0] = np.nan
    draw.draw_heatmaps(image, heatmaps)


@pytest.mark.parametrize(
    "vector, channels",
    [((1, 0), "r"), ((0, 1), "rg"), ((-1, 0), "gb"), ((0, -1), "rb"), ((0.5, 0), "r")],
)
def test_paf_direction_is_hue_and_magnitude_brightness(vector, channels):
    image = np.zeros((64, 80, 3), np.uint8)
    pafs = np.zeros((8, 10, 38), np.float32)
    pafs[..., 4:6] = vector
    pafs[..., 8:10] = 0.1  # a weaker limb is hidden by a stronger
    colour = draw.draw_pafs(image, pafs)[30, 40].astype(int)
    strong = max(colour)
    assert strong == pytest.approx(255 * 0.75 * np.hypot(*vector), abs=1)
    bright = {name for name, value in zip("rgb", colour, strict=True) if value > 0.4 * strong}
    assert bright == set(channels)


def test_a_skeleton_of_ones_own():
    own = Skeleton.from_dict({"name": "stick", "joints": ["head", "tail"], "limbs": [(0, 1)]})
    image = np.zeros((50, 50, 3), np.uint8)
    drawn = draw.draw_people(image, np.array([[[10.0, 10, 1], [40, 40, 1]]]), own)
    assert drawn[25, 25].any() and not drawn[10, 40].any()


@SKELETONS
def test_people_have_the_colours_of_their_numbers(skeleton):
    """Whatever their order; colours of successive numbers are far apart; nobody's is grey."""
    limbs, joints = zip(*(draw.person_colours(skeleton, n) for n in range(4)), strict=True)
    means = np.array([colours.mean(0) for colours in limbs])
    apart = np.linalg.norm(means[:, None] - means, axis=-1)
    assert apart[~np.eye(4, dtype=bool)].min() > 60
    assert np.ptp(draw.person_colours(skeleton, -1)[1], axis=-1).max() == 0
    people = np.concatenate([make_people(skeleton), make_people(skeleton) + (200, 0, 0)])
    image = np.zeros((200, 400, 3), np.uint8)
    drawn = draw.draw_people(image, people, skeleton, opacity=1.0, ids=[3, 1])
    swapped = draw.draw_people(image, people[::-1], skeleton, opacity=1.0, ids=[1, 3])
    np.testing.assert_array_equal(drawn, swapped)
    for person, number in zip(people, (3, 1), strict=True):
        x, y = np.round(person[-1, :2]).astype(int)
        np.testing.assert_array_equal(drawn[y, x], joints[number][-1])
