"""The order of the backward pass: what a step plans to hold, and what it does not compute."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from danceflax.models import conv3d
from danceflax.models.gradients import kernel_first, recomputed

IMAGES = jax.ShapeDtypeStruct((4, 16, 16, 8), "f")
KERNELS = [jax.ShapeDtypeStruct((3, 3, 8, 8), "f")] * 8


def convolve(x, kernel):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)


def network(layer, x, kernels):
    for kernel in kernels:
        x = jnp.tanh(layer(x, kernel))
    return (x**2).sum()


def planned(function, *shapes):
    """Arrays of the images' size that XLA plans to hold at once."""
    plan = jax.jit(function).lower(*shapes).compile().memory_analysis()
    return plan.temp_size_in_bytes / (IMAGES.size * 4)


def test_a_layers_output_and_its_gradient_are_not_kept_side_by_side():
    ordered, unordered = (
        planned(jax.grad(lambda x, k: network(layer, x, k), argnums=1), IMAGES, KERNELS)  # noqa: B023
        for layer in (kernel_first(convolve), convolve)
    )
    assert ordered < 12 and unordered > 15


def test_the_gradients_are_the_functions_own():
    rng = np.random.default_rng(0)
    x, *kernels = (jnp.asarray(rng.normal(size=a.shape), "f") / 8 for a in (IMAGES, *KERNELS[:3]))
    ordered, own = (
        jax.jit(jax.grad(lambda x, k: network(layer, x, k), argnums=(0, 1)))(x, kernels)  # noqa: B023
        for layer in (kernel_first(convolve), convolve)
    )
    jax.tree.map(np.testing.assert_array_equal, ordered, own)


@pytest.mark.parametrize(("asked", "convolutions"), [(0, 8 + 8), (1, 8 + 8 + 7)])
def test_what_is_not_asked_for_is_not_computed(asked, convolutions):
    """A frozen kernel has no gradient, the first layer's input none."""
    layer = kernel_first(convolve)
    gradient = jax.grad(lambda x, k: network(layer, x, k), argnums=asked)
    program = jax.jit(gradient).lower(IMAGES, KERNELS).compile().as_text()
    assert program.count(" convolution(") == convolutions


def test_a_pool_keeps_its_input_alone():
    clip = jax.ShapeDtypeStruct((1, 4, 16, 16, 8), "f")
    pool = functools.partial(conv3d.max_pool3d, window=(3, 3, 3), strides=(1, 1, 1))
    kept = jax.eval_shape(lambda x: jax.vjp(pool, x)[1], clip)
    assert [a.shape for a in jax.tree.leaves(kept)] == [clip.shape]


def test_recomputing_changes_no_gradient():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(5, 7)), "f")
    function = lambda x: jnp.sin(x).cumsum(0) ** 2  # noqa: E731
    ours, own = (jax.vjp(f, x)[1](x)[0] for f in (recomputed(function), function))
    np.testing.assert_array_equal(ours, own)
