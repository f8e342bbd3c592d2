"""Opens the source of samples that a config names."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from danceflax.data.clips import ClipSource
from danceflax.data.coco import CocoSource
from danceflax.data.frames import LetsDanceSource
from danceflax.errors import UserError
from danceflax.external import is_external, load_object
from danceflax.skeleton import Skeleton

SOURCES, CLIP_SOURCES = ("folder", "tfds", "coco"), ("folder",)


def open_source(
    config: Mapping[str, Any], split: str, skeleton: Skeleton, training: bool = False
) -> Any:
    """Opens one split of a data set; see docs/architecture.md for what a source gives.

    Args:
      config: `config.data`, with the fields
        source: "folder", a Let's Dance root; "tfds", the set that prepare_data.py tfds built of it;
          "coco"; or "package.module:function", of which function(config, split, skeleton, training)
          gives the source.
        root: the folder of the data set.
        images, annotations: for "coco" only, and only where they are not at
          ROOT/<split> and ROOT/annotations/person_keypoints_<split>.json; "{}" in them stands for
          the split's name.
      split: a split's name, or a split file's path.
      skeleton: the `Skeleton` of the records.
      training: whether to draw samples (COCO: one a main person) or to see each image once.

    Raises:
      UserError: the source is unknown, or what it should read is missing or at fault.
    """
    if config.source == "folder":
        return LetsDanceSource(config.root, split, skeleton)
    if config.source == "tfds":
        from danceflax.data.tfds import TfdsSource  # takes seconds to import

        return TfdsSource(config.root, split, skeleton)
    if config.source == "coco":
        images = config.get("images") or os.path.join(config.root, "{}")
        annotations = config.get("annotations") or os.path.join(
            config.root, "annotations", "person_keypoints_{}.json"
        )
        return CocoSource(images.format(split), annotations.format(split), skeleton, training)
    if is_external(config.source):
        return load_object(config.source, "config.data.source")(config, split, skeleton, training)
    raise _unknown(config.source, SOURCES)


def open_clips(config: Mapping[str, Any], split: str, class_names: Sequence[str] = ()) -> Any:
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


def _unknown(source, known):
    return UserError(
        f"config.data.source is {source!r}; choose {' or '.join(map(repr, known))}, or name "
        "package.module:function"
    )


class Subset:
    """Part of a source: at most `limit` samples, evenly drawn; 0 means all."""

    def __init__(self, source, limit):
        self._source = source
        self.annotations = getattr(source, "annotations", None)
        self.home = getattr(source, "home", None)
        count = min(limit or len(source), len(source))
        self._indices = np.linspace(0, len(source) - 1, count).round().astype(int)

    def __len__(self):
        return len(self._indices)

    def __getitem__(self, i):
        return self._source[self._indices[i]]

    def __repr__(self):
        return f"{len(self)} of {self._source}"
