"""Frames with the keypoints of their people, one example a frame, in the split files' order."""

import os

import numpy as np
import tensorflow_datasets as tfds

from danceflax.data.frames import find_keypoints, list_frames
from danceflax.data.keypoint_files import read_keypoints
from danceflax.data.root import FRAME_FOLDERS, KEYPOINT_FOLDERS, find_folder
from danceflax.io.images import decode_image, read_bytes
from danceflax.prepare.tfds.root_splits import BadFrames, list_dances, list_splits


class PoseFrames(tfds.core.GeneratorBasedBuilder):
    """The frames of a Let's Dance root.

    The image is the frame's file, byte for byte. Keypoints keep the joints of their file, which
    `joints` names, so that the set serves any skeleton. Unreadable frames are left out and logged.
    """

    progress = None  # called as progress(done, total) after each example

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir is the Let's Dance root; see data/README.md."

    def _info(self):
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(doc="an encoded JPEG or PNG"),
                    "keypoints": tfds.features.Tensor(
                        shape=(None, 3), dtype=np.float32, doc="[P * joints, 3]: x, y, visibility"
                    ),
                    "joints": tfds.features.Text(doc="names, joined by blanks"),
                    "dance": tfds.features.Text(),
                    "name": tfds.features.Text(doc="path relative to the root"),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        root = os.fspath(dl_manager.manual_dir)
        list_dances(root)
        return {name: self._generate_examples(root, file) for name, file in list_splits(root)}

    def _generate_examples(self, root, split_file):
        frame_folder = find_folder(root, FRAME_FOLDERS)
        keypoint_folder = os.path.join(root, find_folder(root, KEYPOINT_FOLDERS))
        frames = list_frames(root, split_file)
        bad = BadFrames(len(frames.files))
        for key, (file, row) in enumerate(zip(frames.files, frames.rows, strict=True)):
            file = file.decode()
            path = os.path.join(root, frame_folder, file)
            with bad.skip():
                where = f"{path} ({split_file}, row {row})" if row else path
                image = read_bytes(path, where)
                decode_image(image, where)
                people, joints = read_keypoints(find_keypoints(keypoint_folder, file))
                yield (
                    key,
                    {
                        "image": image,
                        "keypoints": people.reshape(-1, 3),
                        "joints": " ".join(joints),
                        "dance": file.partition("/")[0],
                        "name": f"{frame_folder}/{file}",
                    },
                )
            if self.progress:
                self.progress(key + 1, len(frames.files))
