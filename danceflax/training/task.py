"""What a side of the project brings to a training: all that `training/train.py` does not know."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

Batches = Iterator[tuple[dict[str, np.ndarray], list[str]]]  # (arrays [B, ...], samples' names)
# (variables) -> ({figure: number}, an RGB picture or None)
Evaluate = Callable[[Any], tuple[dict[str, float], UInt8[np.ndarray, "H W 3"] | None]]
# read(source, transform, batch_size, **options of make_loader) -> `Batches` of this process
Read = Callable[..., Batches]


class Work(NamedTuple):
    """What is repeated until the training ends.

    Attributes:
      source: of the training samples; see docs/architecture.md.
      transform: (record, rng) -> the item of a batch.
      loss: as `make_train_step` takes it.
      evaluate: figures, and a picture, of the network with these variables.
    """

    source: Any
    transform: Callable[[dict, np.random.Generator], dict[str, np.ndarray]]
    loss: Callable
    evaluate: Evaluate


class Task(NamedTuple):
    """A training, as `training/train.py` runs it.

    Attributes:
      samples: what is trained on, in the plural: "images", "clips".
      shown: the figures that go on the screen; the first, larger is better, is the score that says
        which checkpoint is best.
      variables: of the network, to start from: {"params": ..., other collections}.
      groups: {name: parameter group}; see configs/openpose_base.py.
      description: what checkpoints say of the model; see `models.registry.describe`.
      begin: (variables, read, workdir) -> `Work`, once the variables are those that the training
        goes on from; what it keeps on disk lies in the workdir.
    """

    samples: str
    shown: tuple[str, ...]
    variables: dict[str, Any]
    groups: Any  # a dict or ConfigDict of such
    description: dict[str, Any]
    begin: Callable[[Any, Read, str], Work]
