"""What the network should say: heatmaps and part affinity fields drawn from keypoints.

Mode "paper" follows Cao et al. (TPAMI 2019), equations 6-9: the maximum over people in a heatmap,
the average over overlapping limbs in a PAF. Mode "caffe" repeats what the older training code does:
heatmaps are summed and clipped to 1, the last person's limb overwrites, and the PAF grid lacks the
half-cell shift.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from danceflax.pose.grid import to_grid
from danceflax.skeleton import Skeleton

# A Gaussian below 1 % is cut to zero, as in the published training code.
CUT = float(np.exp(-4.6052))
MODES = ("paper", "caffe")


def make_targets(
    people: Float[Array | np.ndarray, "B P J 3"],
    skeleton: Skeleton,
    shape: Sequence[int],
    stride: int = 8,
    sigma: float = 7.0,
    limb_width: float = 8.0,
    mode: str = "paper",
) -> tuple[Float[Array, "B h w J+1"], Float[Array, "B h w {skeleton.num_pafs}"]]:
    """Heatmaps and PAFs of a batch of people.

    Args:
      people: (x, y, visibility) in input pixels; visibility 0 draws nothing.
      skeleton: of the people.
      shape: (h, w) of the maps; the image is (h, w) * stride.
      stride: input pixels a map cell.
      sigma: standard deviation of the heatmap's Gaussian, in input pixels.
      limb_width: half-width of a limb, in input pixels: cells within carry the limb's direction.
      mode: "paper" or "caffe", see above.

    Returns:
      Heatmaps in [0, 1], background (1 - the largest joint value) last; PAFs, unit vectors (x, y)
      per limb. Both float32.
    """
    if mode not in MODES:
        raise ValueError(f"target mode {mode!r}; choose one of {', '.join(MODES)}")
    people = people.astype(jnp.float32)
    heatmaps = _heatmaps(people, shape, stride, sigma, mode)
    return heatmaps, _pafs(people, skeleton, shape, stride, limb_width, mode)


def _heatmaps(people, shape, stride, sigma, mode):
    present = people[..., 2] > 0
    xy = to_grid(people[..., :2], stride) * stride
    # exp(-(dx^2 + dy^2)) is a product of two short vectors: h + w exponentials, not h * w.
    gx = jnp.exp(-((jnp.arange(shape[1]) * stride - xy[..., :1]) ** 2) / (2 * sigma**2))
    gy = jnp.exp(-((jnp.arange(shape[0]) * stride - xy[..., 1:]) ** 2) / (2 * sigma**2))
    gaussian = gy[..., :, None] * gx[..., None, :]  # [B, P, J, h, w]
    gaussian = jnp.where(present[..., None, None] & (gaussian >= CUT), gaussian, 0.0)
    joints = gaussian.max(1) if mode == "paper" else jnp.minimum(gaussian.sum(1), 1.0)
    background = 1.0 - joints.max(1, keepdims=True)
    return jnp.moveaxis(jnp.concatenate([joints, background], 1), 1, -1)


def _pafs(people, skeleton, shape, stride, limb_width, mode):
    limbs = np.array(skeleton.limbs)
    scale = 1.0 / stride
    ends = to_grid(people[..., :2], stride) if mode == "paper" else people[..., :2] * scale
    a, b = ends[:, :, limbs[:, 0]], ends[:, :, limbs[:, 1]]  # [B, P, L, 2] grid cells
    present = (people[:, :, limbs[:, 0], 2] > 0) & (people[:, :, limbs[:, 1], 2] > 0)
    squared = ((b - a) ** 2).sum(-1)
    present &= squared > 1e-8  # a limb of no length has no direction
    length = jnp.sqrt(jnp.maximum(squared, 1e-8))
    unit = (b - a) / length[..., None]

    x = jnp.arange(shape[1], dtype=jnp.float32)
    y = jnp.arange(shape[0], dtype=jnp.float32)[:, None]
    dx = x - a[..., 0, None, None]  # [B, P, L, 1, w]
    dy = y - a[..., 1, None, None]  # [B, P, L, h, 1]
    ux, uy = unit[..., 0, None, None], unit[..., 1, None, None]
    near = jnp.abs(dx * uy - dy * ux) <= limb_width * scale  # distance across the limb
    if mode == "paper":
        along = dx * ux + dy * uy
        inside = near & (along >= 0) & (along <= length[..., None, None])
    else:
        reach = limb_width * scale
        low = jnp.round(jnp.minimum(a, b) - reach)[..., None, None]
        high = jnp.round(jnp.maximum(a, b) + reach)[..., None, None]
        inside = near & (x >= low[..., 0, :, :]) & (x < high[..., 0, :, :])
        inside &= (y >= low[..., 1, :, :]) & (y < high[..., 1, :, :])
    inside = (inside & present[..., None, None]).astype(jnp.float32)  # [B, P, L, h, w]

    if mode == "paper":
        weight = inside / jnp.maximum(inside.sum(1, keepdims=True), 1.0)
    else:
        later = jnp.cumsum(inside[:, ::-1], 1)[:, ::-1] - inside
        weight = inside * (later == 0)
    pafs = jnp.einsum("bplhw,bplc->bhwlc", weight, unit)
    return pafs.reshape(*pafs.shape[:3], -1)
