"""Opens the source of samples that a config names."""

import concurrent.futures
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from danceflax.data import mpii
from danceflax.data.clips import ClipSource, check_classes
from danceflax.data.coco import CocoSource
from danceflax.data.folds import split_folds
from danceflax.data.frames import LetsDanceSource
from danceflax.data.mix import MixedSource, check_weights, unlabelled_joints
from danceflax.errors import BadSampleError, UserError
from danceflax.external import is_external, load_object
from danceflax.io.console import console
from danceflax.skeleton import Skeleton

Fields = ConfigDict | Mapping[str, Any]  # `config.data`
SOURCES, CLIP_SOURCES = ("folder", "tfds", "coco", "mpii"), ("folder",)


def open_sets(config: Fields, skeleton: Skeleton) -> tuple[Any, dict[str, Any]]:
    """What a pose training reads, of one set or of several mixed.

    A set that never labels a joint of the skeleton is said once: that joint's channels do not count
    in its samples.

    Args:
      config: `config.data`. Where its `sets` names any, each is a dict of the fields in which it
        differs from `config` itself, and `weight`, its share of what is trained on; 0 and an empty
        `val_split` leave it out of training and of validation.
      skeleton: the `Skeleton` of the records.

    Returns:
      (the source to train on, {set's name: source to validate on}); one set alone is called "".

    Raises:
      UserError: as `open_source`; or the weights do not sum to 1.
    """
    own = {key: config[key] for key in config if key != "sets"}
    sets = {name: own | dict(changes) for name, changes in config.get("sets", {}).items()}
    sets = {name: ConfigDict(fields) for name, fields in (sets or {"": own}).items()}
    weights = {name: fields.get("weight", 1.0) for name, fields in sets.items()}
    weights = {name: weight for name, weight in weights.items() if weight != 0}
    check_weights(weights)
    training = {
        name: open_source(sets[name], sets[name].train_split, skeleton, training=True)
        for name in weights
    }
    for name, source in training.items():
        if lacking := unlabelled_joints(source, skeleton):
            console.print(
                f"{name or config.root} does not label {', '.join(lacking)}: these channels do not "
                "count in its samples"
            )
    validation = {
        name: open_source(fields, fields.val_split, skeleton)
        for name, fields in sets.items()
        if fields.val_split
    }
    if not validation:
        raise UserError("config.data: no set has a val_split; name what to validate on")
    mixed = MixedSource(training, weights) if len(training) > 1 else training.popitem()[1]
    return mixed, validation


def open_source(config: Fields, split: str, skeleton: Skeleton, training: bool = False) -> Any:
    """Opens one split of a data set; see docs/architecture.md for what a source gives.

    Args:
      config: `config.data`, with the fields
        source: "folder", a Let's Dance root; "tfds", the set that prepare_data.py tfds built of it;
          "coco"; "mpii"; or "package.module:function", of which
          function(config, split, skeleton, training) gives the source.
        root: the folder of the data set.
        min_confidence: for "folder" only: joints that their file's tool is less sure of do not
          count, neither as present nor as absent.
        images, annotations: for "coco" and "mpii" only, and only where they are not at
          ROOT/<split> and ROOT/annotations/person_keypoints_<split>.json, in which "{}" stands for
          the split's name; or at ROOT/images and ROOT/mpii_human_pose_v1_u12_1.mat.
      split: a split's name, or a split file's path.
      skeleton: the `Skeleton` of the records.
      training: whether to draw samples (COCO: one a main person) or to see each image once.

    Raises:
      UserError: the source is unknown, or what it should read is missing or at fault.
    """
    if config.source == "folder":
        return LetsDanceSource(config.root, split, skeleton, config.get("min_confidence", 0.0))
    if config.source == "tfds":
        from danceflax.data.tfds import TfdsSource  # takes seconds to import

        return TfdsSource(config.root, split, skeleton)
    if config.source == "coco":
        images = config.get("images") or os.path.join(config.root, "{}")
        annotations = config.get("annotations") or os.path.join(
            config.root, "annotations", "person_keypoints_{}.json"
        )
        return CocoSource(images.format(split), annotations.format(split), skeleton, training)
    if config.source == "mpii":
        images = config.get("images") or os.path.join(config.root, "images")
        annotations = config.get("annotations") or os.path.join(config.root, mpii.FILE)
        return mpii.MpiiSource(images, annotations, split, skeleton)
    if is_external(config.source):
        return load_object(config.source, "config.data.source")(config, split, skeleton, training)
    raise _unknown(config.source, SOURCES)


def open_clips(config: Fields, split: str, class_names: Sequence[str] = ()) -> Any:
    """Opens the clips of one split; see `data.clips.ClipSource` for what a source gives.

    Args:
      config: `config.data`, with the fields root, fps and
        source: "folder", a Let's Dance root; or "package.module:function", of which
          function(config, split, class_names) gives the source.
      split: a split's name, or a split file's path.
      class_names: the dances in the order of the labels; by default those of the split, sorted.

    Raises:
      UserError: the source is unknown, or what it should read is missing or at fault.
    """
    if config.source == "folder":
        return ClipSource(config.root, split, class_names, config.fps)
    if is_external(config.source):
        return load_object(config.source, "config.data.source")(config, split, class_names)
    raise _unknown(config.source, CLIP_SOURCES)


def count_people(source: Any, index: int) -> int:
    """How many people a record of a pose source has; 0 if it is bad. Own sources may have a method
    of this name, which need not read the image."""
    try:
        if hasattr(source, "count_people"):
            return source.count_people(index)
        return len(source[index]["people"])
    except BadSampleError:
        return 0


def most_people(source: Any, threads: int) -> int:
    """The most people that a record of a pose source has, at least 1, by looking at all of them."""
    with concurrent.futures.ThreadPoolExecutor(max(1, threads)) as pool:
        counts = pool.map(functools.partial(count_people, source), range(len(source)))
        return max(1, max(counts, default=1))


def open_training_clips(config: Fields, class_names: Sequence[str]) -> tuple[Any, Any]:
    """(the clips to train on, those to validate on): two splits, or, where `config.folds` is not 0,
    the other folds of the training split and its fold `config.fold`.

    Args:
      config, class_names: as for `open_clips`.

    Raises:
      UserError: as `open_clips`; or a class is missing.
    """
    train = open_clips(config, config.train_split, class_names)
    if config.folds:
        return split_folds(train, config)
    val = open_clips(config, config.val_split, train.class_names)
    check_classes(train, val)
    return train, val


def _unknown(source, known):
    return UserError(
        f"config.data.source is {source!r}; choose {' or '.join(map(repr, known))}, or name "
        "package.module:function"
    )


class Subset:
    """Part of a source: at most `limit` samples, evenly drawn; 0 means all."""

    def __init__(self, source: Any, limit: int):
        self._source = source
        self.annotations = getattr(source, "annotations", None)
        self.home = getattr(source, "home", None)
        self.skeleton = getattr(source, "skeleton", None)
        count = min(limit or len(source), len(source))
        self._indices = np.linspace(0, len(source) - 1, count).round().astype(int)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self._source[int(self._indices[i])]

    def count_people(self, i: int) -> int:
        return count_people(self._source, int(self._indices[i]))

    def __repr__(self) -> str:
        return f"{len(self)} of {self._source}"
