"""The backward pass on XLA's CPU backend, so that a step holds no more than it must.

XLA orders operations by what they need, and there is no other way to tell a CPU's program an order.
A kernel's gradient is needed by the optimizer alone: left to itself it comes when the backward pass
is over, and the gradients of all layers' outputs stay until then. What is to be computed again is
found to have been computed before, and stays, too. Hence the order here is one of need.
benchmarks/bench_networks.py measures the memory.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def kernel_first(
    function: Callable, to_kernel: Callable | None = None, to_input: Callable | None = None
) -> Callable:
    """`function(x, kernel)` whose gradient to the kernel comes before that to the input.

    Args:
      to_kernel, to_input: (x, kernel, gradient of the output) -> gradient, each used only where it
        is asked for; the function's own by default.
    """
    to_kernel = to_kernel or (lambda x, k, gradient: _pull(lambda k: function(x, k), k, gradient))
    to_input = to_input or (lambda x, k, gradient: _pull(lambda x: function(x, k), x, gradient))

    def forward(x, kernel):
        asked = [() if a.perturbed else None for a in (x, kernel)]  # told by the tree's structure
        return function(x.value, kernel.value), (x.value, kernel.value, asked)

    def backward(kept, gradient):
        x, kernel, (x_asked, kernel_asked) = kept
        kernel_gradient = input_gradient = None
        if kernel_asked is not None:
            kernel_gradient = to_kernel(_after(gradient, x), kernel, gradient)
            kernel = _after(kernel_gradient, kernel)
        if x_asked is not None:
            input_gradient = to_input(x, kernel, gradient)
        return input_gradient, kernel_gradient

    with_gradients = jax.custom_vjp(function)
    with_gradients.defvjp(forward, backward, symbolic_zeros=True)
    return with_gradients


def recomputed(function: Callable) -> Callable:
    """`function(x)` that keeps nothing but x for the backward pass."""

    def backward(x, gradient):
        return (_pull(function, _after(gradient, x), gradient),)

    with_gradient = jax.custom_vjp(function)
    with_gradient.defvjp(lambda x: (function(x), x), backward)
    return with_gradient


def _pull(function, at, gradient):
    return jax.vjp(function, at)[1](gradient)[0]


def _after(first: Float[Array, "..."], then: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """`then`, which is not to be had before `first`: not a number if the first of those is none."""
    return jnp.where(jnp.isnan(first.ravel()[0]), jnp.nan, then)
