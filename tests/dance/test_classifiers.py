"""Classifiers in the process: inputs, frozen streams, cached features, checkpoints."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import c3d, frames, i3d
from danceflax import api
from danceflax.dance import classifiers, evaluate, features, inputs
from danceflax.dance import loss as losses
from danceflax.errors import UserError
from danceflax.models import registry
from danceflax.models.initialise import initialise
from danceflax.models.openpose import OpenPoseCOCO
from danceflax.skeleton import COCO18
from danceflax.training import checkpoints, devices, optimizers
from danceflax.training.step import create_state, make_train_step

NAMES = ["rumba", "tango", "waltz"]
BATCH = 4


def tiny(variant, module=i3d):
    config = module.get_config(f"{variant},demo")
    config.clip.frames, config.batch_size = 8, BATCH
    if module is i3d:
        config.model.width, config.model.last, config.model.head_channels = 0.1, "Mixed_3b", 4
    return config


def make_batch(classifier, seed=0, views=()):
    rng = np.random.default_rng(seed)
    batch = {
        name: rng.integers(0, 255, (BATCH, *views, *shape.shape[1:])).astype(shape.dtype)
        for name, shape in inputs.batch_shapes(classifier).items()
    }
    if "people" in batch:
        batch["people"] = (batch["people"] % 32).astype("f")
    return batch | {"label": np.arange(BATCH) % 3, "weight": np.ones(BATCH, "f")}


def train(config, classifier, variables, count=2, prepare=None, batch=None, **options):
    groups = classifiers.choose_groups(config, classifier)
    labels = optimizers.label_parameters(variables["params"], groups)
    optimizer, _ = optimizers.make_optimizer({"groups": groups, "clip_norm": 0.0}, labels, 10)
    loss = losses.make_loss(
        prepare or inputs.make_prepare(classifier),
        losses.make_apply(classifier.model, **options),
        len(NAMES),
        label_smoothing=0.0,
        class_weights=None,
        mixup_alpha=config.loss.mixup,
    )
    trained = optimizers.trained_parameters(labels, groups)
    step = devices.map_step(make_train_step(loss, optimizer, trained))
    state = devices.replicate(create_state(variables, optimizer))
    for _ in range(count):
        state, metrics = step(state, devices.shard(batch or make_batch(classifier)))
    return jax.device_get(state.variables), jax.device_get(metrics)


def same(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))


@pytest.fixture(scope="module")
def pose_checkpoint(tmp_path_factory):
    model = OpenPoseCOCO(width=0.05, stages=1)
    variables = initialise(model, jnp.zeros((1, 32, 32, 3)), 0)
    normalisation = {"mean": [128.0] * 3, "std": [256.0] * 3}
    path = tmp_path_factory.mktemp("pose") / "net"
    checkpoints.save_model(path, variables, registry.describe(model, COCO18, normalisation))
    return str(path)


@pytest.fixture(scope="module")
def live(pose_checkpoint):
    """RGB trains, the pose stream and the OpenPose network behind it do not."""
    config = tiny("rgb+pose")
    config.streams.pose.source, config.streams.pose.network = "network", pose_checkpoint
    config.streams.pose.train = False
    config.streams.pose.init_allow_missing = ".*"  # random weights will do here
    classifier, variables = classifiers.create(config, NAMES)
    return config, classifier, variables, *train(config, classifier, variables)


def test_frozen_streams_and_networks_stay_bit_for_bit(live):
    _, _, before, after, metrics = live
    for kind in ("params", "batch_stats"):
        for name in after[kind]:
            frozen = name in ("stream_pose", "openpose")
            assert same(before[kind][name], after[kind][name]) == frozen, (kind, name)
    assert np.isfinite(metrics["loss"][0]) and metrics["top1"][1] == BATCH


def test_a_checkpoint_knows_all_of_it(live, tmp_path):
    _, classifier, _, variables, _ = live
    checkpoints.save_model(tmp_path / "c", variables, classifiers.describe(classifier, NAMES))
    loaded, found, config = classifiers.load(tmp_path / "c")
    assert config["class_names"] == NAMES and loaded.skeleton == classifier.skeleton
    batch = make_batch(classifier, views=(2,))
    answers = []
    for one, values in ((classifier, variables), (loaded, found)):
        classify = evaluate.make_classify(inputs.make_prepare(one), losses.make_apply(one.model))
        answers.append(np.asarray(jax.jit(classify)(values, batch)))
    np.testing.assert_allclose(answers[0].sum(1), 1, rtol=1e-5)
    assert (answers[0] == answers[1]).all()


def test_cached_features_train_the_same_head(tmp_path):
    config = tiny("flow+pose")
    config.streams.flow.train = config.streams.pose.train = False
    config.streams.flow.init_allow_missing = config.streams.pose.init_allow_missing = ".*"
    config.model.dropout = 0.0
    classifier, variables = classifiers.create(config, NAMES)
    batch = make_batch(classifier)
    whole, _ = train(config, classifier, variables)

    prepare = inputs.make_prepare(classifier)
    compute = jax.jit(features.make_features(prepare, classifier.model))

    def batches():
        views = {k: v[:, None] if v.ndim > 1 else v for k, v in batch.items()}
        yield views, list("abcd")

    run = lambda b: np.asarray(compute(variables, b))  # noqa: E731
    source = features.write_features(tmp_path, "key", batches, run, BATCH)
    items = [features.pick_version(source[i], np.random.default_rng(0)) for i in range(BATCH)]
    cached = {key: np.stack([item[key] for item in items]) for key in items[0]}
    only = lambda params, b: {"features": b["features"]}  # noqa: E731
    head, _ = train(config, classifier, variables, prepare=only, batch=cached, features=True)
    assert not same(head["params"]["head"], variables["params"]["head"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), head["params"], whole["params"]
    )
    for name in ("stream_flow", "stream_pose"):
        assert same(head["params"][name], variables["params"][name])
        assert same(whole["batch_stats"][name], variables["batch_stats"][name])
    # A second call reads what is there; another digest is another cache.
    never = lambda *_: pytest.fail("computed again")  # noqa: E731
    again = features.write_features(tmp_path, "key", never, never, BATCH)
    assert again[3]["name"] == "d" and again[3]["label"] == 0
    assert features.digest([1], variables) != features.digest([1], whole)


@pytest.mark.parametrize(
    ("module", "variant"), [(c3d, "flow"), (frames, "rgb"), (frames, "openpose")]
)
def test_other_networks_take_their_stream(module, variant, pose_checkpoint):
    config = tiny(variant, module)
    if variant == "openpose":
        config.streams.pose.network = pose_checkpoint
    config.loss.mixup = 0.4
    classifier, variables = classifiers.create(config, NAMES)
    prepare, apply = inputs.make_prepare(classifier), losses.make_apply(classifier.model)
    loss = losses.make_loss(
        prepare, apply, 3, label_smoothing=0.1, class_weights=[1.0, 2.0, 1.0], mixup_alpha=0.4
    )
    rng = jax.eval_shape(lambda: jax.random.key(0))
    state = {key: value for key, value in variables.items() if key != "params"}
    batch = make_batch(classifier)
    total, _ = jax.eval_shape(loss, variables["params"], state, batch, rng)
    assert total.shape == ()
    groups = classifiers.choose_groups(config, classifier)
    assert set(groups) == ({"network", "openpose"} if variant == "openpose" else {"network"})
    optimizers.label_parameters(variables["params"], groups)


@pytest.mark.parametrize("variant", ["rgb", "rgb+flow", "rgb+pose", "flow+pose", "rgb+flow+pose"])
def test_either_flag_freezes_a_stream(variant):
    config = tiny(variant)
    first = variant.split("+")[0]
    config.optimizer.groups[first].train = False
    with pytest.raises(UserError, match=rf"streams\.{first}\.train=False freezes.*init_from"):
        classifiers.create(config, NAMES)
    config.streams[first].init_allow_missing = ".*"
    classifier, _ = classifiers.create(config, NAMES)
    assert classifier.model.frozen == (first,)
    groups = classifiers.choose_groups(config, classifier)
    assert [name for name in groups if not groups[name]["train"]] == [first]


def test_streams_start_from_i3d(tmp_path):
    model = api.create_model("i3d", num_classes=5, width=0.1)
    fresh = initialise(model, jnp.zeros((1, 16, 32, 32, 3)), 7)
    normalisation = {"mean": [120.0] * 3, "std": [127.5] * 3}
    path = str(tmp_path / "i3d")
    config = registry.describe(model, list("abcde"), normalisation)
    checkpoints.save_model(path, fresh, config)
    config = tiny("rgb+flow")
    config.streams.rgb.init_from = path
    classifier, variables = classifiers.create(config, NAMES)
    assert classifier.normalisation["mean"] == [120.0] * 3  # what the weights want
    kernel = lambda tree: tree["Conv3d_1a_7x7"]["conv"]["kernel"]  # noqa: E731
    assert (kernel(variables["params"]["stream_rgb"]) == kernel(fresh["params"])).all()
    config.streams.flow.init_from = path
    with pytest.raises(UserError, match=r"Conv3d_1a_7x7/conv/kernel is \(7, 7, 7, 3"):
        classifiers.create(config, NAMES)
    classifier, _, _ = classifiers.load(path)
    assert (
        inputs.needed(classifier.inputs) == ("rgb",) and classifier.inputs["clip"]["frames"] == 64
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"streams.pose.source": "network"}, "need an OpenPose checkpoint"),
        ({"streams.pose.source": "maps"}, "choose keypoints or network or features"),
        ({"streams.pose.maps": "pafs"}, "choose heatmaps or both"),
        ({"clip.size": 40}, "no multiple of the pose stride 6"),
        ({"model.last": "Mixed_6"}, "no block 'Mixed_6'"),
        ({"model.name": "c3d", "streams.flow.train": False}, "c3d trains whole"),
    ],
)
def test_what_does_not_fit_is_said(change, message):
    config = tiny("flow+pose")
    for key, value in change.items():
        config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=message):
        classifiers.create(config, NAMES)


def test_checkpoints_of_version_0_1_load():
    clip = dict(
        frames=8, fps=12.5, stride=1, sampling="contiguous", size=48, crop=[0.85, 1.0], flip=0.5,
        colour=[24.0, 0.25, 0.3], eval_clips=3, eval_crops=1, eval_crop=0.9,
    )  # fmt: skip
    flow = dict(source="files", bound=4.0, every=1)
    inputs_then = dict(streams=["flow"], clip=clip, flow=flow, pose=None, network=None)
    normalisation = {"mean": [127.5] * 3, "std": [127.5] * 3}
    model = registry.create_model("streams", num_classes=3, streams=("flow",), width=0.1)
    config = {"normalisation": normalisation, "inputs": inputs_then}
    found = classifiers.assemble(model, config).inputs
    assert found["views"] == {"clips": 3, "crops": 1, "crop": 0.9} and found["openpose"] is None
    assert found["clip"] == {key: clip[key] for key in classifiers.PUBLISHED_CLIP}
