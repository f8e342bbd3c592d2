"""The stream classifier: grids, frozen streams, head apart from features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import random_variables

from danceflax.errors import UserError
from danceflax.models.streams import StreamClassifier, align

PAIRS = [("rgb", "flow"), ("rgb", "pose"), ("flow", "pose")]


def make_inputs(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"rgb": (2, 16, 64, 64, 3), "flow": (2, 8, 64, 64, 2), "pose": (2, 16, 8, 8, 19)}
    return {name: jnp.asarray(rng.uniform(-1, 1, s), jnp.float32) for name, s in shapes.items()}


def small(streams, **options):
    return StreamClassifier(3, streams, width=0.1, head_channels=8, **options)


@pytest.mark.parametrize("streams", [*PAIRS, ("pose",)])
def test_every_pair_joins_on_the_first_stream_s_grid(streams):
    inputs, model = make_inputs(), small(streams)
    variables = jax.eval_shape(model.init, jax.random.key(0), inputs)
    assert set(variables["params"]) == {*(f"stream_{s}" for s in streams), "head"}
    assert set(variables["params"]["head"]) == {"fusion", "linear"}
    features = jax.eval_shape(lambda v: model.apply(v, inputs, method="features"), variables)
    time = 1 if streams[0] == "flow" else 2
    assert features.shape == (2, time, 2, 2, sum(
        variables["params"][f"stream_{s}"]["Mixed_5c"][branch][unit]["conv"]["kernel"].shape[-1]
        for s in streams
        for branch, unit in (
            ("Branch_0", "Conv3d_0a_1x1"),
            ("Branch_1", "Conv3d_0b_3x3"),
            ("Branch_2", "Conv3d_0b_3x3"),
            ("Branch_3", "Conv3d_0b_1x1"),
        )
    ))  # fmt: skip
    logits = jax.eval_shape(lambda v: model.apply(v, inputs), variables)
    assert logits.shape == (2, 3) and logits.dtype == jnp.float32


def test_published_width():
    model = StreamClassifier(16, ("rgb", "flow"), head_kernel=(1, 1, 1), head_channels=1024)
    inputs = {"rgb": jnp.zeros((1, 64, 224, 224, 3)), "flow": jnp.zeros((1, 64, 224, 224, 2))}
    params = jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]
    sizes = {k: sum(x.size for x in jax.tree.leaves(v)) for k, v in params.items()}
    assert sizes["stream_rgb"] == 12_279_984 and sizes["stream_flow"] == 12_258_032
    assert sizes["head"] == 2048 * 1024 + 1024 + 1024 * 16 + 16


@pytest.fixture(scope="module")
def trained():
    """Variables, and the gradients and new statistics of a step with `flow` frozen."""
    inputs, model = make_inputs(), small(("rgb", "flow"), frozen=("flow",))
    variables = random_variables(model, inputs)

    @jax.jit
    def step(variables):
        def loss(params):
            logits, new = model.apply(
                variables | {"params": params},
                inputs,
                True,
                rngs={"dropout": jax.random.key(1)},
                mutable=["batch_stats"],
            )
            return (logits**2).sum(), new["batch_stats"]

        return jax.grad(loss, has_aux=True)(variables["params"])

    return model, inputs, variables, *step(variables)


def test_a_frozen_stream_moves_nothing(trained):
    _, _, variables, gradients, stats = trained
    for name, moves in (("stream_rgb", True), ("stream_flow", False), ("head", True)):
        assert any(g.any() for g in jax.tree.leaves(gradients[name])) == moves, name
        same = jax.tree.map(
            lambda a, b: bool((a == b).all()), stats[name], variables["batch_stats"][name]
        )
        assert all(jax.tree.leaves(same)) != moves, name


def test_head_apart_gives_the_same_logits(trained):
    model, inputs, variables, *_ = trained
    whole = jax.jit(model.apply)(variables, inputs)
    features = jax.jit(lambda v: model.apply(v, inputs, method="features"))(variables)
    head = {kind: {"head": tree["head"]} for kind, tree in variables.items()}
    logits = model.apply(head, features, method="classify")
    np.testing.assert_allclose(logits, whole, rtol=1e-4, atol=1e-5)


def test_align_is_linear_about_the_middle():
    x = jnp.arange(4.0).reshape(1, 4, 1, 1, 1)
    up, down = align(x, (8, 3, 3)), align(x, (2, 1, 1)).ravel()
    np.testing.assert_allclose(up[0, 1:-1, 2, 2, 0], np.linspace(0.25, 2.75, 6), rtol=1e-5)
    assert 0 <= down[0] < 1.5 and np.isclose(down.sum(), 3)  # mirror images of each other
    np.testing.assert_allclose(align(jnp.ones((1, 3, 4, 4, 2)), (5, 2, 7)), 1, rtol=1e-6)
    assert align(x, (4, 1, 1)) is x


@pytest.mark.parametrize(
    ("streams", "message"),
    [(("rgb", "depth"), "rgb, flow, pose"), (("rgb", "rgb"), "each stream once"), ((), "streams=")],
)
def test_streams_that_make_no_sense_are_refused(streams, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(small(streams).init, jax.random.key(0), make_inputs())


def test_a_missing_input_is_named():
    inputs = make_inputs()
    del inputs["flow"]
    with pytest.raises(UserError, match="lacks flow"):
        jax.eval_shape(small(("rgb", "flow")).init, jax.random.key(0), inputs)
