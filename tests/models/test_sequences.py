"""Networks of keypoint sequences: against PyTorch and numpy, and what must not matter."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import torch

from danceflax.errors import UserError
from danceflax.models import layers as model_layers
from danceflax.models.initialise import initialise
from danceflax.models.registry import create_model
from danceflax.models.sequences import features, layers, posec3d, transformer

PARENTS = (1, 1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15)  # coco18
BODY = dict(parents=PARENTS, centre=(8, 11))
SMALL = {
    "rhythm": dict(**BODY, channels=(16,), towers=2),
    "transformer": dict(centre=(8, 11), width=16, layers=1, heads=2),
    "gru": dict(centre=(8, 11), width=8, layers=1),
}


def people(frames=16, persons=1, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, frames, persons, 18, 3)).astype(np.float32)
    x[..., 2] = rng.random(x.shape[:-1]) < 0.9
    return jnp.asarray(x * x[..., 2:])


def build(name, x, **changes):
    model = create_model(name, num_classes=3, **(SMALL.get(name, {}) | changes))
    return model, initialise(model, x, seed=1)


def draw(variables, seed=0):
    """Random values for every leaf: running statistics and scales too."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.uniform(0.3, 1.0, x.shape).astype(np.float32), variables)


def tensor(x):
    return torch.tensor(np.asarray(x))


def test_a_linear_layer_s_gradients_are_the_library_s():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype("f")
    module = layers.dense(3, "a")
    variables = module.init(jax.random.key(0), x)

    def pull(variables, x):
        y, back = jax.vjp(module.apply, variables, x)
        return y, back(jnp.cos(y))

    ours = pull(variables, x)
    with model_layers.portable():
        plain = pull(variables, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), ours, plain)


@pytest.mark.parametrize("name", SMALL)
def test_network_answers_and_learns_from_every_parameter(name):
    x = people()
    model, variables = build(name, x)

    def loss(params):
        logits, _ = model.apply(
            variables | {"params": params},
            x,
            True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )
        return jnp.square(logits - jnp.array([1.0, 2.0, 3.0])).sum()

    grads = jax.grad(loss)(variables["params"])
    assert model.apply(variables, x).shape == (2, 3)
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        assert np.isfinite(grad).all(), path
    assert sum(float(jnp.abs(g).sum()) > 0 for g in jax.tree.leaves(grads)) > 0.8 * len(
        jax.tree.leaves(grads)
    )


@pytest.mark.parametrize("name", SMALL)
def test_absent_people_do_not_matter(name):
    x = people()
    model, variables = build(name, x)
    with_nobody = jnp.concatenate([x, jnp.zeros_like(x)], 2)
    np.testing.assert_allclose(
        model.apply(variables, with_nobody), model.apply(variables, x), atol=1e-5
    )


@pytest.mark.parametrize("name", ["transformer", "rhythm"])
def test_frames_after_the_end_do_not_matter(name):
    x = people()
    model, variables = build(name, x)
    longer = jnp.concatenate([x, jnp.zeros_like(x[:, :8])], 1)
    np.testing.assert_allclose(model.apply(variables, longer), model.apply(variables, x), atol=1e-4)


def test_harmonics_are_those_of_a_fourier_transform():
    """Of scipy's, under its Hann window, which is 0 just outside the frames."""
    x = np.random.default_rng(0).normal(size=(2, 32, 5, 2)).astype(np.float32)
    real, imaginary = features.harmonics(jnp.asarray(x), jnp.ones((2, 32, 5, 1)), 5)
    window = scipy.signal.windows.hann(34)[1:-1, None, None]
    wanted = np.fft.rfft((x - x.mean(1, keepdims=True)) * window, axis=1)[:, 1:6]
    np.testing.assert_allclose(real, wanted.real, atol=1e-4)
    np.testing.assert_allclose(imaginary, -wanted.imag, atol=1e-4)


