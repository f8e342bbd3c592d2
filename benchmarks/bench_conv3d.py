"""3-D convolution, pooling and the I3D step: danceflax, plain flax and (if installed) PyTorch.

    python benchmarks/bench_conv3d.py             # the layers of I3D, a 16x224x224 clip
    python benchmarks/bench_conv3d.py --network   # forward pass and gradient of the whole I3D

Milliseconds, the least of --runs runs; the contestants run in turns, so that a busy machine slows
all of them. "gradient" is forward and backward, to the kernel and the input (for the first layer:
to the kernel alone).
"""

import argparse
import pathlib
import sys
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from danceflax.models import conv3d
from danceflax.models.i3d import I3D

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


def race(contestants, runs):
    """{name: function} -> {name: least milliseconds}; the first call of each does not count."""
    for run in contestants.values():
        run()
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(runs):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], 1e3 * (time.perf_counter() - start))
    return best


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


def race_both(makers, runs):
    """{name: () -> (forward, gradient)} -> [{name: ms}, {name: ms}]."""
    pairs = {name: make() for name, make in makers.items()}
    return [race({name: pair[i] for name, pair in pairs.items()}, runs) for i in range(2)]


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


def network_makers():
    x = np.random.default_rng(0).uniform(-1, 1, (1, 16, 224, 224, 3)).astype(np.float32)
    model = I3D()
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda s: np.full(s.shape, 0.01, np.float32), shapes)

    def ours():
        def logits(params):
            options = {"rngs": {"dropout": jax.random.key(0)}, "mutable": ["batch_stats"]}
            return model.apply(variables | {"params": params}, x, True, **options)[0]

        return jax_pair(logits, variables["params"])

    def theirs():
        sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests"))
        from torch_i3d import TorchI3D

        net, tx = TorchI3D(), torch.tensor(x).permute(0, 4, 1, 2, 3).contiguous()
        params = [p for p in net.parameters() if p.requires_grad]
        return torch_pair(lambda *_: net(tx), *params)

    return {"danceflax": ours, "plain": plainly(ours)} | ({"torch": theirs} if torch else {})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="store_true", help="the whole I3D, not its layers")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    names = ["danceflax", "plain", *(["torch"] if torch else [])]
    table = Table(title=f"ms on {jax.devices()[0].device_kind}, float32, batch 1")
    table.add_column("layer")
    for what in ("forward", "gradient"):
        for name in names:
            table.add_column(f"{what}\n{name}", justify="right")
    if args.network:
        work = [("I3D, 16x224x224, training mode", network_makers())]
    else:
        work = [(name, layer_makers(*rest)) for name, *rest in LAYERS]
    for title, makers in work:
        times = race_both(makers, args.runs)
        table.add_row(title, *(f"{t[name]:.2f}" for t in times for name in names))
        print(title, *(f"{t[name]:.2f}" for t in times for name in names), file=sys.stderr)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
