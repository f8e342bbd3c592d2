"""The public way to a model: by name, or from a checkpoint that knows what it is."""

import functools
import os
from typing import Any

from danceflax.cli.compilation import choose_convolutions
from danceflax.dance.inputs import reads_sequences
from danceflax.dance.predict import DancePredictor
from danceflax.dance.sequences.predict import SequencePredictor
from danceflax.models.registry import create_model
from danceflax.pose.predict import PosePredictor
from danceflax.training.pretrained import load_checkpoint

__all__ = ["create_model", "load_checkpoint", "load_predictor"]


Predictor = PosePredictor | DancePredictor | SequencePredictor


def load_predictor(path: str | os.PathLike, **options: Any) -> Predictor:
    """A checkpoint, ready to be used: predictor(image) -> (people, scores) of a pose network,
    predictor(video) -> probabilities of a classifier.

    Args:
      path: a training's workdir, a step in it, or what convert_weights.py wrote.
      **options: of `PosePredictor`, `DancePredictor` or, where a classifier reads keypoint
        sequences, `SequencePredictor`.

    Raises:
      UserError: there is no checkpoint, or an option is out of range.
    """
    model, variables, config = load_checkpoint(path)
    kind = DancePredictor if "class_names" in config else PosePredictor
    kind = SequencePredictor if reads_sequences(config) else kind
    predictor = kind(model, variables, config, **options)
    predictor.checkpoint = os.fspath(path)
    return predictor


@functools.lru_cache(maxsize=1)
def share_predictor(run: str, path: str | os.PathLike, **options: Any) -> Predictor:
    """`load_predictor`, once a process: its tasks of a run, by whatever name, share it.

    The process may be a cluster's worker, which no script has started: it convolves as they do.
    """
    choose_convolutions()
    return load_predictor(path, **options)
