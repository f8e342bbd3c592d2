"""Clips as sequences of frames, one example a clip, in the split files' order."""

import os

import numpy as np
import tensorflow_datasets as tfds

from danceflax.data.frames import list_frames
from danceflax.data.root import FRAME_FOLDERS, find_folder
from danceflax.data.splits import group_frames
from danceflax.io.images import decode_image, read_bytes
from danceflax.prepare.tfds.root_splits import BadFrames, list_dances, list_splits


class VideoClips(tfds.core.GeneratorBasedBuilder):
    """The clips of a Let's Dance root.

    Frames are their files, byte for byte, so reading a few of a clip decodes a few. Numbers have
    the gaps of the root, and unreadable frames become gaps; a clip without any frame is left out.
    """

    progress = None  # called as progress(done, total) after each example

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir is the Let's Dance root; see data/README.md."

    def _info(self):
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "frames": tfds.features.Sequence(tfds.features.Image()),
                    "numbers": tfds.features.Tensor(
                        shape=(None,), dtype=np.int32, doc="frame numbers, as in the files' names"
                    ),
                    "clip": tfds.features.Text(doc="<video>_<start second>"),
                    "dance": tfds.features.Text(),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        root = os.fspath(dl_manager.manual_dir)
        list_dances(root)
        return {name: self._generate_examples(root, file) for name, file in list_splits(root)}

    def _generate_examples(self, root, split_file):
        folder = os.path.join(root, find_folder(root, FRAME_FOLDERS))
        frames = list_frames(root, split_file)
        bad = BadFrames(len(frames.files))
        clips = group_frames(frames)
        for key, clip in enumerate(clips):
            numbers, images = [], []
            for number in clip.frames.tolist():
                path = os.path.join(folder, clip.dance, f"{clip.name}_{number.decode()}.jpg")
                with bad.skip():
                    image = read_bytes(path, path)
                    decode_image(image, path)
                    images.append(image)
                    numbers.append(int(number))
            if images:
                yield (
                    key,
                    {
                        "frames": images,
                        "numbers": np.array(numbers, np.int32),
                        "clip": clip.name,
                        "dance": clip.dance,
                    },
                )
            if self.progress:
                self.progress(key + 1, len(clips))
