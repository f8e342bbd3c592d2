"""The pose field and the head over time against PyTorch, on random maps, features and weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

from danceflax.errors import UserError
from danceflax.models.streams import StreamClassifier, TimeHead
from danceflax.pose.field import join_pafs


def test_the_field_is_the_value_of_largest_magnitude_with_its_sign():
    pafs = np.random.default_rng(0).normal(size=(2, 5, 6, 38)).astype("f")
    tensor = torch.from_numpy(pafs).reshape(2, 5, 6, 19, 2)
    largest = tensor.abs().argmax(3, keepdim=True)
    expected = tensor.gather(3, largest).squeeze(3)
    np.testing.assert_array_equal(jax.jit(join_pafs)(pafs), expected)
    assert not np.asarray(join_pafs(jnp.zeros((1, 2, 2, 4)))).any()


class TorchHead(nn.Module):
    """[B, C, T, 7, 7]: convolution to the classes, ReLU, average of 2x7x7, flattened, linear."""

    def __init__(self, channels, classes, time):
        super().__init__()
        self.classes = nn.Conv3d(channels, classes, 1)
        self.pool = nn.AvgPool3d((2, 7, 7), stride=1)
        self.linear = nn.Linear(classes * (time - 1), classes)

    def forward(self, x):
        return self.linear(self.pool(torch.relu(self.classes(x))).flatten(1))


def test_the_head_over_time_is_pytorchs():
    torch.manual_seed(0)
    theirs = TorchHead(48, 16, 4)
    features = np.random.default_rng(1).normal(size=(2, 4, 7, 7, 48)).astype("f")
    params = {
        "classes": {
            "kernel": theirs.classes.weight.detach().numpy().transpose(2, 3, 4, 1, 0),
            "bias": theirs.classes.bias.detach().numpy(),
        },
        "linear": {
            "kernel": theirs.linear.weight.detach().numpy().T,
            "bias": theirs.linear.bias.detach().numpy(),
        },
    }
    ours = TimeHead(16).apply({"params": params}, jnp.asarray(features))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(features.transpose(0, 4, 1, 2, 3)))
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def small(streams, **options):
    return StreamClassifier(3, streams, width=0.1, head_channels=8, **options)


def test_streams_join_along_time():
    """The head sees the second stream's moments after the first's, whatever their number."""
    inputs = {"rgb": jnp.zeros((2, 16, 64, 64, 3)), "flow": jnp.zeros((2, 18, 64, 64, 2))}
    model = small(("rgb", "flow"), join="time", head_kind="time")
    variables = jax.eval_shape(model.init, jax.random.key(0), inputs)
    features = jax.eval_shape(lambda v: model.apply(v, inputs, method="features"), variables)
    alone = small(("rgb",))
    rgb = jax.eval_shape(lambda v: alone.apply(v, inputs, method="features"), variables)
    assert rgb.shape[1:4] == (2, 2, 2)
    assert features.shape == (2, 2 + 3, *rgb.shape[2:])
    assert variables["params"]["head"]["linear"]["kernel"].shape == (3 * 4, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"join": "width"}, "config.model.join='width'; choose channels or time"),
        ({"head_kind": "sum"}, "config.model.head_kind='sum'; choose mean or time"),
        ({"head_kind": "time"}, "needs features of 2 time steps, got 1; raise config.clip.frames"),
    ],
)
def test_options_that_do_not_fit_are_answered(options, message):
    inputs = {"flow": jnp.zeros((1, 8, 64, 64, 2))}
    model = small(("flow",), **options)
    with pytest.raises(UserError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), inputs)
