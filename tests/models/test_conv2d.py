"""The convolution of the OpenPose networks: its gradients are those of the library's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from danceflax.models import conv2d, layers


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 46, 46), 7),
        ((1, 25, 70), 3),
        ((3, 5, 24), 1),
        ((2, 49, 23), 5),
        ((8, 9, 9), 3),
        ((1, 257, 4), 3),
    ],
)
def test_gradients_are_those_of_the_plain_convolution(shape, size):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(*shape, 4)).astype("f")
    kernel = rng.normal(size=(size, size, 4, 6)).astype("f")
    gradient = rng.normal(size=(*shape, 6)).astype("f")

    def pull(x, kernel, gradient):
        y, back = jax.vjp(conv2d.convolve, x, kernel)
        return y, back(gradient)

    ours = jax.jit(pull)(x, kernel, gradient)
    with layers.portable():  # traced anew: the library's own
        plain = jax.jit(lambda *arrays: pull(*arrays))(x, kernel, gradient)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(b).max()), ours, plain
    )


def test_tiles_cover_the_images_once():
    x = jnp.arange(1.0, 1 + 2 * 50 * 30).reshape(2, 50, 30, 1)
    tiles = np.asarray(conv2d.cut(x, (1, 1)))
    assert tiles.shape == (2 * 3 * 2, 17, 15, 1)
    assert sorted(tiles[tiles > 0]) == x.ravel().tolist()
    wide = np.asarray(conv2d.cut(x, (3, 5)))
    assert wide.shape == (12, 19, 19, 1)
    np.testing.assert_array_equal(wide[:, 1:-1, 2:-2], tiles)
