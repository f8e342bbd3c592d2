"""Fresh weights, drawn on the host: the same on every device, and nothing to compile."""

import zlib

import jax
import numpy as np

# Start values by the parameter's name. Anything else called "kernel" is drawn at random.
# A layer called "output" starts small: else training first shrinks everything before it to silence
# the noise, and features die (a tenth lowered the demo's loss after 400 steps by an eighth).
OUTPUT_SCALE = 0.1
CONSTANTS = {"bias": 0.0, "slope": 0.25, "scale": 1.0, "mean": 0.0, "var": 1.0}


def initialise(model, example, seed):
    """Fresh variables of a network.

    Kernels are He-normal (He et al. 2015): the plain deep stacks of OpenPose sit on the background
    plateau for hundreds of steps with flax's default. `jax.jit(model.init)` would draw from the
    same distribution, after compiling a random generator for each of a hundred kernels.

    Args:
      model: a flax module.
      example: an input of the right rank and channels, or a tree of such; only its shape matters.
      seed: int; each kernel's numbers are a function of it and the kernel's path.

    Returns:
      {"params": ..., ...} of float32 numpy arrays.
    """
    shapes = jax.eval_shape(model.init, jax.random.key(0), example)

    def draw(path, leaf):
        keys = [key.key for key in path]
        if keys[-1] != "kernel":
            return np.full(leaf.shape, CONSTANTS[keys[-1]], np.float32)
        rng = np.random.default_rng([seed, zlib.crc32("/".join(keys).encode())])
        deviation = np.sqrt(2.0 / np.prod(leaf.shape[:-1]))
        deviation *= OUTPUT_SCALE if "output" in keys else 1.0
        return rng.standard_normal(leaf.shape, np.float32) * np.float32(deviation)

    return jax.tree.map_with_path(draw, dict(shapes))
