"""Several sets as one: shares, order, resuming; what each labels; what does not fit."""

import numpy as np
import pytest
from conftest import make_root
from ml_collections import ConfigDict

from danceflax.data.loader import Absence, TrainingBatches
from danceflax.data.mix import BLOCK, MixedSource, share_block
from danceflax.data.sources import open_sets, open_source
from danceflax.errors import UserError
from danceflax.skeleton import BODY25, COCO18


class Numbers:
    """A source of `count` records that say whose they are."""

    def __init__(self, name, count):
        self.name, self.count = name, count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        if not 0 <= i < self.count:
            raise IndexError(i)
        return {"name": f"{self.name}{i}"}


def mixed(**weights):
    return MixedSource({name: Numbers(name, 7 + 30 * i) for i, name in enumerate(weights)}, weights)


def names(source, seed, start, stop):
    batches = TrainingBatches(source, lambda record, rng: {"x": np.zeros(1)}, 10, seed)
    return [name for step in range(start, stop) for name in batches[step][1]]


def test_shares_are_exact_and_every_sample_comes_once_an_epoch():
    source = mixed(a=0.2, b=0.5, c=0.3)
    drawn = names(source, 3, 0, 2 * BLOCK // 10)
    owners = np.array([name[0] for name in drawn])
    for name, share in (("a", 200), ("b", 500), ("c", 300)):
        assert (owners[:BLOCK] == name).sum() == (owners[BLOCK:] == name).sum() == share
        own, length = [x for x in drawn if x[0] == name], len(source.sources[name])
        for epoch in range(len(own) // length):
            assert len(set(own[epoch * length : (epoch + 1) * length])) == length
    a = [x for x in drawn if x[0] == "a"]
    assert a[:7] != a[7:14]  # a new order each epoch
    runs = np.diff(np.flatnonzero(owners == "a"))
    assert 1 < runs.max() < 60  # spread, not in a row


def test_the_order_is_a_function_of_seed_and_step():
    whole = names(mixed(a=0.25, b=0.75), 5, 0, 130)
    assert names(mixed(a=0.25, b=0.75), 5, 57, 130) == whole[570:]
    assert names(mixed(a=0.25, b=0.75), 6, 0, 130) != whole


@pytest.mark.parametrize("weights", [(1 / 3,) * 3, (0.999, 0.0005, 0.0005), (0.6, 0.4)])
def test_a_block_is_shared_out_whole(weights):
    counts = share_block(list(weights))
    assert counts.sum() == BLOCK and counts.min() >= 1
    np.testing.assert_allclose(counts / BLOCK, weights, atol=2 / BLOCK)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 0.5, "b": 0.6}, "the weights are a 0.5, b 0.6, which sum to 1.1; they are shares"),
        ({"a": 1.5, "b": -0.5}, "weights must be more than 0, got a 1.5, b -0.5"),
        ({"a": float("nan"), "b": 0.5}, "weights must be more than 0, got a nan, b 0.5"),
    ],
)
def test_weights_that_do_not_sum_are_answered(weights, message):
    with pytest.raises(UserError, match=message):
        mixed(**weights)


def data_config(tmp_path, **sets):
    fields = dict(source="folder", train_split="train", val_split="train", images="")
    return ConfigDict(fields | {"root": str(tmp_path / "a"), "annotations": "", "sets": sets})


def test_sets_differ_where_they_say_so(tmp_path, capsys):
    make_root(tmp_path / "a", 5)
    make_root(tmp_path / "b", 9, dance="waltz", seed=1)
    config = data_config(
        tmp_path,
        ours={"weight": 0.25},
        theirs={"weight": 0.75, "root": str(tmp_path / "b"), "val_split": ""},
        seen={"weight": 0.0, "root": str(tmp_path / "b")},
    )
    source, validation = open_sets(config, BODY25)
    assert len(source) == 14 and {*validation} == {"ours", "seen"}
    assert [len(v) for v in validation.values()] == [5, 9]
    drawn = [source[source.draw(0, g)] for g in range(40)]
    assert {record["name"].split("/")[1] for record in drawn} == {"tango", "waltz"}
    assert not any(record["labelled"][BODY25.joints.index("left_heel")] for record in drawn)
    assert not Absence(source, 0.1).is_over()
    (tmp_path / "b").rename(tmp_path / "gone")
    with pytest.raises(UserError, match=r"/b/frames has gone and did not come back in 0.1 s"):
        Absence(source, 0.1).is_over()
    said = capsys.readouterr().out
    assert said.count("theirs does not label left_big_toe") == 1
    assert said.count("these channels do not count") == 2


def test_one_set_is_what_it_was(tmp_path, capsys):
    make_root(tmp_path / "a", 5)
    config = data_config(tmp_path)
    source, validation = open_sets(config, COCO18)
    assert type(source) is type(open_source(config, "train", COCO18))
    assert [*validation] == [""] and capsys.readouterr().out == ""
