import functools
import itertools
import logging
import threading

import numpy as np
import pytest
from conftest import make_root

from danceflax.data.frames import LetsDanceSource
from danceflax.data.loader import make_loader
from danceflax.errors import BadSampleError, UserError
from danceflax.pose.augment import augment, letterbox
from danceflax.skeleton import COCO18


class Source:
    """Records that hold their index; some cannot be read. Counts readings."""

    def __init__(self, size, bad=()):
        self.size, self.bad, self.read = size, set(bad), []
        self._lock = threading.Lock()

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        with self._lock:
            self.read.append(index)
        if index in self.bad:
            raise BadSampleError(f"frame {index}: cut short")
        return {"value": index, "name": str(index)}


def transform(record, rng=None):
    draw = rng.random() if rng else 0.0
    return {"value": np.int64(record["value"]), "draw": draw, "weight": np.float32(1)}


def take(count, *args, **options):
    return list(itertools.islice(make_loader(*args, **options), count))


def assert_same(batches, others):
    assert len(batches) == len(others)
    for (batch, names), (other, other_names) in zip(batches, others, strict=True):
        assert names == other_names and batch.keys() == other.keys()
        for key in batch:
            np.testing.assert_array_equal(batch[key], other[key])


@pytest.fixture(scope="module")
def letsdance(tmp_path_factory):
    root = tmp_path_factory.mktemp("letsdance")
    make_root(root, num_frames=12)
    source = LetsDanceSource(root, "train", COCO18)
    options = dict(size=(64, 64), stride=8, max_people=2)
    return source, functools.partial(augment, skeleton=COCO18, **options)


def test_batches_follow_the_contract(letsdance):
    source, transform = letsdance
    ((batch, names),) = take(1, source, transform, batch_size=4)
    shapes = {key: (value.shape, value.dtype.name) for key, value in batch.items()}
    assert shapes == {
        "image": ((4, 64, 64, 3), "uint8"),
        "people": ((4, 2, 18, 3), "float32"),
        "mask": ((4, 8, 8), "uint8"),
        "labelled": ((4, 18), "bool"),
        "weight": ((4,), "float32"),
    }
    assert all(name.startswith("frames/tango/") for name in names)


def test_resume_threads_and_processes_change_nothing(letsdance):
    source, transform = letsdance
    whole = take(9, source, transform, 4, seed=3, threads=0)
    for threads in (1, 3):
        assert_same(whole, take(9, source, transform, 4, seed=3, threads=threads))
    assert_same(whole[5:], take(4, source, transform, 4, seed=3, start_step=5))
    halves = [
        take(9, source, transform, 4, seed=3, process_index=p, process_count=2) for p in (0, 1)
    ]
    joined = [
        ({key: np.concatenate([a[key], b[key]]) for key in a}, names_a + names_b)
        for (a, names_a), (b, names_b) in zip(*halves, strict=True)
    ]
    assert_same(whole, joined)
    other = take(9, source, transform, 4, seed=4)
    assert [names for _, names in whole] != [names for _, names in other]


def test_every_epoch_sees_every_sample_once_in_another_order():
    batches = take(12, Source(20), transform, 5, seed=1)
    epochs = np.concatenate([batch["value"] for batch, _ in batches]).reshape(3, 20)
    np.testing.assert_array_equal(np.sort(epochs, 1), np.tile(np.arange(20), (3, 1)))
    assert len({tuple(epoch) for epoch in epochs}) == 3
    draws = np.concatenate([batch["draw"] for batch, _ in batches])
    assert len(set(draws)) == 60


def test_bad_samples_are_replaced_reported_once_and_counted(caplog):
    options = dict(batch_size=10, seed=2, max_bad_fraction=0.1)
    with caplog.at_level(logging.WARNING):
        batches = take(60, Source(200, bad={3, 50}), transform, threads=2, **options)
    values = np.concatenate([batch["value"] for batch, _ in batches])
    assert not {3, 50} & set(values.tolist()) and len(values) == 600
    assert sorted(r.getMessage() for r in caplog.records) == [
        "left out: frame 3: cut short",
        "left out: frame 50: cut short",
    ]
    again = take(60, Source(200, bad={3, 50}), transform, threads=0, **options)
    assert_same(batches, again)
    assert_same(
        batches[30:], take(30, Source(200, bad={3, 50}), transform, start_step=30, **options)
    )


@pytest.mark.parametrize("bad", [range(0, 100, 4), range(100)], ids=["a quarter", "all"])
@pytest.mark.parametrize("training", [True, False])
def test_too_many_bad_samples_stop_the_run(bad, training):
    with pytest.raises(UserError, match=r"max_bad_fraction = 0\.1: frame \d+: cut") as error:
        take(50, Source(100, bad), transform, 10, training=training, max_bad_fraction=0.1)
    assert "\n" not in str(error.value)
    assert not isinstance(error.value, BadSampleError)


def test_one_bad_sample_stops_a_run_that_bears_none():
    with pytest.raises(UserError, match="1 of"):
        take(20, Source(5000, {7}), transform, 500, max_bad_fraction=0)


@pytest.mark.parametrize("process_count", [1, 2])
def test_evaluation_is_one_pass_with_a_padded_end(process_count):
    seen, padding = [], 0
    for process_index in range(process_count):
        options = dict(process_index=process_index, process_count=process_count)
        source = Source(10, bad={2})
        loader = make_loader(source, transform, 4, training=False, max_bad_fraction=0.2, **options)
        batches = list(loader)
        assert len(batches) == 3
        for batch, names in batches:
            assert len(batch["value"]) == len(names) == 4 // process_count
            real = batch["weight"] > 0
            assert [bool(name) for name in names] == real.tolist()
            assert (batch["value"][~real] == 0).all()
            seen += batch["value"][real].tolist()
            padding += (~real).sum()
    assert sorted(seen) == [0, 1, 3, 4, 5, 6, 7, 8, 9] and padding == 3


def test_evaluation_reads_each_sample_once():
    source = Source(6)
    assert len(list(make_loader(source, transform, 4, training=False, threads=0))) == 2
    assert sorted(source.read) == list(range(6))


def test_letterboxed_evaluation(letsdance):
    source, _ = letsdance
    whole = functools.partial(letterbox, size=(96, 96), stride=8, max_people=2)
    batches = list(make_loader(source, whole, 8, training=False))
    assert [batch["id"].tolist() for batch, _ in batches] == [
        list(range(8)),
        [8, 9, 10, 11, 0, 0, 0, 0],
    ]
    assert batches[1][0]["weight"].tolist() == [1] * 4 + [0] * 4
    assert batches[0][0]["to_image"].shape == (8, 2, 3)


def test_batch_must_be_shared_evenly():
    with pytest.raises(UserError, match=r"batch_size = 5 cannot be shared by 2 processes"):
        make_loader(Source(10), transform, 5, process_count=2)
