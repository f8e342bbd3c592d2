"""Bootstrap intervals against scipy's."""

import numpy as np
import scipy.stats

from danceflax.report.bootstrap import find_intervals


def test_interval_of_a_mean_is_scipy_s():
    values = np.random.default_rng(0).gamma(2.0, 1.0, 200)
    other = values + 0.1 + np.random.default_rng(1).normal(0, 0.2, 200)
    measures = [lambda w, x=x: {"mean": float(w @ x / w.sum())} for x in (values, other)]
    found = find_intervals(measures, list(range(200)), 4000)
    for sample, interval in (
        (values, found.runs[0]["mean"]),
        (other - values, found.difference["mean"]),
    ):
        options = dict(method="percentile", n_resamples=4000, rng=np.random.default_rng(2))
        expected = scipy.stats.bootstrap((sample,), np.mean, **options).confidence_interval
        width = expected.high - expected.low
        np.testing.assert_allclose(interval, expected, atol=0.08 * width)


def test_groups_are_drawn_whole():
    seen = []
    groups = ["a", "b", "a", "c", "b"]
    find_intervals([lambda w: seen.append(w) or {"n": 1.0}], groups, 20)
    for weights in seen:
        assert weights[0] == weights[2] and weights[1] == weights[4]
        assert weights[0] + weights[1] + weights[3] == 3
    assert find_intervals([lambda w: {"n": 1.0}], ["a", "a"]).runs == [{}]
