"""Five cuts of `make soak`'s two hundred, on the toy: the weights are those of a run in peace."""

import random

from benchmarks import soak


def test_what_befalls_a_training_does_not_show(tmp_path):
    counts, starts, same = soak.soak("toy", 5, tmp_path, random.Random(3))
    assert same and counts.total() == 5 and starts >= 5