def test_a_joint_that_is_not_found_says_nothing_and_changes_nothing():
    """Not even what a network has made of it: a joint's numbers then stand at their mean."""
    x = people(batch=3)
    wrist = 4
    hidden = x.at[0, :, :, wrist].set(0)
    made = lambda x: features.rhythm_features(  # noqa: E731
        *layers.split_people(x), **BODY, span=8, count=2
    )
    (values, known), (others, left) = made(x), made(hidden)
    assert known.all() and 0.8 < left[0].mean() < 1 and left[1:].all()
    np.testing.assert_allclose(others * left, values * left, atol=1e-5)
    model, variables = build("rhythm", x, span=8, harmonics=2)
    answer, changed = model.apply(
        variables, hidden.at[:, :, :, wrist].set(0), True, mutable=["batch_stats"],
        rngs={"dropout": jax.random.key(0)},
    )  # fmt: skip
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((answer, changed)))
    moved = jax.tree.map(lambda leaf: leaf + 3.0 * (1 - left[0]), variables["batch_stats"])
    answers = [
        model.apply(variables | {"batch_stats": stats}, hidden)[0]
        for stats in (variables["batch_stats"], moved)
    ]
    np.testing.assert_allclose(*answers, atol=1e-5)


def test_attention_agrees_with_torch():
    width, heads = 16, 4
    x = np.random.default_rng(0).normal(size=(2, 7, width)).astype(np.float32)
    shown = np.ones((2, 7), np.float32)
    shown[1, 5:] = 0
    module = transformer.Block(heads, 0.0, train=False)
    variables = draw(jax.eval_shape(module.init, jax.random.key(0), x, shown), seed=1)
    variables = jax.tree.map(lambda v: v - 0.6, variables)
    params = variables["params"]
    layer = torch.nn.TransformerEncoderLayer(
        width, heads, 4 * width, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    ).eval()
    attention = params["attention"]
    names = ("query", "key", "value")
    weight = np.concatenate([attention[n]["kernel"].reshape(width, width).T for n in names])
    bias = np.concatenate([attention[n]["bias"].reshape(width) for n in names])
    state = {
        "self_attn.in_proj_weight": weight,
        "self_attn.in_proj_bias": bias,
        "self_attn.out_proj.weight": attention["out"]["kernel"].reshape(width, width).T,
        "self_attn.out_proj.bias": attention["out"]["bias"],
        "linear1.weight": params["mlp_in"]["kernel"].T,
        "linear1.bias": params["mlp_in"]["bias"],
        "linear2.weight": params["mlp_out"]["kernel"].T,
        "linear2.bias": params["mlp_out"]["bias"],
        "norm1.weight": params["attention_norm"]["scale"],
        "norm1.bias": params["attention_norm"]["bias"],
        "norm2.weight": params["mlp_norm"]["scale"],
        "norm2.bias": params["mlp_norm"]["bias"],
    }
    layer.load_state_dict({key: tensor(value) for key, value in state.items()})
    with torch.no_grad():
        wanted = layer(tensor(x), src_key_padding_mask=tensor(shown == 0))
    found = module.apply(variables, x, shown)
    # flax's gelu is the tanh approximation.
    np.testing.assert_allclose(found, wanted, atol=5e-3)


def test_gru_agrees_with_torch():
    x = people(frames=9)
    model, variables = build("gru", x)
    params = variables["params"]
    places, seen = layers.split_people(x)
    values = np.asarray(features.frame_features(places, seen, (8, 11)))
    values = values @ params["embed"]["kernel"] + params["embed"]["bias"]
    gru = torch.nn.GRU(8, 8, batch_first=True, bidirectional=True)
    cells = [params[name]["cell"] for name in ("RNN_0", "RNN_1")]
    state = {}
    for cell, end in zip(cells, ("", "_reverse"), strict=True):
        gates = [cell[f"i{k}"] for k in "rzn"]
        state[f"weight_ih_l0{end}"] = np.concatenate([g["kernel"].T for g in gates])
        state[f"bias_ih_l0{end}"] = np.concatenate([g["bias"] for g in gates])
        state[f"weight_hh_l0{end}"] = np.concatenate([cell[f"h{k}"]["kernel"].T for k in "rzn"])
        zero = np.zeros(8, np.float32)
        state[f"bias_hh_l0{end}"] = np.concatenate([zero, zero, cell["hn"]["bias"]])
    gru.load_state_dict({key: tensor(value) for key, value in state.items()})
    with torch.no_grad():
        states, _ = gru(tensor(values))
    wanted = states.mean(1).numpy() @ params["output"]["kernel"] + params["output"]["bias"]
    np.testing.assert_allclose(model.apply(variables, x), wanted, atol=1e-5)


