"""The networks that bench_networks.py times, in JAX and in PyTorch: make_* returns run().

A step is the forward pass in training mode, the squared outputs' gradient, and AdamW. PyTorch runs
channels last and compiled, and predicts with frozen weights.
"""

import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
SHAPES = {  # a picture or clip, height and width first
    "older": (368, 368, 3),
    "newer": (368, 368, 3),
    "demo": (128, 128, 3),
    "i3d": (16, 224, 224, 3),
}


def draw(network: str, batch: int) -> np.ndarray:
    """Input in [0, 1)."""
    return np.random.default_rng(0).random((batch, *SHAPES[network]), np.float32)


def make_ours(network: str, work: str, batch: int):
    """danceflax as its scripts run it; work is forward or step."""
    from danceflax.cli.compilation import choose_convolutions

    choose_convolutions()
    import jax
    import optax

    from danceflax.models.i3d import I3D
    from danceflax.models.initialise import initialise
    from danceflax.models.openpose import OpenPoseBody25, OpenPoseCOCO

    model = {
        "older": OpenPoseCOCO,
        "newer": OpenPoseBody25,
        "demo": lambda: OpenPoseBody25(38, 19, 1, 1, width=0.25),
        "i3d": I3D,
    }[network]()
    x = jax.numpy.asarray(draw(network, batch))
    variables = initialise(model, x[:1], 0)

    def apply(params, rest, x, training):
        if network == "i3d" and training:
            rngs = {"dropout": jax.random.key(0)}
            return model.apply({"params": params, **rest}, x, True, rngs=rngs, mutable=[*rest])
        return model.apply({"params": params, **rest}, x), rest

    if work == "forward":
        forward = jax.jit(lambda params, rest, x: apply(params, rest, x, False)[0])
        params, rest = variables["params"], {k: variables[k] for k in variables if k != "params"}
        return lambda: jax.block_until_ready(forward(params, rest, x))

    optimizer = optax.adamw(1e-4)

    def loss(params, rest, x):
        outputs, rest = apply(params, rest, x, True)
        return sum((a**2).mean() for a in jax.tree.leaves(outputs)), rest

    def step(params, rest, moments, x):
        gradients, rest = jax.grad(loss, has_aux=True)(params, rest, x)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), rest, moments

    step = jax.jit(step, donate_argnums=(0, 1, 2))
    params = variables.pop("params")
    state = [(params, dict(variables), jax.jit(optimizer.init)(params))]

    def run():
        state[0] = jax.block_until_ready(step(*state[0], x))

    return run


def make_torch(network: str, work: str, batch: int):
    """The same networks in PyTorch."""
    import torch
    import torch._inductor.config
    from torch.utils import _pytree

    sys.path.append(str(ROOT / "tests"))
    from torch_i3d import TorchI3D
    from torch_openpose import COCO, Body25

    model = {
        "older": COCO,
        "newer": Body25,
        "demo": lambda: Body25(1, 1, channels=(38, 19), width=0.25),
        "i3d": TorchI3D,
    }[network]()
    apply = model if network == "i3d" else model.every_stage
    layout = torch.channels_last_3d if network == "i3d" else torch.channels_last
    model.to(memory_format=layout)
    x = torch.from_numpy(np.moveaxis(draw(network, batch), -1, 1)).to(memory_format=layout)
    if work == "forward":
        torch._inductor.config.freezing = True
        model.eval()
        compiled = torch.compile(apply)

        def run():
            with torch.no_grad():
                compiled(x)

        return run
    compiled = torch.compile(apply)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        leaves, _ = _pytree.tree_flatten(compiled(x))
        sum((a**2).mean() for a in leaves).backward()
        optimizer.step()

    return step
