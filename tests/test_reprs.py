"""What Python shows: a repr says what a thing is, in a line; `dir` the public names."""

import jax
import jax.numpy as jnp
import numpy as np
from conftest import random_variables

import danceflax
from danceflax import load_predictor
from danceflax.dance.evaluate import Answers
from danceflax.dance.sequences.predict import Dancer, Followed
from danceflax.models.registry import create_model
from danceflax.pose.evaluate import Evaluation
from danceflax.pose.follow import Dancers
from danceflax.pose.precision import Matches
from danceflax.report.runs import Run
from danceflax.skeleton import COCO18
from danceflax.training.checkpoints import save_model


def test_public_names_are_shown_and_there():
    assert set(danceflax.__all__) <= set(dir(danceflax))
    assert all(callable(getattr(danceflax, name)) for name in danceflax.__all__)


def test_predictors(tmp_path):
    options = {"width": 1 / 16, "paf_stages": 1, "heatmap_stages": 1}
    network = create_model("openpose_body25", skeleton=COCO18, **options)
    variables = random_variables(network, jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32))
    config = {
        "model": {"name": "openpose_body25", "options": options},
        "skeleton": COCO18.to_dict(),
        "normalisation": {"mean": [0.0] * 3, "std": [1.0] * 3},
    }
    save_model(tmp_path / "a", variables, config)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert repr(load_predictor(tmp_path / "a")) == (
        f"PosePredictor('{tmp_path}/a': OpenPoseBody25, {count:,} parameters; Skeleton('coco18', "
        "18 joints, 19 limbs); images 368 pixels high)"
    )


def test_people():
    people, ids = (
        [np.zeros((2, 18, 3))] * 3,
        [np.array([0, -1]), np.array([0, 1]), np.array([2, 1])],
    )
    assert repr(Dancers([0.0, 0.1, 0.2], people, ids, [])) == "Dancers(3 people, 3 frames)"
    followed = Followed(np.zeros((3, 2, 18, 3)), np.arange(3.0))
    assert repr(followed) == "Followed(2 people, 3 frames)"
    dancer = Dancer(4, 0, np.array([[0, 1.5], [1, 2.5]]), np.zeros((2, 3)))
    assert repr(dancer) == "Dancer(4, 2 windows, 0.00 to 2.50 s)"


def test_evaluations():
    nobody = Matches(*[np.zeros(0, int)] * 4)
    found = Evaluation({"AP": 0.25, "PCK": 0.5, "loss": 1.0}, [], {}, nobody)
    assert repr(found) == "Evaluation(0 images, AP 0.250, PCK 0.500)"
    assert repr(Run("a", "a", (None, {}, {}), None, found)) == f"Run('a': {found!r})"
    answers = Answers(np.zeros((5, 3)), np.zeros(5, int), [])
    assert repr(answers) == "Answers(5 clips, 3 classes)"
