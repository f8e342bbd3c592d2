"""Networks in bfloat16 on a GPU, training steps and forward passes, beside compiled PyTorch.

    python benchmarks/bench_gpu.py [--rounds 7]
    python benchmarks/bench_gpu.py --lower_for cuda,tpu     # programs for such devices, none needed

Both run in one process, in turns; networks.py says what they run. The FLOP that are printed say how
much of the peak is reached.
"""

import os
import sys
from collections.abc import Callable
from unittest import mock

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs room beside us

import jax
import jax.numpy as jnp
from harness import Row, compare, run_figure
from networks import make_functions, make_model, make_torch, title

NETWORKS = {  # batches of a step and of a forward pass, a picture's or clip's shape
    "older": ((16, 32), (368, 368, 3)),
    "newer": ((16, 32), (368, 368, 3)),
    "i3d": ((8, 16), (64, 224, 224, 3)),
}


def make_programs(network: str, batches: tuple[int, int], shape: tuple[int, ...]) -> dict:
    """{"step" or "forward": (function, shapes of its arguments)}."""
    model = make_model(network, dtype=jnp.bfloat16)
    optimizer, functions = make_functions(model)
    inputs = [jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for batch in batches]
    rest = dict(jax.eval_shape(model.init, jax.random.key(0), inputs[0]))
    params = rest.pop("params")
    moments = jax.eval_shape(optimizer.init, params)
    return {
        "step": (functions["step"], (params, rest, moments, inputs[0])),
        "forward": (functions["forward"], (params, rest, inputs[1])),
    }


def lower(function: Callable, shapes: tuple, platforms: tuple[str, ...]) -> jax.stages.Lowered:
    """The program for other platforms than this machine's."""
    # CPUs convolve in their way.
    with mock.patch.object(jax, "default_backend", lambda: platforms[0]):
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


def measure(rounds: int, lower_for: str = "") -> list[Row]:
    rows, gpu = [], jax.default_backend() == "gpu"
    if not (gpu or lower_for):
        sys.exit("there is no GPU here: nothing is measured; --lower_for cuda,tpu only lowers")
    for network, (batches, shape) in NETWORKS.items():
        for work, (function, shapes) in make_programs(network, batches, shape).items():
            name = f"{title(work, network, shapes[-1].shape)}, bfloat16"
            if lower_for:
                program = lower(function, shapes, tuple(lower_for.split(",")))
                print(f"{name}: lowered, {len(program.as_text()):,} characters", flush=True)
            else:
                peer = {"torch compiled": make_torch(network, work, shapes[-1].shape, "cuda")}
                rows += compare(name, make_ours(work, function, shapes), peer, rounds)
    return rows


if __name__ == "__main__":
    run_figure(measure, __doc__, lower_for="platforms to lower for, with commas between")
