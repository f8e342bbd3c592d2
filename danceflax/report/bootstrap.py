"""How sure figures are: percentile intervals of the bootstrap (Efron 1979), groups drawn whole."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.stats import binomtest

RESAMPLES, LEVEL = 500, 95  # draws; percent that an interval covers

# (how often each sample counts) -> {figure: number}
Measure = Callable[[Int[np.ndarray, " N"]], dict[str, float]]
Interval = tuple[float, float]


class Intervals(NamedTuple):
    """{figure: (low, high)} of each run, and of the second less the first on the same draws."""

    runs: list[dict[str, Interval]]
    difference: dict[str, Interval]


def find_intervals(
    measures: Sequence[Measure], groups: Sequence, resamples: int = RESAMPLES
) -> Intervals:
    """The intervals of one run's figures, or of two runs' and their difference.

    Args:
      measures: of each run, on the same samples.
      groups: what each sample is drawn together with. Of a single group nothing can be said.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return Intervals([{} for _ in measures], {})
    rng, draws = np.random.default_rng(0), [[] for _ in measures]
    for _ in range(resamples):
        counts = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        for drawn, measure in zip(draws, measures, strict=True):
            drawn.append(measure(counts[group]))
    runs = [{name: [draw.get(name, np.nan) for draw in drawn] for name in drawn[0]}
            for drawn in draws]  # fmt: skip
    both = set(runs[0]) & set(runs[-1]) if len(runs) > 1 else ()
    difference = {name: np.subtract(runs[1][name], runs[0][name]) for name in both}
    return Intervals([_cut(run) for run in runs], _cut(difference))


def least_share(groups: int) -> float:
    """The lower end of the exact interval (Clopper and Pearson 1934) of a share, where all of so
    many groups are right: of them the bootstrap draws only right ones."""
    return float(binomtest(groups, groups).proportion_ci(LEVEL / 100, "exact").low)


def _cut(draws):
    """Percentiles; none of a figure that is the same in every draw, of which they say nothing."""
    ends = (50 - LEVEL / 2, 50 + LEVEL / 2)
    finite = {name: np.asarray(x)[np.isfinite(x)] for name, x in draws.items()}
    return {
        name: tuple(np.percentile(x, ends).tolist())
        for name, x in finite.items()
        if len(x) and np.ptp(x) > 0
    }
