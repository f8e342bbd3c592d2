"""I3D: published sizes, and forward, gradients and statistics against a PyTorch I3D."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import random_variables

from danceflax.errors import UserError
from danceflax.models.c3d import C3D
from danceflax.models.frames import FrameClassifier
from danceflax.models.i3d import I3D


def shapes_of(model, *shape):
    return jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, *shape), np.float32))


def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


def test_sizes_are_the_published_ones():
    rgb = shapes_of(I3D(), 16, 224, 224, 3)
    assert count(rgb["params"]) == 12_689_984
    assert count(rgb["params"]["Logits"]) == 410_000
    assert count(rgb["batch_stats"]) == 14_560
    assert count(shapes_of(I3D(), 16, 224, 224, 2)["params"]) == 12_668_032
    assert count(shapes_of(I3D(16), 16, 224, 224, 3)["params"]) == 12_296_384
    assert count(shapes_of(I3D(None), 16, 224, 224, 3)["params"]) == 12_279_984
    assert count(shapes_of(C3D(101), 16, 112, 112, 3)["params"]) == 78_409_573


def test_endpoints_have_the_published_shapes():
    def endpoints(model, *shape):
        variables = shapes_of(model, *shape)
        x = jnp.zeros((1, *shape))
        ends = jax.eval_shape(lambda v: model.apply(v, x, method="endpoints"), variables)
        return {name: y.shape[1:] for name, y in ends.items()}

    ends = endpoints(I3D(), 79, 224, 224, 3)
    assert ends["Conv3d_1a_7x7"] == (40, 112, 112, 64)
    assert ends["Mixed_3c"] == (40, 28, 28, 480)
    assert ends["Mixed_4f"] == (20, 14, 14, 832)
    assert ends["Mixed_5c"] == (10, 7, 7, 1024)
    assert ends["Logits"] == (400,)
    assert endpoints(I3D(), 9, 112, 120, 3)["Mixed_5c"] == (2, 4, 4, 1024)
    grid = endpoints(I3D(None, entry="grid"), 64, 28, 28, 57)
    assert grid["Adapter"] == (32, 28, 28, 192)
    assert grid["Mixed_5c"] == (8, 7, 7, 1024)
    assert not {"Conv3d_1a_7x7", "Logits"} & grid.keys()


@pytest.mark.parametrize(("channels", "train", "remat"), [(3, True, True), (2, False, False)])
def test_agrees_with_pytorch(channels, train, remat):
    """In float64: in float32 rounding turns a ReLU or a maximum over here and there."""
    torch = pytest.importorskip("torch")
    from torch_i3d import TorchI3D, Unit, load_flax

    # With a decay of 0 the new statistics are the batch's.
    model = I3D(7, dropout=0.0, bn_decay=0.0, remat=remat, dtype=np.float64)
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (2, 10, 61, 80, channels))
    cotangent = rng.standard_normal((2, 7))
    with jax.enable_x64(True):
        variables = random_variables(model, x)
    theirs = TorchI3D(7, channels).double().train(train)
    load_flax(theirs, variables["params"], variables["batch_stats"])
    units = [module for module in theirs.modules() if isinstance(module, Unit)]
    for unit in units:
        unit.bn.momentum = 1.0

    def loss(params, x):
        logits, new = model.apply(
            variables | {"params": params},
            x,
            train,
            rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats"],
        )
        return (logits * cotangent).sum(), (logits, new["batch_stats"])

    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
        (gradients, dx), (logits, stats) = gradient(variables["params"], x)
    tx = torch.tensor(x).permute(0, 4, 1, 2, 3).requires_grad_()
    ty = theirs(tx)
    (ty * torch.tensor(cotangent)).sum().backward()

    def check(name, ours, wanted):
        ours, wanted = np.asarray(ours), wanted.detach().numpy()
        ours = ours.transpose(4, 3, 0, 1, 2) if ours.ndim == 5 and name != "input" else ours
        error = np.abs(ours - wanted).max() / np.abs(wanted).max()
        assert error < 1e-5, (name, error)

    check("logits", logits, ty)
    check("input", dx.transpose(0, 4, 1, 2, 3), tx.grad)
    parameters = dict(theirs.named_parameters())
    for path, g in flax.traverse_util.flatten_dict(gradients, sep=".").items():
        name = path.replace("kernel", "weight")
        check(name, g, parameters[name].grad)
    if not train:
        jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])
        return
    modules = dict(theirs.named_modules())
    for path, value in flax.traverse_util.flatten_dict(stats).items():
        unit = modules[".".join(path[:-2])]
        if path[-1] == "mean":
            check(path, value, unit.bn.running_mean)
        else:  # torch keeps the unbiased variance
            check(path, value * (unit.cells / (unit.cells - 1)), unit.bn.running_var)


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (8, 64, 64, 3), "at least 9 frames, got 8"),
        ({}, (16, 64, 24, 3), "at least 32x32 pixels, got 64x24"),
        ({"entry": "grid"}, (16, 3, 8, 57), "at least 4x4 cells of 8 pixels, got 3x8"),
        ({"entry": "maps"}, (16, 64, 64, 3), "'full' or 'grid'"),
        ({}, (64, 64, 3), r"\[B, T, H, W, C\]"),
    ],
)
def test_clips_that_do_not_fit_are_refused(options, shape, message):
    with pytest.raises(UserError, match=message):
        shapes_of(I3D(**options), *shape)


def test_frame_classifier_sees_order_only_with_a_temporal_head():
    x = np.random.default_rng(0).standard_normal((2, 5, 8, 8, 6)).astype(np.float32)
    for temporal in ("mean", "conv", "gru"):
        model = FrameClassifier(4, channels=(8, 12), temporal=temporal)
        apply = jax.jit(model.apply)
        variables = random_variables(model, x)
        forward, backward = apply(variables, x), apply(variables, x[:, ::-1])
        assert forward.shape == (2, 4)
        assert np.allclose(forward, backward, atol=1e-5) == (temporal == "mean")
    with pytest.raises(UserError, match="temporal='lstm'"):
        FrameClassifier(4, temporal="lstm").init(jax.random.key(0), jnp.asarray(x))
