"""Networks in bfloat16 on a GPU, training steps and forward passes, beside compiled PyTorch.

    python benchmarks/bench_gpu.py [--rounds 7]
    python benchmarks/bench_gpu.py --lower_for cuda,tpu     # programs for such devices, none needed

Both run in one process, in turns; PyTorch channels last, compiled, under autocast. A step is the
forward pass in training mode, the gradient of the squared outputs, and AdamW on float32 weights.
The FLOP that are printed say how much of the peak is reached.
"""

import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs room beside us

import jax
import jax.numpy as jnp
import optax
from harness import compare, run_figure

from danceflax.models.i3d import I3D
from danceflax.models.openpose import OpenPoseBody25, OpenPoseCOCO

NETWORKS = {  # network, batches of a step and of a forward pass, a picture's or clip's shape
    "the older OpenPose": (OpenPoseCOCO, (16, 32), (368, 368, 3)),
    "the newer OpenPose": (OpenPoseBody25, (16, 32), (368, 368, 3)),
    "I3D": (I3D, (8, 16), (64, 224, 224, 3)),
}


def make_programs(make: Callable, batches: tuple[int, int], shape: tuple[int, ...]) -> dict:
    """{"step" or "forward": (function, shapes of its arguments)}."""
    model, optimizer = make(dtype=jnp.bfloat16), optax.adamw(1e-4)
    inputs = [jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for batch in batches]
    variables = jax.eval_shape(model.init, jax.random.key(0), inputs[0])
    params = variables["params"]
    rest = {name: variables[name] for name in variables if name != "params"}

    def forward(params, rest, x):
        return model.apply({"params": params, **rest}, x)

    def loss(params, rest, x):
        if make is I3D:
            keys = {"dropout": jax.random.key(0)}
            given = {"params": params, **rest}
            outputs, rest = model.apply(given, x, True, rngs=keys, mutable=[*rest])
        else:
            outputs = forward(params, rest, x)
        return sum((a**2).mean() for a in jax.tree.leaves(outputs)), rest

    def step(params, rest, moments, x):
        gradients, rest = jax.grad(loss, has_aux=True)(params, rest, x)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), rest, moments

    moments = jax.eval_shape(optimizer.init, params)
    return {
        "step": (step, (params, rest, moments, inputs[0])),
        "forward": (forward, (params, rest, inputs[1])),
    }


def lower(function: Callable, shapes: tuple, platforms: tuple[str, ...]) -> jax.stages.Lowered:
    """The program for other platforms than this machine's."""
    with mock.patch.object(
        jax, "default_backend", lambda: platforms[0]
    ):  # CPUs convolve in their way
        return jax.jit(function).trace(*shapes).lower(lowering_platforms=platforms)


def make_ours(work: str, function: Callable, shapes: tuple) -> Callable:
    """run() of a program, compiled for the GPU; prints how much it computes."""
    donated = (0, 1, 2) if work == "step" else ()
    compiled = jax.jit(function, donate_argnums=donated).lower(*shapes).compile()
    print(f"  {compiled.cost_analysis()['flops'] / 1e12:.2f} TFLOP", flush=True)
    state = [jax.tree.map(lambda s: jnp.full(s.shape, 0.01, s.dtype), shapes)]

    def run():
        result = jax.block_until_ready(compiled(*state[0]))
        if work == "step":
            state[0] = (*result, state[0][-1])

    return run


def make_torch(work: str, name: str, batch: int, shape: tuple[int, ...]) -> Callable:
    """The same in PyTorch."""
    import torch

    sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests"))
    from torch_i3d import TorchI3D
    from torch_openpose import COCO, Body25

    make = {"the older OpenPose": COCO, "the newer OpenPose": Body25, "I3D": TorchI3D}[name]
    layout = torch.channels_last if len(shape) == 3 else torch.channels_last_3d
    model = make().to("cuda", memory_format=layout).train(work == "step")
    x = torch.rand(batch, shape[-1], *shape[:-1], device="cuda").to(memory_format=layout)
    compiled, optimizer = torch.compile(model), torch.optim.AdamW(model.parameters(), fused=True)

    def apply():
        with torch.autocast("cuda", torch.bfloat16):
            outputs = compiled(x)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def forward():
        with torch.no_grad():
            apply()
        torch.cuda.synchronize()

    def step():
        optimizer.zero_grad(set_to_none=True)
        sum((a.float() ** 2).mean() for a in apply()).backward()
        optimizer.step()
        torch.cuda.synchronize()

    return step if work == "step" else forward


def measure(rounds: int, lower_for: str = "") -> list[Any]:
    rows, gpu = [], jax.default_backend() == "gpu"
    if not (gpu or lower_for):
        sys.exit("there is no GPU here: nothing is measured; --lower_for cuda,tpu only lowers")
    for name, (make, batches, shape) in NETWORKS.items():
        for work, (function, shapes) in make_programs(make, batches, shape).items():
            batch = shapes[-1].shape[0]
            title = f"{work} of {name} in bfloat16, {batch} of {'x'.join(map(str, shape[:-1]))}"
            if lower_for:
                program = lower(function, shapes, tuple(lower_for.split(",")))
                print(f"{title}: lowered, {len(program.as_text()):,} characters", flush=True)
            else:
                peer = {"torch compiled": make_torch(work, name, batch, shape)}
                rows += compare(title, make_ours(work, function, shapes), peer, rounds)
    return rows


if __name__ == "__main__":
    run_figure(measure, __doc__, lower_for="platforms to lower for, with commas between")
