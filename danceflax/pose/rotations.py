"""People found on an image and on the image turned: mapped back, and each kept once."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from danceflax.pose.metrics import AREA_RATIO

MERGE_OKS = 0.5  # two people this alike, found on an image and on the image turned, are one


def turn_back(
    people: Float[Array | np.ndarray, "B P J 3"], turn: int, shape: Sequence[int]
) -> Float[Array, "B P J 3"]:
    """People of an image that `jnp.rot90` turned `turn` times, in the pixels of the
    image, which was of `shape` (height, width)."""
    x, y, score = jnp.moveaxis(people, -1, 0)
    right, bottom = shape[1] - 1, shape[0] - 1
    x, y = ((x, y), (right - y, x), (right - x, bottom - y), (y, bottom - x))[turn]
    return jnp.stack([x, y, score], -1) * (score > 0)[..., None]


def merge_people(
    people: Float[Array | np.ndarray, "B N J 3"],
    scores: Float[Array | np.ndarray, "B N"],
    views: Num[Array | np.ndarray, " N"],
    sigmas: Sequence[float] | Float[np.ndarray, " J"],
    count: int,
    least: float = MERGE_OKS,
) -> tuple[Float[Array, "B M J 3"], Float[Array, "B M"]]:
    """The `count` best people; of two of different views whose OKS is at least `least` the one of
    lower score goes.

    Args:
      people: (x, y, score); a joint not found has score 0.
      scores: 0 is nobody.
      views: numbers; people of one view are different people.
      sigmas: of the OKS.

    Returns:
      (people, scores), best first; zeros where there are fewer.
    """
    order = jnp.argsort(-scores, axis=1)
    people = jnp.take_along_axis(people, order[..., None, None], 1)
    scores = jnp.take_along_axis(scores, order, 1)
    views = jnp.asarray(views)[order]
    alike = jax.vmap(lambda one: similarity(one, jnp.asarray(sigmas)))(people) >= least
    alike &= views[:, :, None] != views[:, None]

    def judge(n, keep):
        beaten = (alike[:, n] & keep & (jnp.arange(keep.shape[1]) < n)).any(1)
        return keep.at[:, n].set(keep[:, n] & ~beaten)

    keep = jax.lax.fori_loop(0, scores.shape[1], judge, scores > 0)
    scores, best = jax.lax.top_k(jnp.where(keep, scores, 0.0), count)
    people = jnp.take_along_axis(people, best[..., None, None], 1)
    return people * (scores > 0)[..., None, None], scores


def similarity(
    people: Float[Array | np.ndarray, "N J 3"], sigmas: Float[Array | np.ndarray, " J"]
) -> Float[Array, "N N"]:
    """OKS of people with each other, over the joints that both have; `metrics.oks` counts
    those that one lacks as wrong. People with none in common are not alike."""
    present = people[..., 2] > 0
    low = jnp.where(present[..., None], people[..., :2], jnp.inf).min(1)
    high = jnp.where(present[..., None], people[..., :2], -jnp.inf).max(1)
    sides = jnp.where(present.any(1)[:, None], high - low, 0.0)
    long, short = sides.max(1), sides.min(1)
    area = jnp.maximum(AREA_RATIO * long * jnp.maximum(short, long / 2), 1.0)
    area = jnp.maximum(area[:, None], area)[..., None]
    squared = ((people[:, None, :, :2] - people[None, :, :, :2]) ** 2).sum(-1)
    shared = present[:, None] & present
    close = jnp.exp(-squared / (2 * area * (2 * sigmas) ** 2)) * shared
    return close.sum(-1) / jnp.maximum(shared.sum(-1), 1)
