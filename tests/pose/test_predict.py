"""Mirroring maps equals drawing mirrored people; streams of frames of any shape."""

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from danceflax.errors import UserError
from danceflax.io.images import write_image
from danceflax.io.pipeline import THREADS
from danceflax.models.openpose import OpenPoseCOCO
from danceflax.pose import predict
from danceflax.pose.predict import flip_maps
from danceflax.pose.targets import make_targets
from danceflax.skeleton import COCO18, SKELETONS, Skeleton

# A limb that runs from the left joint to the right one is mirrored into itself, reversed.
ACROSS = Skeleton.from_dict(
    dict(
        name="across",
        joints=["neck", "left_hip", "right_hip"],
        limbs=[["left_hip", "right_hip"], ["neck", "left_hip"], ["right_hip", "neck"]],
    )
)


@pytest.mark.parametrize("skeleton", [*SKELETONS.values(), ACROSS], ids=lambda s: s.name)
def test_flipping_people_and_flipping_maps_commute(skeleton):
    shape, width = (12, 17), 17 * 8
    rng = np.random.default_rng(0)
    people = np.ones((2, 3, skeleton.num_joints, 3), np.float32)
    people[..., :2] = rng.integers((0, 0), (width, 12 * 8), people[..., :2].shape)
    people[..., 2] = rng.random(people.shape[:-1]) < 0.8
    mirrored = people[:, :, skeleton.flip].copy()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]

    draw = jax.jit(lambda people: make_targets(people, skeleton, shape))
    maps = draw(people)
    back = flip_maps(*draw(mirrored), skeleton)
    again = flip_maps(*flip_maps(*maps, skeleton), skeleton)
    assert np.abs(maps[1]).max() > 0.9
    for expected, flipped, twice in zip(maps, back, again, strict=True):
        np.testing.assert_allclose(flipped, expected, atol=1e-6)
        np.testing.assert_array_equal(twice, expected)


@pytest.fixture
def predictor(monkeypatch):
    """One that finds one person in each picture: at (brightness, 0) of the input, its nose."""

    def estimate(variables, images):
        level = images.astype(jnp.float32)[:, 0, 0, 0]  # the canvas begins with the picture
        people = jnp.zeros((len(images), 1, COCO18.num_joints, 3)).at[:, 0, 0, 2].set(1.0)
        return people.at[:, 0, 0, 0].set(level), jnp.ones((len(images), 1))

    monkeypatch.setattr(predict, "make_estimator", lambda *_, **__: estimate)
    config = {
        "skeleton": COCO18.to_dict(),
        "normalisation": {"mean": [0.0] * 3, "std": [1.0] * 3},
    }
    return predict.PosePredictor(OpenPoseCOCO(), {}, config, height=64, batch_size=4)


def test_shapes_in_turn_fill_batches_and_keep_their_order(predictor):
    """Portraits, landscapes and a square, one after the other: what is found is what each by itself
    gives, in order, in hardly more batches than if they were sorted."""
    shapes = [(90, 60), (60, 90), (70, 70)]
    frames = [(i, np.full((*shapes[i % 3], 3), 3 * i, np.uint8)) for i in range(50)]
    sizes = []
    estimate = predictor._estimate
    predictor._estimate = lambda variables, images: (
        sizes.append(images.shape) or estimate(variables, images)
    )
    found = list(predictor.stream(iter(frames)))
    assert [key for key, *_ in found] == list(range(50))
    assert len(sizes) <= 50 // 4 + 3 and {size[0] for size in sizes} == {4}
    for (_, frame), (_, shown, people, scores) in zip(frames, found, strict=True):
        np.testing.assert_array_equal(frame, shown)
        alone, _ = predictor(frame)
        np.testing.assert_allclose(people, alone)
        assert len(scores) == 1


def test_frames_are_given_back_before_all_are_read(predictor):
    read = []

    def frames():
        for i in range(10_000):
            read.append(i)
            yield i, np.zeros((60, 90 + i % 2 * 40, 3), np.uint8)

    next(predictor.stream(frames()))
    waiting = 4 * predictor.batch_size + THREADS  # in threads, and a batch that is begun
    assert len(read) <= predict.AHEAD * predictor.batch_size + waiting


@pytest.mark.parametrize("shape", [(1, 2000), (2000, 1), (1, 1), (3, 7)])
def test_thin_pictures(predictor, shape):
    people, scores = predictor(np.full((*shape, 3), 50, np.uint8))
    assert people.shape == (1, COCO18.num_joints, 3) and np.isfinite(people).all()
    assert scores.tolist() == [1.0]


def test_pictures_in_other_forms_give_the_same(predictor, tmp_path):
    image = np.full((40, 50, 3), 100, np.uint8)
    write_image(tmp_path / "a.png", image)
    expected = predictor(image)[0]
    for other in (image / np.float32(255), PIL.Image.fromarray(image), str(tmp_path / "a.png")):
        np.testing.assert_array_equal(predictor(other)[0], expected)
    with pytest.raises(UserError, match=r"floats in 0\.\.1"):
        predictor(image.astype(np.float32))
