"""The layers of I3D: danceflax beside the library's plain operations and (if installed) PyTorch.

    python benchmarks/bench_conv3d.py [--rounds 7]

A clip of 16x224x224, float32. "gradient" is to the kernel and the input (of the first layer: to the
kernel alone). The whole network is in bench_networks.py.
"""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from harness import compare, run_figure

from danceflax.models import conv3d

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None

# name, [T, H, W, C] of the input, window, strides, output channels (None: a max-pool).
LAYERS = [
    ("Conv3d_1a_7x7", (16, 224, 224, 3), (7, 7, 7), (2, 2, 2), 64),
    ("MaxPool3d_2a_3x3", (8, 112, 112, 64), (1, 3, 3), (1, 2, 2), None),
    ("Conv3d_2b_1x1", (8, 56, 56, 64), (1, 1, 1), (1, 1, 1), 64),
    ("Conv3d_2c_3x3", (8, 56, 56, 64), (3, 3, 3), (1, 1, 1), 192),
    ("MaxPool3d_3a_3x3", (8, 56, 56, 192), (1, 3, 3), (1, 2, 2), None),
    ("Mixed_3b 1x1", (8, 28, 28, 192), (1, 1, 1), (1, 1, 1), 96),
    ("Mixed_3b 3x3", (8, 28, 28, 96), (3, 3, 3), (1, 1, 1), 128),
    ("Mixed_3b pool", (8, 28, 28, 192), (3, 3, 3), (1, 1, 1), None),
    ("Mixed_3c 3x3", (8, 28, 28, 128), (3, 3, 3), (1, 1, 1), 192),
    ("MaxPool3d_4a_3x3", (8, 28, 28, 480), (3, 3, 3), (2, 2, 2), None),
    ("Mixed_4b 3x3", (4, 14, 14, 96), (3, 3, 3), (1, 1, 1), 208),
    ("Mixed_4f 3x3", (4, 14, 14, 160), (3, 3, 3), (1, 1, 1), 320),
    ("Mixed_5c 3x3", (2, 7, 7, 192), (3, 3, 3), (1, 1, 1), 384),
]


def jax_pair(function, *args):
    """Compiled forward and gradient of `function` (of all args), as calls without arguments."""
    forward = jax.jit(function).lower(*args).compile()
    cotangent = np.ones(jax.eval_shape(function, *args).shape, np.float32)

    def value_and_gradient(cotangent, *args):
        y, pull = jax.vjp(function, *args)
        return y, pull(cotangent)

    gradient = jax.jit(value_and_gradient).lower(cotangent, *args).compile()
    return (
        lambda: jax.block_until_ready(forward(*args)),
        lambda: jax.block_until_ready(gradient(cotangent, *args)),
    )


def torch_pair(function, *args):
    """The same for PyTorch tensors."""

    def forward():
        with torch.no_grad():
            function(*args)

    def gradient():
        y = function(*args)
        torch.autograd.grad(y, [a for a in args if a.requires_grad], torch.ones_like(y))

    return forward, gradient


def plainly(make):
    """`make`, tracing the library's operations."""

    def run():
        with mock.patch.object(conv3d, "on_cpu", lambda: False):
            return make()

    return run


def layer_makers(shape, window, strides, features):
    rng = np.random.default_rng(0)
    x = jnp.asarray(np.maximum(rng.standard_normal((1, *shape)), 0), jnp.float32)
    kernel = jnp.asarray(0.01 * rng.standard_normal((*window, shape[-1], features or 1)), "float32")

    def ours():
        # New functions each time: a compilation is cached by its function.
        if features is None:
            return jax_pair(lambda x: conv3d.max_pool3d(x, window, strides), x)
        if shape[-1] == 3:
            return jax_pair(lambda kernel: conv3d.conv3d(x, kernel, strides), kernel)
        return jax_pair(lambda x, kernel: conv3d.conv3d(x, kernel, strides), x, kernel)

    def theirs():
        tx = torch.tensor(np.asarray(x)).permute(0, 4, 1, 2, 3).contiguous()
        padding = [conv3d.same_padding(*a) for a in zip(shape, window, strides, strict=False)]
        pads = [p for pair in reversed(padding) for p in pair]
        tx.requires_grad_(features is None or shape[-1] > 3)
        if features is None:
            return torch_pair(lambda x: F.max_pool3d(F.pad(x, pads), window, strides), tx)
        tk = torch.tensor(np.asarray(kernel)).permute(4, 3, 0, 1, 2).contiguous().requires_grad_()
        return torch_pair(lambda x, k: F.conv3d(F.pad(x, pads), k, None, strides), tx, tk)

    return {"danceflax": ours, "plain": plainly(ours)} | ({"torch": theirs} if torch else {})


def measure(rounds):
    rows = []
    for title, *layer in LAYERS:
        pairs = {name: make() for name, make in layer_makers(*layer).items()}
        for i, what in enumerate(("forward", "forward and gradient")):
            ours, *peers = ((name, pair[i]) for name, pair in pairs.items())
            rows += compare(f"{title}, {what}", ours[1], dict(peers), rounds)
    return rows


if __name__ == "__main__":
    run_figure(measure, __doc__)
