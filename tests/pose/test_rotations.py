"""People found on an image that is turned, by a stand-in of a network that knows upright people."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from danceflax.errors import UserError
from danceflax.models.openpose import Maps
from danceflax.pose.decode import make_decoder
from danceflax.pose.metrics import oks
from danceflax.pose.predict import make_estimator
from danceflax.pose.rotations import merge_people, similarity, turn_back
from danceflax.pose.targets import make_targets
from danceflax.skeleton import COCO18

HEIGHT, WIDTH = 176, 240
BODY = np.array([
    (0, -40), (0, -30), (-12, -30), (-17, -15), (-21, 0), (12, -30), (17, -15), (21, 0), (-8, 0),
    (-10, 22), (-11, 45), (8, 0), (10, 22), (11, 45), (-4, -44), (4, -44), (-8, -42), (8, -42),
], np.float32)  # fmt: skip


def place(degrees, x, y):
    """A person [18, 3] turned clockwise by an angle about (x, y)."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.concatenate([BODY @ turn + (x, y), np.ones((18, 1))], -1).astype(np.float32)


def turn_people(people, turn):
    """People of the image in the pixels of what `np.rot90` makes of it: by turning it on."""
    shape = (HEIGHT, WIDTH) if turn % 2 == 0 else (WIDTH, HEIGHT)
    return np.array(turn_back(people[None], -turn % 4, shape))[0]


@pytest.mark.parametrize("turn", range(4))
def test_turning_back(turn):
    """A dot in a picture that numpy turns, and where it came from."""
    image = np.zeros((HEIGHT, WIDTH))
    image[31, 87] = 1
    y, x = np.argwhere(np.rot90(image, turn))[0]
    dot = np.array([[[[x, y, 0.5], [0, 0, 0]]]], float)
    back = turn_back(dot, turn, (HEIGHT, WIDTH))
    np.testing.assert_array_equal(back[0, 0], [[87, 31, 0.5], [0, 0, 0]])


def make_network(people):
    """apply(variables, images) that draws the maps of those people who are upright as the image is
    turned, which it knows by the brightness of its corner."""
    sights = [turn_people(people, turn) for turn in range(4)]
    for sight in sights:
        down = sight[:, 8, 1] - sight[:, 1, 1]
        sight[down < 20] = 0

    def apply(variables, images):
        shape = (images.shape[1] // 8, images.shape[2] // 8)
        turn = jnp.round(images[0, 0, 0, 0] / 60).astype(int)
        people = jnp.asarray(np.stack(sights))[turn]
        heatmaps, pafs = make_targets(jnp.stack([people] * len(images)), COCO18, shape)
        return Maps(pafs=[pafs], heatmaps=[heatmaps], features=None)

    return apply


def make_image():
    """Corners that say, once they are the first, how often the image was turned."""
    image = np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
    for turn in range(4):
        np.rot90(image, turn, axes=(1, 2))[:, 0, 0] = 60 * turn
    return image


PEOPLE = np.stack([place(0, 50, 80), place(180, 120, 90), place(95, 185, 40), place(-80, 180, 130)])


@pytest.mark.parametrize(
    "rotations, expected",
    [((0,), [0]), ((180,), [1]), ((0, 180), [0, 1]), ((0, 90, 180, 270), [0, 1, 2, 3])],
)
def test_turned_people_are_found_where_they_are(rotations, expected):
    decode = make_decoder(COCO18, max_people=5)
    estimate = make_estimator(make_network(PEOPLE), COCO18, decode, rotations=rotations)
    people, scores = jax.jit(estimate)(None, make_image())
    found = np.asarray(people[0])[np.asarray(scores[0]) > 0]
    assert people.shape == (1, 5, 18, 3) and len(found) == len(expected)
    assert (np.diff(scores[0]) <= 0).all()
    similarities = oks(PEOPLE[expected], found, COCO18.sigmas)
    assert (np.sort(similarities.max(1)) > 0.97).all() and (similarities.argmax(1) != -1).all()
    assert sorted(similarities.argmax(1).tolist()) == list(range(len(expected)))


def test_of_one_person_found_twice_the_best_stays():
    """And what is left out, or found with fewer joints, is no other person."""
    again, part = PEOPLE[0] + (2, -1, 0), PEOPLE[0] + (1, 1, 0)
    part[5:] = 0
    close = PEOPLE[0] + (4, 2, 0)  # someone else, for the same view has found both
    people = np.stack([PEOPLE[0], again, part, close, PEOPLE[1], 0 * part])[None]
    scores = np.array([[0.8, 0.9, 0.3, 0.6, 0.4, 0.0]])
    views = np.array([0, 1, 0, 1, 0, 1])
    merged, left = merge_people(people, scores, views, COCO18.sigmas, 4)
    np.testing.assert_allclose(left, [[0.9, 0.6, 0.4, 0]])
    np.testing.assert_array_equal(merged[0], np.stack([again, close, PEOPLE[1], 0 * part]))


def test_similarity_is_oks():
    """As `metrics.oks` has it, where both have all joints and are of one size."""
    people = np.concatenate([PEOPLE[:1], PEOPLE[:1] + (5, 3, 0), PEOPLE[1:2]])
    ours = similarity(people, np.asarray(COCO18.sigmas))
    np.testing.assert_allclose(ours, oks(people, people, COCO18.sigmas), rtol=1e-4)
    assert similarity(people * 0, np.asarray(COCO18.sigmas)).max() == 0


@pytest.mark.parametrize("rotations", [(), (45,), (0, 91)])
def test_other_angles_are_refused(rotations):
    network, decode = make_network(PEOPLE), make_decoder(COCO18)
    with pytest.raises(UserError, match=r"rotations=.*: expected multiples of 90"):
        make_estimator(network, COCO18, decode, rotations=rotations)
