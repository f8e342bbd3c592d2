"""Cached features on the disk: room taken at once, and no more than a training reads."""

import numpy as np
import pytest
from conftest import small_disk

from danceflax.dance import features
from danceflax.errors import UserError


def write(folder, key, count=4, channels=64):
    shape = (4, 1, 1, 8, 8, channels)

    def batches():
        yield {"weight": np.ones(4, np.float32), "label": np.zeros(4, np.int32)}, list("abcd")

    return features.write_features(folder, key, batches, lambda _: np.zeros(shape, "f"), count)


def test_a_cache_that_the_disk_cannot_hold_is_a_line_and_leaves_nothing(tmp_path):
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        with pytest.raises(UserError, match=r"key: cannot be written: No space left on device"):
            write(disk / "features", "key", count=1000)
        assert not any((disk / "features").iterdir())
        assert len(write(disk / "features", "key")) == 4


def test_a_training_keeps_the_caches_that_it_reads(tmp_path, capfd):
    for key in ("old", "train", "val"):
        write(tmp_path, key)
    (tmp_path / "notes").mkdir()
    features.remove_others(tmp_path, ["train", "val"])
    assert {path.name for path in tmp_path.iterdir()} == {"train", "val", "notes"}
    assert capfd.readouterr().out.endswith("are of other weights or settings: old\n")
