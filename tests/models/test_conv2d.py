"""The convolution of the OpenPose networks: values and gradients are the library's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from danceflax.models import conv2d, layers, winograd


@pytest.mark.parametrize(
    ("shape", "size", "channels"),
    [
        ((2, 46, 46), 7, (64, 65)),  # fewer products; tiles that stand in for images
        ((1, 129, 66), 3, (64, 80)),  # fewer products
        ((2, 46, 46), 7, (64, 20)),  # plainly, by channels
        ((2, 25, 30), 3, (64, 4)),  # plainly, by work
        ((3, 5, 24), 1, (16, 6)),
        ((2, 49, 23), 5, (4, 6)),
        ((8, 9, 9), 3, (16, 6)),  # plainly, by size
        ((1, 257, 4), 3, (16, 4)),
    ],
)
def test_values_and_gradients_are_those_of_the_plain_convolution(shape, size, channels):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(*shape, channels[0])).astype("f")
    kernel = rng.normal(size=(size, size, *channels)).astype("f")
    gradient = rng.normal(size=(*shape, channels[1])).astype("f")

    def pull(x, kernel, gradient):
        y, back = jax.vjp(conv2d.convolve, x, kernel)
        return y, back(gradient)

    ours = jax.jit(pull)(x, kernel, gradient)
    with layers.portable():  # traced anew: the library's own
        plain = jax.jit(lambda *arrays: pull(*arrays))(x, kernel, gradient)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(b).max()), ours, plain
    )


@pytest.mark.parametrize(("size", "tile"), conv2d.OUTPUTS.items())
def test_fewer_products_cost_some_units_in_the_last_place(size, tile):
    """Against PyTorch in double precision, on inputs as they follow a ReLU."""
    rng = np.random.default_rng(1)
    x = np.maximum(rng.normal(size=(1, 21, 19, 32)), 0).astype("f")
    kernel = (rng.normal(size=(size, size, 32, 8)) / size).astype("f")
    wide = torch.from_numpy(x).double().permute(0, 3, 1, 2)
    taps = torch.from_numpy(kernel).double().permute(3, 2, 0, 1)
    expected = torch.nn.functional.conv2d(wide, taps, padding=size // 2).permute(0, 2, 3, 1)
    y = winograd.convolve(jnp.asarray(x), jnp.asarray(kernel), tile)
    np.testing.assert_allclose(y, expected, atol=2e-5 * expected.std().item())


def test_half_precision_is_convolved_plainly():
    x, kernel = jnp.ones((1, 16, 16, 16), jnp.bfloat16), jnp.ones((3, 3, 16, 4), jnp.bfloat16)
    program = str(jax.make_jaxpr(conv2d.convolve)(x, kernel))
    assert program.count("conv_general_dilated") == 1 and "custom_vjp" not in program


def test_tiles_cover_the_images_once():
    x = jnp.arange(1.0, 1 + 2 * 50 * 30).reshape(2, 50, 30, 1)
    tiles = np.asarray(conv2d.cut(x, 1))
    assert tiles.shape == (2 * 3 * 2, 17, 15, 1)
    assert sorted(tiles[tiles > 0]) == x.ravel().tolist()
    wide = np.asarray(conv2d.cut(x, 5))
    assert wide.shape == (12, 21, 19, 1)
    np.testing.assert_array_equal(wide[:, 2:-2, 2:-2], tiles)
