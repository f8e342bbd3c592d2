"""Fresh weights: He-normal convolutions, everything else as its module says."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from danceflax.models.initialise import OUTPUT_SCALE, initialise
from danceflax.models.registry import create_model


class Mixed(nn.Module):
    """A layer of each kind, and a parameter with a name of its own."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(256, (3, 3), name="conv")(x)
        x = nn.Conv(256, (1, 1), name="output")(x).mean((1, 2))
        x = nn.SelfAttention(4, name="attention")(x[:, None])
        x = nn.RNN(nn.GRUCell(8), name="gru")(x)[:, -1]
        scale = self.param("temperature", nn.initializers.constant(0.07), ())
        return nn.Dense(5, name="linear")(x) * scale


def test_each_layer_starts_as_it_should():
    example = jnp.zeros((1, 8, 8, 64))
    params = initialise(Mixed(), example, 3)["params"]
    for name, fan_in, factor in (("conv", 9 * 64, 1.0), ("output", 256, OUTPUT_SCALE)):
        expected = factor * np.sqrt(2 / fan_in)
        np.testing.assert_allclose(params[name]["kernel"].std(), expected, rtol=0.01)
    assert params["temperature"] == np.float32(0.07)
    (gru,) = (name for name in params if name.startswith("GRUCell"))
    # LeCun-normal, flax's own: the deviation is 1 / sqrt(fan in); recurrent kernels are orthogonal.
    query = params["attention"]["query"]["kernel"].reshape(256, -1)
    np.testing.assert_allclose(query.std(), 1 / 16, rtol=0.02)
    recurrent = params[gru]["hn"]["kernel"]
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(8), atol=1e-5)


def test_numbers_are_a_function_of_the_seed():
    model, example = create_model("openpose_body25", width=0.1), jnp.zeros((1, 8, 8, 3))
    kernel = lambda seed: initialise(model, example, seed)["params"]["feature"]["conv1_1"]["kernel"]  # noqa: E731
    assert (kernel(0) == kernel(0)).all() and (kernel(0) != kernel(1)).any()
