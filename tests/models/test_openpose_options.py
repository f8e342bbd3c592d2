"""Options of the OpenPose networks against PyTorch: batch norm, output activations, fewer stages,
ImageNet's VGG."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_openpose
from torch import nn

import danceflax
from danceflax.errors import UserError
from danceflax.weights import convert

LEAVES = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
BRANCH = {"l2_stages": "paf", "l1_stages": "heatmap"}


def from_torch(network, model, shape=(1, 32, 32, 3)):
    """Our variables of a PyTorch network: the published names convert, batch norm's by hand."""
    state = {key: value.numpy().copy() for key, value in network.state_dict().items()}
    norms = {key: state.pop(key) for key in [*state] if ".Mbn." in key}
    inputs = jax.ShapeDtypeStruct(shape, jnp.float32)
    shapes = convert.flatten(dict(jax.eval_shape(model.init, jax.random.key(0), inputs)))
    target = {path: leaf.shape for path, leaf in shapes.items() if "/bn" not in path}
    name = "openpose_coco" if isinstance(network, torch_openpose.COCO) else "openpose_body25"
    flat = convert.flatten(convert.convert(state, name, target, where="torch")[0])
    for key, value in norms.items():
        branch, stage, layer, _, leaf = key.split(".")
        if leaf not in LEAVES:
            continue
        block, _, i = layer.removeprefix("Mconv").partition("_")
        module = f"block{block}/bn{i}" if i else f"bn{block}"
        collection = "batch_stats" if "running" in leaf else "params"
        flat[f"{collection}/{BRANCH[branch]}_stage{stage}/{module}/{LEAVES[leaf]}"] = value
    assert set(flat) == set(shapes)
    return convert.unflatten(flat)


def pixels(seed=0, size=(2, 32, 40, 3)):
    return np.random.default_rng(seed).normal(0, 0.3, size).astype("f")


def theirs(network, images):
    with torch.no_grad():
        maps = network(torch.from_numpy(images.transpose(0, 3, 1, 2)))
    return [None if x is None else x.numpy().transpose(0, 2, 3, 1) for x in maps]


def assert_close(ours, other, tolerance=1e-4):
    assert np.abs(other).max() > 1e-3
    np.testing.assert_allclose(ours, other, atol=tolerance * np.abs(other).max())


@pytest.mark.parametrize(
    ("activations", "modules"),
    [
        (("tanh", "sigmoid"), (nn.Tanh(), nn.Sigmoid())),
        (("none", "relu"), (None, nn.ReLU())),
    ],
)
@pytest.mark.parametrize("train", [False, True])
def test_batch_norm_and_activations_are_pytorchs(activations, modules, train):
    paf, heatmap = activations
    model = danceflax.create_model(
        "openpose_body25", paf_stages=2, heatmap_stages=1, batch_norm=True,
        paf_activation=paf, heatmap_activation=heatmap,
    )  # fmt: skip
    network = torch_openpose.Body25(2, 1, batch_norm=True, activations=modules)
    torch_openpose.randomise(network).train(train)
    variables = from_torch(network, model)
    images = pixels()
    heatmaps, pafs = theirs(network, images)
    apply = jax.jit(model.apply, static_argnames=("train", "mutable"))
    maps, state = apply(variables, images, train=train, mutable=("batch_stats",))
    tolerance = 1e-3 if train else 1e-4  # statistics of 40 cells, layer after layer
    assert_close(maps.pafs[-1], pafs, tolerance)
    assert_close(maps.heatmaps[-1], heatmaps, tolerance)
    old, new = variables["batch_stats"], state["batch_stats"]
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), old, dict(new))
    assert (max(jax.tree.leaves(moved)) > 0) == train
    if train:  # PyTorch's running mean moves by a tenth too
        after = network.state_dict()["l2_stages.1.Mconv3_2.Mbn.running_mean"].numpy()
        np.testing.assert_allclose(new["paf_stage1"]["block3"]["bn2"]["mean"], after, atol=1e-4)


def test_without_heatmap_stages_there_are_pafs_alone():
    model = danceflax.create_model("openpose_body25", paf_stages=1, heatmap_stages=0)
    network = torch_openpose.randomise(torch_openpose.Body25(1, 0))
    images = pixels()
    maps = jax.jit(model.apply)(from_torch(network, model), images)
    assert maps.heatmaps == []
    assert_close(maps.pafs[-1], theirs(network, images)[1])


def test_the_older_network_is_cut_after_any_stage():
    """Three stages' weights out of the full network's are what PyTorch's first three stages say."""
    full = torch_openpose.randomise(torch_openpose.COCO(stages=4))
    cut = torch_openpose.COCO(stages=3)
    cut.load_state_dict(full.state_dict(), strict=False)
    variables = from_torch(full, danceflax.create_model("openpose_coco", stages=4))
    model = danceflax.create_model("openpose_coco", stages=3)
    images = pixels(size=(1, 32, 32, 3))
    maps = jax.jit(model.apply)(variables, images)  # flax reads what it needs
    heatmaps, pafs = theirs(cut, images)
    assert_close(maps.pafs[-1], pafs)
    assert_close(maps.heatmaps[-1], heatmaps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paf_activation": "softmax"}, "config.model.paf_activation='softmax'; choose none, relu"),
        ({"paf_stages": 0}, "config.model.paf_stages=0; expected at least 1"),
    ],
)
def test_options_out_of_range_are_answered(options, message):
    model = danceflax.create_model("openpose_body25", **options)
    with pytest.raises(UserError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
