"""3-D convolution and pooling as the CPU runs them, against the library's own operations."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from danceflax.models.conv3d import Conv3D, conv3d, max_pool3d

RNG = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


def value_and_gradients(f, *args):
    """f(*args) and its gradients for one fixed random cotangent."""
    y, pull = jax.vjp(f, *args)
    g = jnp.asarray(np.random.default_rng(1).standard_normal(y.shape), jnp.float32)
    return y, *pull(g)


@pytest.mark.parametrize(
    ("shape", "window", "strides"),
    [
        ((2, 9, 15, 14, 3), (7, 7, 7), (2, 2, 2)),
        ((2, 5, 6, 7, 8), (3, 3, 3), (1, 1, 1)),
        ((1, 6, 6, 5, 8), (3, 3, 3), (2, 1, 1)),
        ((2, 3, 4, 5, 8), (1, 1, 1), (1, 1, 1)),
        ((1, 4, 5, 6, 8), (1, 1, 1), (2, 2, 2)),
        ((1, 1, 5, 5, 4), (2, 3, 1), (1, 1, 2)),
        ((2, 5, 4, 3, 8), (3, 1, 1), (1, 1, 1)),
        ((1, 6, 5, 4, 8), (3, 1, 1), (2, 1, 2)),
    ],
)
def test_convolution_is_the_library_s(shape, window, strides):
    x, kernel = normal(*shape), normal(*window, shape[-1], 6)

    def library(x, kernel):
        layout = ("NDHWC", "DHWIO", "NDHWC")
        return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=layout)

    ours = value_and_gradients(lambda x, k: conv3d(x, k, strides), x, kernel)
    for a, b in zip(ours, value_and_gradients(library, x, kernel), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * float(jnp.abs(b).max()))


@pytest.mark.parametrize(
    ("shape", "window", "strides"),
    [
        ((2, 4, 9, 8, 3), (1, 3, 3), (1, 2, 2)),
        ((2, 3, 5, 4, 3), (3, 3, 3), (1, 1, 1)),
        ((1, 5, 6, 7, 3), (3, 3, 3), (2, 2, 2)),
        ((1, 5, 7, 4, 3), (2, 2, 2), (2, 2, 2)),
    ],
)
def test_pooling_is_the_library_s(shape, window, strides):
    x = normal(*shape)  # below zero too, and without ties, where gradients would differ

    def library(x):
        return nn.max_pool(x, window_shape=window, strides=strides, padding="SAME")

    ours = value_and_gradients(lambda x: max_pool3d(x, window, strides), x)
    for a, b in zip(ours, value_and_gradients(library, x), strict=True):
        # Gradients are sums in another order, whose terms may cancel.
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_ties_share_the_whole_gradient():
    x = jnp.ones((1, 4, 4, 4, 2))
    y, dx = jax.value_and_grad(lambda x: max_pool3d(x, (2, 2, 2), (2, 2, 2)).sum())(x)
    assert y == 16 and dx.sum() == 16 and dx.min() >= 0


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_layer_has_the_parameters_of_nn_conv(dtype):
    x = normal(1, 3, 5, 6, 4)
    options = {"strides": (1, 2, 1), "dtype": dtype}
    theirs = nn.Conv(6, (3, 3, 3), **options)
    variables = theirs.init(jax.random.key(0), x)
    variables["params"]["bias"] += 1
    y = Conv3D(6, (3, 3, 3), **options).apply(variables, x)
    assert y.dtype == dtype
    tolerance = 1e-5 if dtype == jnp.float32 else 0.03
    np.testing.assert_allclose(
        y.astype(jnp.float32), theirs.apply(variables, x), rtol=tolerance, atol=tolerance
    )
