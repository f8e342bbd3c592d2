"""Samples to batches: order and chance are functions of (seed, step), threads only save time.

Sample g of a run, counted over all epochs, batches and processes, is drawn and augmented from
(seed, g) alone. So a batch can be made again from its step, a resumed run goes on exactly, and
neither threads nor the number of processes change what is learned.
"""

import functools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import grain
import numpy as np

from danceflax.errors import BadSampleError, UserError

# Bad samples are compared with the allowed fraction of at least so many, so that one early does
# not stop a long run; or of the whole source, if that is smaller.
MIN_SEEN = 1000
NUM_LISTED = 5  # bad samples in the final message


class TrainingBatches:
    """`batches[step]` is (batch, names) of any step, for this process; there is no last one.

    The batch holds arrays [B / process_count, ...], of as many names.
    """

    def __init__(
        self,
        source: Any,
        transform: Callable[..., dict[str, Any]],
        batch_size: int,
        seed: int,
        *,
        process_index: int = 0,
        process_count: int = 1,
        max_bad_fraction: float = 0.01,
        patience: float = 0.0,
    ):
        """Arguments as for `make_loader`."""
        self._source, self._transform = source, transform
        self._absence = Absence(source, patience)
        self._batch_size, self._seed = batch_size, seed
        self._slots = process_slots(batch_size, process_index, process_count)
        self._permutation = functools.lru_cache(maxsize=2)(self._permute)  # two at an epoch's end
        self._bad = BadSamples(max_bad_fraction, len(source))

    def __len__(self) -> int:
        return sys.maxsize // self._batch_size

    def __getitem__(self, step: int) -> tuple[dict[str, np.ndarray], list[str]]:
        return collate([self._sample(step * self._batch_size + slot) for slot in self._slots])

    def draw(self, g: int) -> int:
        """The source's index of sample g: every index once an epoch, in an order of its own, or as
        the source itself draws."""
        if hasattr(self._source, "draw"):
            return self._source.draw(self._seed, g)
        epoch, position = divmod(g, len(self._source))
        return int(self._permutation(epoch)[position])

    def _permute(self, epoch):
        return np.random.default_rng([self._seed, epoch, 1]).permutation(len(self._source))

    def _sample(self, g):
        """(item, name) of sample g; where it is bad, of others that its own chance picks."""
        rng = np.random.default_rng([self._seed, g])
        index = self.draw(g)
        while True:
            chance = rng.bit_generator.state
            try:
                record = self._source[index]
                item = self._transform(record, rng)
            except BadSampleError as error:
                if self._absence.is_over():
                    rng.bit_generator.state = chance
                    continue
                self._bad.add(index, error)
                index = int(rng.integers(len(self._source)))
            else:
                self._bad.count()
                return item, record["name"]


