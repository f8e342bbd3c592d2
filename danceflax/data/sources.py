"""Opens the source of samples that a config names."""

import os

import numpy as np

from danceflax.data.coco import CocoSource
from danceflax.data.frames import LetsDanceSource
from danceflax.errors import UserError

SOURCES = ("folder", "tfds", "coco")


def open_source(config, split, skeleton, training=False):
    """Opens one split of a data set; see docs/architecture.md for what a source gives.

    Args:
      config: `config.data`, with the fields
        source: "folder", a Let's Dance root; "tfds", the set that prepare_data.py tfds built of it;
          or "coco".
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
    raise UserError(
        f"config.data.source is {config.source!r}; choose {' or '.join(map(repr, SOURCES))}"
    )


class Subset:
    """Part of a source: at most `limit` samples, evenly drawn; 0 means all."""

    def __init__(self, source, limit):
        self._source = source
        self.annotations = getattr(source, "annotations", None)
        count = min(limit or len(source), len(source))
        self._indices = np.linspace(0, len(source) - 1, count).round().astype(int)

    def __len__(self):
        return len(self._indices)

    def __getitem__(self, i):
        return self._source[self._indices[i]]

    def __repr__(self):
        return f"{len(self)} of {self._source}"
