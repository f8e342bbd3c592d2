"""The networks that bench_networks.py and bench_gpu.py time, in JAX and in PyTorch.

A step is the forward pass in training mode, the gradient of the squared outputs of every stage, and
AdamW on float32 weights. PyTorch runs channels last and compiled, and predicts with frozen weights.
"""

import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
TITLES = {
    "older": "the older OpenPose",
    "newer": "the newer OpenPose",
    "demo": "the demo's OpenPose",
    "i3d": "I3D",
}


def title(work: str, network: str, shape: tuple[int, ...]) -> str:
    """A row's name: of work, step or forward, on input of a shape."""
    return f"{work} of {TITLES[network]}, {shape[0]} of {'x'.join(map(str, shape[1:-1]))}"


def draw(shape: tuple[int, ...]) -> np.ndarray:
    """Input in [0, 1)."""
    return np.random.default_rng(0).random(shape, np.float32)


def make_model(network: str, **options: Any) -> Any:
    """The flax module."""
    from danceflax.models.i3d import I3D
    from danceflax.models.openpose import OpenPoseBody25, OpenPoseCOCO

    if network == "demo":
        return OpenPoseBody25(38, 19, 1, 1, width=0.25, **options)
    return {"older": OpenPoseCOCO, "newer": OpenPoseBody25, "i3d": I3D}[network](**options)


def make_functions(model: Any) -> tuple[Any, dict[str, Callable]]:
    """(optimizer, {"step": (params, rest, moments, x) -> the first three anew,
    "forward": (params, rest, x) -> outputs}); `rest` are the variables that are no parameters."""
    import jax
    import optax

    optimizer = optax.adamw(1e-4)

    def forward(params, rest, x):
        return model.apply({"params": params, **rest}, x)

    def loss(params, rest, x):
        rngs = {"dropout": jax.random.key(0)}
        given = {"params": params, **rest}
        outputs, rest = model.apply(given, x, True, rngs=rngs, mutable=[*rest])
        outputs = jax.tree.leaves(outputs[:2]) if isinstance(outputs, tuple) else [outputs]
        return sum((a**2).mean() for a in outputs), rest

    def step(params, rest, moments, x):
        gradients, rest = jax.grad(loss, has_aux=True)(params, rest, x)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), rest, moments

    return optimizer, {"step": step, "forward": forward}


def make_ours(network: str, work: str, shape: tuple[int, ...]) -> Callable:
    """run() of danceflax on this machine's CPU, as its scripts have it."""
    from danceflax.cli.compilation import choose_convolutions

    choose_convolutions()
    import jax

    from danceflax.models.initialise import initialise
    from danceflax.training.devices import give_memory_back

    give_memory_back()
    model, x = make_model(network), jax.numpy.asarray(draw(shape))
    optimizer, functions = make_functions(model)
    variables = dict(initialise(model, x[:1], 0))
    state = [variables.pop("params"), variables]
    if work == "step":
        state.append(jax.jit(optimizer.init)(state[0]))
    function = jax.jit(functions[work], donate_argnums=(0, 1, 2) if work == "step" else ())

    def run():
        result = jax.block_until_ready(function(*state, x))
        if work == "step":
            state[:] = result

    return run


def make_torch(network: str, work: str, shape: tuple[int, ...], device: str = "cpu") -> Callable:
    """run() of PyTorch; on a GPU in bfloat16, by autocast."""
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
    layout = torch.channels_last_3d if network == "i3d" else torch.channels_last
    model.to(device, memory_format=layout).train(work == "step")
    x = torch.from_numpy(np.moveaxis(draw(shape), -1, 1)).to(device, memory_format=layout)
    torch._inductor.config.freezing = work == "forward"
    compiled = torch.compile(model if network == "i3d" else model.every_stage)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)

    def apply():
        with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            return _pytree.tree_leaves(compiled(x))

    def run():
        if work == "forward":
            with torch.no_grad():
                apply()
        else:
            optimizer.zero_grad(set_to_none=True)
            sum((a.float() ** 2).mean() for a in apply()).backward()
            optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize()

    return run
