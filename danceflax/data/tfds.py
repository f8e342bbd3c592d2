"""Pose frames from an ArrayRecord set, as the records the root itself would give."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from danceflax.data.frames import make_record
from danceflax.errors import UserError
from danceflax.io.images import decode_image
from danceflax.skeleton import Skeleton

SET, VERSION = "pose_frames", "1.0.0"
FOLDER = "tfds"  # of a root, where its set is by default


class TfdsSource:
    """One split of a `pose_frames` set, as records (docs/architecture.md).

    The files hold the frames' own bytes, which are decoded here: a record is that of
    `LetsDanceSource`, bit for bit.
    """

    def __init__(self, root: str, split: str, skeleton: Skeleton):
        """Opens a set.

        Args:
          root: the Let's Dance root or the folder that the set was built in; local or gs://.
          split: a split's name, "all", or a slice such as "train[:10%]".
          skeleton: that records are converted to.

        Raises:
          UserError: there is no such set or split.
        """
        self.root, self.split, self.skeleton = root, split, skeleton
        self._examples, _ = open_set(root, split)

    def __len__(self) -> int:
        return len(self._examples)

    def __repr__(self) -> str:
        return f"TfdsSource({self.root}, {self.split}, {len(self)} frames)"

    def count_people(self, index: int) -> int:
        """How many people record `index` has; decodes no image."""
        example = self._examples[index]
        return len(example["keypoints"]) // max(1, len(example["joints"].decode().split()))

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads record `index`. Raises BadSampleError: its image cannot be decoded."""
        example = self._examples[int(index)]
        name = example["name"].decode()
        image = decode_image(example["image"], f"{name} ({self.root}, {self.split})")
        joints = example["joints"].decode().split()
        people = np.reshape(example["keypoints"], (-1, len(joints), 3))
        return make_record(image, people, joints, self.skeleton, name, index)


class _KeepBytes(tfds.decode.SkipDecoding):
    """Leaves images encoded, alone and in sequences; for these tfds itself needs TensorFlow."""

    def decode_batch_example_np(self, examples: Any) -> Any:
        return examples


def open_set(root: str, split: str) -> tuple[Any, tfds.core.DatasetInfo]:
    """(random-access source of raw examples, their info) of one split of a set.

    Args:
      root: the Let's Dance root with its tfds folder, or the folder that the set was built in;
        local or gs://.
      split: a split's name, "all" for every one, or a slice as tfds has it: "train[:10%]".

    Raises:
      UserError: there is no such set or split.
    """
    candidates = [epath.Path(root) / FOLDER / SET / VERSION, epath.Path(root) / SET / VERSION]
    path = next((path for path in candidates if (path / "dataset_info.json").exists()), None)
    if path is None:
        raise UserError(
            f"{candidates[0]}: there is no such set; build it: "
            f"python prepare_data.py tfds --root={root}"
        )
    builder = tfds.builder_from_directory(path)
    try:
        return builder.as_data_source(split, decoders={"image": _KeepBytes()}), builder.info
    except (ValueError, KeyError) as error:
        names = ", ".join(builder.info.splits)
        raise UserError(f"{path}: no split {split!r}; there are {names} ({error})") from None