class EvaluationBatches:
    """`batches[k]` is (batch, names) k of one pass in the source's order, for this process.

    Beyond the last sample, and where a sample is bad, an item is zeros with weight 0 and its name
    is empty; all processes have the same number of batches.
    """

    def __init__(
        self,
        source: Any,
        transform: Callable[..., dict[str, Any]],
        batch_size: int,
        *,
        process_index: int = 0,
        process_count: int = 1,
        max_bad_fraction: float = 0.01,
        patience: float = 0.0,
    ):
        """Arguments as for `make_loader`; transform takes the record only."""
        self._source, self._transform = source, transform
        self._absence = Absence(source, patience)
        self._batch_size = batch_size
        self._slots = process_slots(batch_size, process_index, process_count)
        self._bad = BadSamples(max_bad_fraction, len(source))

    def __len__(self) -> int:
        return -(-len(self._source) // self._batch_size)

    def __getitem__(self, k: int) -> tuple[dict[str, np.ndarray], list[str]]:
        samples = [self._sample(k * self._batch_size + slot) for slot in self._slots]
        pattern = next(filter(None, samples), None) or self._first_readable()
        blank = {key: np.zeros_like(value) for key, value in pattern[0].items()}, ""
        return collate([sample or blank for sample in samples])

    def _sample(self, index):
        if index >= len(self._source):
            return None
        try:
            record = self._source[index]
            item = self._transform(record)
        except BadSampleError as error:
            if self._absence.is_over():
                return self._sample(index)
            self._bad.add(index, error)
            return None
        self._bad.count()
        return item, record["name"]

    def _first_readable(self):
        """For a batch of nothing but padding, a sample to take the shapes from."""
        found = next(filter(None, map(self._sample, range(len(self._source)))), None)
        if found is None:
            raise UserError(f"{self._source}: no sample can be read")
        return found


class Absence:
    """Tells a sample that is bad from a data set that has gone for a while, and waits for that.

    Args:
      source: with an attribute `home`, a path that is there as long as its data are; or with
        `homes`, several.
      patience: seconds to wait; 0 does not look.
    """

    def __init__(self, source: Any, patience: float):
        homes = getattr(source, "homes", [getattr(source, "home", None)])
        self._homes, self._patience = [home for home in homes if home], patience
        self._lock = threading.Lock()

    def is_over(self) -> bool:
        """True once the data set has come back; False if it never went.

        Raises:
          UserError: it has not come back in time.
        """
        gone = [home for home in self._homes if not os.path.exists(home)]
        if not gone or not self._patience:
            return False
        with self._lock:  # one thread waits and tells; the others find it back, or wait as well
            pause, end = 0.1, time.monotonic() + self._patience
            home = gone[0]
            if not os.path.exists(home):
                logging.warning(
                    "%s has gone; waiting %g s for it to come back", home, self._patience
                )
            while not os.path.exists(home):
                if time.monotonic() > end:
                    raise UserError(
                        f"{home} has gone and did not come back in {self._patience:g} s "
                        "(config.data.patience)"
                    )
                time.sleep(pause)
                pause = min(2 * pause, 10.0)
        return True


class BadSamples:
    """Reports each unreadable sample once, and stops the run when they are too many."""

    def __init__(self, max_fraction: float, num_samples: int):
        self._max_fraction = max_fraction
        self._min_seen = min(MIN_SEEN, num_samples)
        self._seen = self._num_bad = 0
        self._messages = {}
        self._lock = threading.Lock()

    def count(self) -> None:
        """One more good sample was seen."""
        with self._lock:
            self._seen += 1

    def add(self, index: int, error: BadSampleError) -> None:
        """One more bad sample was seen. Raises UserError: they are more than the fraction."""
        with self._lock:
            self._seen += 1
            self._num_bad += 1
            if index not in self._messages:
                logging.warning("left out: %s", error)
            self._messages[index] = str(error)
            if self._num_bad > self._max_fraction * max(self._seen, self._min_seen):
                listed = "; ".join(list(self._messages.values())[:NUM_LISTED])
                raise UserError(
                    f"{self._num_bad} of {self._seen} samples cannot be used, more than "
                    f"config.data.max_bad_fraction = {self._max_fraction:g}: {listed}"
                ) from None


def load_once(source: Any, transform: Callable[..., dict[str, Any]], config: Any) -> Iterator:
    """The loader of an evaluation outside a training, by config.eval and config.data."""
    options = {key: config.data[key] for key in ("threads", "max_bad_fraction")}
    return make_loader(source, transform, config.eval.batch_size, training=False, **options)


def make_loader(
    source: Any,
    transform: Callable[..., dict[str, Any]],
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    *,
    training: bool = True,
    threads: int = 2,
    process_index: int = 0,
    process_count: int = 1,
    max_bad_fraction: float = 0.01,
    patience: float = 0.0,
) -> Iterator[tuple[dict[str, np.ndarray], list[str]]]:
    """Iterates over (batch, names), made ahead by threads.

    Training goes on for ever, from `start_step` on, in a new order each epoch; evaluation is one
    pass in the source's order (see `EvaluationBatches` for its ragged end).

    Args:
      source: gives records; see docs/architecture.md.
      transform: (record, rng) -> arrays when training; (record) -> arrays if not.
      batch_size: samples a step over all processes.
      seed: of order and transforms.
      start_step: the first step to give.
      training: whether to train or to evaluate.
      threads: that read ahead; 0 reads when asked.
      process_index, process_count: each process gets its slice of every batch.
      max_bad_fraction: share of unreadable samples to bear. They are logged once each; training
        takes another sample instead, evaluation gives weight 0.
      patience: seconds to wait for a data set that has gone as a whole; see `Absence`.

    Returns:
      An iterator of (arrays [B / process_count, ...], names).

    Raises:
      UserError: batch_size is not a multiple of process_count; while iterating, too many samples
        are unreadable.
    """
    options = dict(
        process_index=process_index,
        process_count=process_count,
        max_bad_fraction=max_bad_fraction,
        patience=patience,
    )
    if training:
        batches = TrainingBatches(source, transform, batch_size, seed, **options)
    else:
        batches = EvaluationBatches(source, transform, batch_size, **options)
    if threads:
        cv2.setNumThreads(1)  # the threads are ours: a sample each, not a slice of every image
    read = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    steps = grain.MapDataset.range(start_step, len(batches))
    return iter(steps.map(batches.__getitem__).to_iter_dataset(read))


def process_slots(batch_size: int, process_index: int, process_count: int) -> range:
    """The positions of a global batch that a process makes: contiguous, in process order, as
    devices are, so that a run's devices see the same samples however many processes hold them."""
    if batch_size % process_count:
        raise UserError(
            f"config.batch_size = {batch_size} cannot be shared by {process_count} processes; "
            f"choose a multiple"
        )
    local = batch_size // process_count
    return range(process_index * local, (process_index + 1) * local)


def collate(
    samples: Sequence[tuple[dict[str, Any], str]],
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Of (item, name) pairs: the stacked arrays, and the names."""
    items, names = zip(*samples, strict=True)
    return {key: np.stack([item[key] for item in items]) for key in items[0]}, list(names)
