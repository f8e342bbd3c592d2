"""Several sets of samples as one: who gives sample g of a training is a function of (seed, g)."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from danceflax.errors import BadSampleError, UserError
from danceflax.skeleton import Skeleton

BLOCK = 1000  # samples in which every set has its exact share, to a thousandth


class MixedSource:
    """Named sources drawn by weight, each in a new order whenever it has been seen through.

    Samples are the sources' records, so each brings the joints that its set labels.
    `mixed[i]` counts through the sources one after the other.

    Attributes:
      sources: {name: source}.
      homes: folders that are there as long as the data are.
    """

    def __init__(self, sources: Mapping[str, Any], weights: Mapping[str, float]):
        """Sources of the same skeleton, and the share of each in what is drawn.

        Raises:
          UserError: the weights are not positive numbers that sum to 1.
        """
        check_weights(weights)
        self.sources = dict(sources)
        self.homes = [getattr(source, "home", None) for source in self.sources.values()]
        self._lengths = [len(source) for source in self.sources.values()]
        self._starts = np.cumsum([0, *self._lengths])
        self._counts = share_block([weights[name] for name in self.sources])
        self._block = functools.lru_cache(maxsize=4)(self._make_block)
        self._permutation = functools.lru_cache(maxsize=4 * len(self.sources))(self._permute)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        k = int(np.searchsorted(self._starts, index, side="right")) - 1
        source = list(self.sources.values())[k]
        return source[int(index - self._starts[k])]

    def __repr__(self) -> str:
        return " + ".join(map(str, self.sources.values()))

    def draw(self, seed: int, g: int) -> int:
        """The index of sample g of a training: instead of the loader's own order."""
        number, position = divmod(g, BLOCK)
        owners, before = self._block(seed, number)
        k = int(owners[position])
        drawn = number * int(self._counts[k]) + int(before[position])  # of this source, so far
        epoch, place = divmod(drawn, self._lengths[k])
        return int(self._starts[k] + self._permutation(seed, k, epoch)[place])

    def _make_block(self, seed, number):
        """([BLOCK] the source of each sample, [BLOCK] how many of that source came before it)."""
        owners = np.repeat(np.arange(len(self._counts)), self._counts)
        owners = np.random.default_rng([seed, number, 2]).permutation(owners)
        before = np.zeros(BLOCK, int)
        for k in range(len(self._counts)):
            own = owners == k
            before[own] = np.arange(own.sum())
        return owners, before

    def _permute(self, seed, k, epoch):
        return np.random.default_rng([seed, epoch, 1, k]).permutation(self._lengths[k])


def check_weights(weights: Mapping[str, float]) -> None:
    """Raises UserError: a weight is not positive, or they do not sum to 1."""
    text = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
    if any(not weight > 0 for weight in weights.values()):
        raise UserError(f"config.data.sets: weights must be more than 0, got {text}")
    total = sum(weights.values())
    if abs(total - 1) > 1e-6:
        raise UserError(
            f"config.data.sets: the weights are {text}, which sum to {total:g}; they are shares of "
            "what is trained on and must sum to 1"
        )


def share_block(weights: list[float]) -> Int[np.ndarray, " n"]:
    """How many samples of a block each weight gets; the largest remainders are rounded up, and
    nobody goes without."""
    exact = np.asarray(weights) * BLOCK
    counts = np.maximum(np.floor(exact), 1).astype(int)
    order = np.argsort(counts - exact, kind="stable")
    for k in order[: max(0, BLOCK - counts.sum())]:
        counts[k] += 1
    counts[np.argmax(counts)] -= counts.sum() - BLOCK
    return counts


def unlabelled_joints(source: Any, skeleton: Skeleton) -> list[str]:
    """The joints of the skeleton that the set of a source's first readable sample never labels."""
    for index in range(len(source)):
        try:
            labelled = source[index]["labelled"]
        except BadSampleError:
            continue  # the loader says which and counts them
        return [name for name, known in zip(skeleton.joints, labelled, strict=True) if not known]
    return []
