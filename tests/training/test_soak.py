"""Thirty cuts of `make soak`'s two hundred, on two toys at once."""

import concurrent.futures
import random

from benchmarks import soak


def test_what_befalls_a_training_does_not_show(tmp_path):
    def cut(seed):
        folder = tmp_path / str(seed)
        folder.mkdir()
        return soak.soak("toy", 15, folder, random.Random(seed))

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for counts, starts, same in pool.map(cut, range(2)):
            assert same and counts.total() == 15 and starts > 15
