"""Images on the device as OpenCV treats them: resized, sampled between pixels, median-filtered."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

CUBIC = -0.75  # OpenCV's parameter of Keys' kernel


def resize(
    images: Float[Array, "N H W"], size: tuple[int, int], ratio: float | None = None
) -> Float[Array, "N h w"]:
    """As cv2.resize with INTER_LINEAR: between the nearest pixels, whatever the scale.

    Args:
      size: (h, w).
      ratio: pixels of the input a pixel of the output; by default that of the sizes.
    """
    rows, columns = (
        _linear_matrix(old, new, ratio or old / new)
        for old, new in zip(images.shape[1:], size, strict=True)
    )
    return jnp.einsum("hy,nyx,wx->nhw", rows, images, columns, precision="highest")


def _linear_matrix(old, new, ratio):
    """[new, old] weights of a line's pixels in those of the resized line."""
    position = np.clip((np.arange(new) + 0.5) * ratio - 0.5, 0, old - 1)
    before = np.minimum(np.floor(position).astype(int), old - 1)
    matrix = np.zeros((new, old), np.float32)
    np.add.at(matrix, (np.arange(new), before), 1 - (position - before))
    np.add.at(matrix, (np.arange(new), np.minimum(before + 1, old - 1)), position - before)
    return matrix


def central_gradient(image: Float[Array, "h w"]) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Half the differences of the neighbours along x and y; beyond the border it repeats."""
    rim = jnp.pad(image, 1, mode="edge")
    return (rim[1:-1, 2:] - rim[1:-1, :-2]) / 2, (rim[2:, 1:-1] - rim[:-2, 1:-1]) / 2


def sample(layers: Float[Array, "N h w"], flow: Float[Array, "2 h w"]) -> Float[Array, "N h w"]:
    """layers[:, y + v, x + u] by bicubic interpolation; beyond the border lie zeros. As cv2.remap
    with INTER_CUBIC, which rounds places to a 32nd of a pixel."""
    _, height, width = layers.shape
    # Whoever lies further outside than the kernel is wide sees zeros: there is no need to go there.
    rim = 3
    x = jnp.clip(jnp.arange(width) + flow[0], -rim, width + rim - 1)
    y = jnp.clip(jnp.arange(height)[:, None] + flow[1], -rim, height + rim - 1)
    left, top = jnp.floor(x), jnp.floor(y)
    padded = jnp.pad(layers, ((0, 0), (rim + 1, rim + 2), (rim + 1, rim + 2)))
    stride = padded.shape[2]
    first = (top.astype(jnp.int32) + rim) * stride + left.astype(jnp.int32) + rim
    pixels = jnp.moveaxis(padded.reshape(len(layers), -1), 0, -1)
    across, down = _cubic_weights(x - left), jnp.stack(_cubic_weights(y - top))

    def add_line(j, total):
        cells = first + j * stride
        line = sum(across[i][..., None] * pixels[cells + i] for i in range(4))
        return total + down[j][..., None] * line

    # A loop, whose result is made once: of a plain sum XLA makes one for each use.
    total = lax.fori_loop(0, 4, add_line, jnp.zeros((height, width, len(layers))))
    return jnp.moveaxis(total, -1, 0)


def _cubic_weights(t):
    """Weights of the pixels at -1, 0, 1 and 2 for a place at t in [0, 1)."""

    def near(d):
        return ((CUBIC + 2) * d - (CUBIC + 3)) * d**2 + 1

    def far(d):
        return ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC

    return far(1 + t), near(t), near(1 - t), far(2 - t)


def median(images: Float[Array, "N h w"], window: int) -> Float[Array, "N h w"]:
    """The median of the window x window pixels about each; beyond the border it repeats.

    By exchanges alone: of n // 2 + 2 values neither the least nor the greatest is the median; they
    go, and the next value comes in.
    """
    _, height, width = images.shape
    margin = window // 2
    padded = jnp.pad(images, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    values = [padded[:, dy : dy + height, dx : dx + width] for dy, dx in np.ndindex(window, window)]
    count = len(values) // 2 + 2
    kept, rest = values[:count], values[count:]
    while len(kept) > 1:
        kept = _drop_extremes(kept)
        if rest:
            kept.append(rest.pop())
    return kept[0]


def _drop_extremes(values):
    """The values without the least and the greatest, in another order."""
    values, last = list(values), len(values) - 1
    pairs = [(i, last - i) for i in range(len(values) // 2)]
    pairs += [(0, i) for i in range(1, (last + 2) // 2)]  # the least, among the lower ones
    pairs += [(i, last) for i in range((last + 1) // 2, last)]  # the greatest
    for i, j in pairs:
        lower, upper = jnp.minimum(values[i], values[j]), jnp.maximum(values[i], values[j])
        values[i], values[j] = lower, upper
    return values[1:-1]
