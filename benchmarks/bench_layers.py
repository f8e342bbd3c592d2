"""Layers of OpenPose and I3D: danceflax beside the library's plain operations and (if installed)
PyTorch.

    python benchmarks/bench_layers.py [--rounds 7] [--only 7x7]

Two images of 368x368 and a clip of 16x224x224, float32. "gradient" is to the kernel and the input
(of a first layer: to the kernel alone). The whole networks are in bench_networks.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
from harness import compare, run_figure

from danceflax.models import conv2d, conv3d, layers

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None

# name, shape of the input, window, strides, output channels (None: a max-pool).
LAYERS = [
    ("VGG's conv1_2, 3x3", (2, 368, 368, 64), (3, 3), (1, 1), 64),
    ("VGG's conv3_2, 3x3", (2, 92, 92, 256), (3, 3), (1, 1), 256),
    ("the newer OpenPose's 3x3", (2, 46, 46, 128), (3, 3), (1, 1), 128),
    ("the older OpenPose's 7x7", (2, 46, 46, 128), (7, 7), (1, 1), 128),
    ("the demo's 3x3", (8, 16, 16, 32), (3, 3), (1, 1), 32),
    ("I3D's Conv3d_1a_7x7", (1, 16, 224, 224, 3), (7, 7, 7), (2, 2, 2), 64),
    ("I3D's MaxPool3d_2a_3x3", (1, 8, 112, 112, 64), (1, 3, 3), (1, 2, 2), None),
    ("I3D's Conv3d_2b_1x1", (1, 8, 56, 56, 64), (1, 1, 1), (1, 1, 1), 64),
    ("I3D's Conv3d_2c_3x3", (1, 8, 56, 56, 64), (3, 3, 3), (1, 1, 1), 192),
    ("I3D's MaxPool3d_3a_3x3", (1, 8, 56, 56, 192), (1, 3, 3), (1, 2, 2), None),
    ("I3D's Mixed_3b 1x1", (1, 8, 28, 28, 192), (1, 1, 1), (1, 1, 1), 96),
    ("I3D's Mixed_3b 3x3", (1, 8, 28, 28, 96), (3, 3, 3), (1, 1, 1), 128),
    ("I3D's Mixed_3b pool", (1, 8, 28, 28, 192), (3, 3, 3), (1, 1, 1), None),
    ("I3D's Mixed_3c 3x3", (1, 8, 28, 28, 128), (3, 3, 3), (1, 1, 1), 192),
    ("I3D's MaxPool3d_4a_3x3", (1, 8, 28, 28, 480), (3, 3, 3), (2, 2, 2), None),
    ("I3D's Mixed_4b 3x3", (1, 4, 14, 14, 96), (3, 3, 3), (1, 1, 1), 208),
    ("I3D's Mixed_4f 3x3", (1, 4, 14, 14, 160), (3, 3, 3), (1, 1, 1), 320),
    ("I3D's Mixed_5c 3x3", (1, 2, 7, 7, 192), (3, 3, 3), (1, 1, 1), 384),
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
        with layers.portable():
            return make()

    return run


def layer_makers(shape, window, strides, features):
    rng = np.random.default_rng(0)
    x = jnp.asarray(np.maximum(rng.standard_normal(shape), 0), jnp.float32)
    kernel = jnp.asarray(0.01 * rng.standard_normal((*window, shape[-1], features or 1)), "float32")
    convolve = conv2d.convolve if len(window) == 2 else conv3d.conv3d

    def ours():
        # New functions each time: a compilation is cached by its function.
        if features is None:
            return jax_pair(lambda x: conv3d.max_pool3d(x, window, strides), x)
        if shape[-1] == 3:
            return jax_pair(lambda kernel: convolve(x, kernel, strides), kernel)
        return jax_pair(lambda x, kernel: convolve(x, kernel, strides), x, kernel)

    def theirs():
        layout = torch.channels_last if len(window) == 2 else torch.channels_last_3d
        tx = torch.from_numpy(np.moveaxis(np.array(x), -1, 1)).to(memory_format=layout)
        padding = [conv3d.same_padding(*a) for a in zip(shape[1:], window, strides, strict=False)]
        pads = [p for pair in reversed(padding) for p in pair]
        tx.requires_grad_(features is None or shape[-1] > 3)
        if features is None:
            return torch_pair(lambda x: F.max_pool3d(F.pad(x, pads), window, strides), tx)
        tk = torch.from_numpy(np.moveaxis(np.array(kernel), (-1, -2), (0, 1)))
        tk = tk.to(memory_format=layout).requires_grad_()
        apply = F.conv2d if len(window) == 2 else F.conv3d
        return torch_pair(lambda x, k: apply(F.pad(x, pads), k, None, strides), tx, tk)

    return {"danceflax": ours, "plain": plainly(ours)} | ({"torch": theirs} if torch else {})


def measure(rounds, only=""):
    rows = []
    for title, *layer in (layer for layer in LAYERS if only in layer[0]):
        pairs = {name: make() for name, make in layer_makers(*layer).items()}
        for i, what in enumerate(("forward", "forward and gradient")):
            ours, *peers = ((name, pair[i]) for name, pair in pairs.items())
            rows += compare(f"{title}, {what}", ours[1], dict(peers), rounds)
    return rows


if __name__ == "__main__":
    run_figure(measure, __doc__, only="what the names of the layers hold")
