"""Layers that several networks share."""

import contextlib
import contextvars
from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from danceflax.models.gradients import kernel_first, recomputed

# The plain deep ReLU stacks of OpenPose sit on the background plateau for hundreds of steps with
# flax's default (LeCun) initialisation; with He's they learn at once.
he_normal = nn.initializers.he_normal()

_portable = contextvars.ContextVar("portable", default=False)


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """A block in which networks are traced in the library's own operations, which other platforms
    and formats know, and not in what is fastest on this one."""
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


def on_cpu() -> bool:
    """Whether what is fastest on the CPU is to be traced."""
    return jax.default_backend() == "cpu" and not _portable.get()


def product(x: Float[Array, "*n C"], kernel: Float[Array, "C D"]) -> Float[Array, "*n D"]:
    """x @ kernel. On a CPU the kernel's gradient is one product of matrices as they lie, where
    XLA's own moves the output's gradient first, and a convolution's is up to six times slower."""
    return (_product if on_cpu() else jnp.matmul)(x, kernel)


def _kernel_gradient(x, kernel, gradient):
    columns, out = kernel.shape
    return x.reshape(-1, columns).T @ gradient.reshape(-1, out)


_product = kernel_first(jnp.matmul, _kernel_gradient)


class PReLU(nn.Module):
    """Parametric ReLU, one slope a channel, from Caffe's default 0.25."""

    @nn.compact
    def __call__(self, x: Float[Array, "*n C"]) -> Float[Array, "*n C"]:
        slope = self.param("slope", nn.initializers.constant(0.25), (x.shape[-1],), jnp.float32)
        return (kernel_first(_bend) if on_cpu() else _bend)(x, slope.astype(x.dtype))


def _bend(x, slope):
    return jnp.where(x >= 0, x, x * slope)


def max_pool_2x2(x: Float[Array, "B H W C"]) -> Float[Array, "B H//2 W//2 C"]:
    """2x2 max-pooling with stride 2.

    Four strided slices instead of a window: its gradient is nine times faster on the CPU. Among
    equal values the gradient is shared.
    """
    if not on_cpu():
        return nn.max_pool(x, (2, 2), (2, 2))
    return _pool(x)


@recomputed
def _pool(x):
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    top = jnp.maximum(x[:, ::2, ::2], x[:, ::2, 1::2])
    bottom = jnp.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2])
    return jnp.maximum(top, bottom)
