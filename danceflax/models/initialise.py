"""Fresh weights: convolutions drawn on the host, everything else as its module says."""

import zlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

# A convolution called "output" starts small: else training first shrinks everything before it to
# silence the noise, and features die (a tenth lowered the demo's loss by an eighth).
OUTPUT_SCALE = 0.1


def initialise(model: nn.Module, example: Any, seed: int) -> dict[str, Any]:
    """Fresh variables {"params": ..., ...} of a network, float32 numpy arrays.

    Kernels of 2-D and 3-D convolutions are He-normal (He et al. 2015): the plain deep stacks of
    OpenPose sit on the background plateau for hundreds of steps with flax's default. They are drawn
    here, for to compile a random generator for each of a hundred kernels takes longer than the
    demo's first minute. Whatever else there is has its module's own initial values.

    Args:
      model: the network.
      example: an input of the right rank and channels, or a tree of such; only its shape matters.
      seed: each kernel's numbers are a function of it and the kernel's path.
    """
    inputs = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), example)
    shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)

    @jax.jit
    def draw_others(key):
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), inputs)
        drawn = model.init(key, zeros)
        return jax.tree.map_with_path(
            lambda path, leaf: None if _is_convolution(path, leaf) else leaf, dict(drawn)
        )

    def draw(path, leaf, other):
        if not _is_convolution(path, leaf):
            return np.asarray(other, np.float32)
        keys = [key.key for key in path]
        rng = np.random.default_rng([seed, zlib.crc32("/".join(keys).encode())])
        deviation = np.sqrt(2.0 / np.prod(leaf.shape[:-1]))
        deviation *= OUTPUT_SCALE if "output" in keys else 1.0
        return rng.standard_normal(leaf.shape, np.float32) * np.float32(deviation)

    others = draw_others(jax.random.key(seed))
    return jax.tree.map_with_path(draw, dict(shapes), others, is_leaf=lambda x: x is None)


def _is_convolution(path, leaf):
    return path[-1].key == "kernel" and leaf.ndim >= 4