def test_posec3d_block_agrees_with_torch():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 8, 8, 6)), jnp.float32)
    module = posec3d.Bottleneck(4, frames=3, stride=2, train=False, dtype=jnp.float32)
    variables = draw(jax.eval_shape(module.init, jax.random.key(0), x))
    params, stats = variables["params"], variables["batch_stats"]

    def unit(y, name, stride=1):
        kernel = tensor(params[name]["kernel"]).permute(4, 3, 0, 1, 2)
        padding = []
        sizes, steps = y.shape[:1:-1], (stride, stride, 1)
        for size, window, step in zip(sizes, kernel.shape[:1:-1], steps, strict=True):
            total = max((math.ceil(size / step) - 1) * step + window - size, 0)
            padding += [total // 2, total - total // 2]
        y = torch.nn.functional.pad(y, padding)
        y = torch.nn.functional.conv3d(y, kernel, stride=(1, stride, stride))
        p, s = params[f"{name}_norm"], stats[f"{name}_norm"]
        arguments = (s["mean"], s["var"], p["scale"], p["bias"])
        return torch.nn.functional.batch_norm(y, *map(tensor, arguments), eps=1e-5)

    y = tensor(x).permute(0, 4, 1, 2, 3)
    z = torch.relu(unit(torch.relu(unit(y, "conv1")), "conv2", 2))
    wanted = torch.relu(unit(z, "conv3") + unit(y, "down", 2)).permute(0, 2, 3, 4, 1)
    np.testing.assert_allclose(module.apply(variables, x), wanted, rtol=1e-4, atol=1e-4)


def test_volumes_hold_the_joints_where_they_are():
    x = np.zeros((1, 2, 1, 3, 3), np.float32)
    x[0, :, 0] = [(-1, -1, 1), (1, 1, 1), (0, 0, 0)]  # the third joint is not seen
    volumes = np.asarray(posec3d.draw_volumes(jnp.asarray(x), 20, 0.6))
    assert volumes.shape == (1, 2, 20, 20, 3)
    side = 2 * posec3d.MARGIN
    cell = (-1 / side + 0.5) * 20 - 0.5
    assert np.unravel_index(volumes[0, 0, :, :, 0].argmax(), (20, 20)) == (round(cell),) * 2
    assert not volumes[..., 2].any()


@pytest.mark.parametrize(
    "name, joints, options, published",
    [
        # PYSKL's ST-GCN++, 25 joints, 60 classes, one stream: 1.39 M parameters.
        ("stgcn", 25, dict(parents=tuple(max(0, i - 1) for i in range(25)), width=64), 1.39e6),
        # PoseC3D's SlowOnly on 17 joints, 60 classes: 2.0 M parameters.
        ("posec3d", 17, dict(size=56, width=32), 2.0e6),
    ],
)
def test_parameters_are_as_many_as_published(name, joints, options, published):
    options |= {"streams": ("joint",)} if name == "stgcn" else {}
    model = create_model(name, num_classes=60, **options)
    x = jax.ShapeDtypeStruct((1, 16, 1, joints, 3), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))
    assert count == pytest.approx(published, rel=0.03)


@pytest.mark.parametrize(
    "name, options",
    [
        ("stgcn", {"streams": ("joints",), "parents": PARENTS}),
        ("transformer", {"tokens": "people"}),
    ],
)
def test_unknown_options_are_named(name, options):
    with pytest.raises(UserError, match=rf"config\.model\.{next(iter(options))}"):
        build(name, people(), **options)
