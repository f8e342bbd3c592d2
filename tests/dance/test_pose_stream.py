"""The pose stream of a joined field: a cut network's PAFs at full size, flow's weights."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import i3d
from danceflax.dance import classifiers, inputs
from danceflax.errors import UserError
from danceflax.models import registry
from danceflax.models.initialise import initialise
from danceflax.models.normalisation import OPENPOSE, normalise
from danceflax.models.registry import create_model
from danceflax.skeleton import COCO18
from danceflax.training import checkpoints

NAMES = ["rumba", "tango", "waltz"]


def save(path, name, labels, example, **options):
    model = create_model(name, **options)
    variables = initialise(model, example, 0)
    checkpoints.save_model(path, variables, registry.describe(model, labels, OPENPOSE))
    return str(path), variables


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    pixels, clip = jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, 16, 32, 32, 2))
    make = lambda name, **options: save(folder / name, *options.pop("what"), **options)  # noqa: E731
    return {
        "older": make("older", what=("openpose_coco", COCO18, pixels), width=0.05, stages=3),
        "pafs": make(
            "pafs", what=("openpose_body25", COCO18, pixels), skeleton="coco18", width=0.05,
            paf_stages=1, heatmap_stages=0,
        ),
        "normed": make(
            "normed", what=("openpose_body25", COCO18, pixels), skeleton="coco18", width=0.05,
            paf_stages=1, heatmap_stages=1, batch_norm=True,
        ),
        "flow": make("flow", what=("i3d", ["a", "b"], clip), num_classes=2, width=0.1),
    }  # fmt: skip


def config_of(networks, network="older", **pose):
    config = i3d.get_config("rgb+pose,demo")
    config.clip.frames = 8
    config.model.width, config.model.last, config.model.head_channels = 0.1, "Mixed_3b", 4
    config.model.pose_entry = "full"
    changes = dict(source="network", network=networks[network][0], maps="field", stride=1)
    config.streams.pose.update(changes | pose)
    return config


def make_batch(classifier):
    rng = np.random.default_rng(0)
    (shape,) = inputs.batch_shapes(classifier).values()
    return {"rgb": rng.integers(0, 255, (2, *shape.shape[1:]), np.uint8)}


def test_the_field_of_a_cut_network_enters_an_i3d_of_flow(networks):
    config = config_of(networks, stages=2, init_from=networks["flow"][0])
    classifier, variables = classifiers.create(config, NAMES)
    kept = variables["params"]["openpose"]
    assert {*kept} == {"feature", *(f"{k}_stage{i}" for k in ("paf", "heatmap") for i in (1, 2))}
    own = variables["params"]["stream_pose"]["Conv3d_1a_7x7"]["conv"]["kernel"]
    flow = networks["flow"][1]["params"]["Conv3d_1a_7x7"]["conv"]["kernel"]
    np.testing.assert_array_equal(own, flow)
    batch = make_batch(classifier)
    clip = jax.jit(inputs.make_prepare(classifier))(variables["params"], batch)["pose"]
    frames = batch["rgb"].reshape(-1, *batch["rgb"].shape[2:])
    assert clip.shape == (*batch["rgb"].shape[:4], 2)
    # By other means: the full network's second stage, NumPy's argmax, OpenCV's resizing.
    full = create_model("openpose_coco", width=0.05, stages=3)
    maps = jax.jit(full.apply)(networks["older"][1], normalise(frames, OPENPOSE))
    pafs = np.asarray(maps.pafs[1]).reshape(*maps.pafs[1].shape[:3], 19, 2)
    field = np.take_along_axis(pafs, np.abs(pafs).argmax(3)[..., None, :], 3)[..., 0, :]
    large = np.stack([cv2.resize(x, frames.shape[1:3][::-1]) for x in field])
    np.testing.assert_allclose(
        np.asarray(clip).reshape(large.shape), large, atol=1e-4 * np.abs(large).max()
    )


def test_a_network_of_pafs_alone_will_do(networks):
    classifier, variables = classifiers.create(config_of(networks, "pafs"), NAMES)
    prepare = inputs.make_prepare(classifier)
    shape = jax.eval_shape(prepare, variables["params"], make_batch(classifier))["pose"].shape
    assert shape[-1] == 2


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        ("older", {"stages": 4}, "stages=4: .* is openpose_coco with 3 stages; only openpose_coco"),
        ("pafs", {"stages": 1}, "only openpose_coco can be cut"),
        ("pafs", {"maps": "both"}, "maps='both': .* has no heatmaps; choose field"),
        ("normed", {}, "has batch norm, which the pose stream does not take"),
        ("flow", {}, "holds no pose network"),
    ],
)
def test_networks_that_do_not_fit_are_named(network, changes, message, networks):
    with pytest.raises(UserError, match=message):
        classifiers.create(config_of(networks, network, **changes), NAMES)
