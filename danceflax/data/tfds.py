"""Pose frames from an ArrayRecord set, as the records the root itself would give."""

import numpy as np

from danceflax.data.frames import make_record
from danceflax.io.images import decode_image
from danceflax.prepare.tfds import open_set


class TfdsSource:
    """One split of a `pose_frames` set, as records (docs/architecture.md).

    The files hold the frames' own bytes, which are decoded here: a record is that of
    `LetsDanceSource`, bit for bit.
    """

    def __init__(self, root, split, skeleton):
        """Opens a set.

        Args:
          root: the Let's Dance root or the folder that the set was built in; local or gs://.
          split: a split's name, "all", or a slice such as "train[:10%]".
          skeleton: the `Skeleton` that records are converted to.

        Raises:
          UserError: there is no such set or split.
        """
        self.root, self.split, self.skeleton = root, split, skeleton
        self._examples, _ = open_set("pose_frames", root, split)

    def __len__(self):
        return len(self._examples)

    def __repr__(self):
        return f"TfdsSource({self.root}, {self.split}, {len(self)} frames)"

    def __getitem__(self, index):
        """Reads record `index`. Raises BadSampleError: its image cannot be decoded."""
        example = self._examples[int(index)]
        name = example["name"].decode()
        image = decode_image(example["image"], f"{name} ({self.root}, {self.split})")
        joints = example["joints"].decode().split()
        people = np.reshape(example["keypoints"], (-1, len(joints), 3))
        return make_record(image, people, joints, self.skeleton, name, index)
