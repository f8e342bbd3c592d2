"""ArrayRecord sets of a Let's Dance root, built by tensorflow-datasets without TensorFlow.

The builder is a plain `GeneratorBasedBuilder`, so that `tfds` itself reads what it wrote
(`tfds.builder_from_directory`); `data/tfds.py` reads it here.
"""

import contextlib
import logging
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from danceflax.data.frames import find_keypoints, list_frames
from danceflax.data.keypoint_files import read_keypoints
from danceflax.data.root import FRAME_FOLDERS, KEYPOINT_FOLDERS, find_folder
from danceflax.data.splits import CLIP_LISTS, FRAME_LISTS
from danceflax.data.tfds import FOLDER, VERSION
from danceflax.errors import BadSampleError, UserError
from danceflax.io.console import console, show_progress
from danceflax.io.images import decode_image, find_image, read_bytes
from danceflax.io.listing import list_folder

# Share of unreadable frames of a split that are left out before a build is given up.
MAX_BAD_FRACTION = 0.01


def run(root: str, output: str = "") -> None:
    """Builds an ArrayRecord set of a root, for config.data.source = "tfds".

    python prepare_data.py tfds --root=data/letsdance
    python prepare_data.py tfds --root=data/letsdance --output=gs://bucket/letsdance

    Args:
      root: the data root.
      output: where to, a local or gs:// path; ROOT/tfds by default.
    """
    with show_progress("building", "examples") as progress:
        info = build(root, output or None, progress)
    counts = ", ".join(f"{name} {split.num_examples:,}" for name, split in info.splits.items())
    console.print(f"{info.data_dir}: {counts}")


def build(
    root: str, output: str | None = None, progress: Callable[[int, int], None] | None = None
) -> tfds.core.DatasetInfo:
    """Builds a set, whole or not at all; one that is there already is left as it is.

    Args:
      root: a Let's Dance root.
      output: where to, a local or gs:// path; ROOT/tfds by default.
      progress: called as progress(done, total) after each example of a split.

    Raises:
      UserError: the root or a split file is at fault, a frame cannot be read
        or the output cannot be written.
    """
    output = epath.Path(output or epath.Path(root) / FOLDER)
    tfds.disable_progress_bar()  # it would fill log files
    builder = PoseFrames(data_dir=output, file_format="array_record")
    builder.progress = progress
    if not builder.data_path.exists():
        _remove_interrupted(builder.data_path)
    with tempfile.TemporaryDirectory() as unused, contextlib.redirect_stdout(None):
        try:
            builder.download_and_prepare(
                download_dir=unused,
                download_config=tfds.download.DownloadConfig(manual_dir=root),
                file_format="array_record",
            )
        except OSError as error:
            raise UserError(f"{output}: cannot be written: {error}") from None
    return builder.info


def _remove_interrupted(path):
    """What a build leaves behind that was killed: incomplete.<letters>_<version>."""
    if path.parent.exists():
        for folder in path.parent.glob(f"incomplete.*_{path.name}"):
            logging.warning("%s: what an interrupted build left is removed", folder)
            folder.rmtree()


class PoseFrames(tfds.core.GeneratorBasedBuilder):
    """The frames of a Let's Dance root.

    The image is the frame's file, byte for byte. Keypoints keep the joints of their file, which
    `joints` names, so that the set serves any skeleton. Unreadable frames are left out and logged.
    """

    progress = None  # called as progress(done, total) after each example

    VERSION = tfds.core.Version(VERSION)
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
            path = find_image(os.path.join(root, frame_folder, file))
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


def list_splits(root: str | os.PathLike) -> list[tuple[str, pathlib.Path | None]]:
    """[(name, split file)] of a root; frame CSVs before clip lists. [("train", None)], every frame,
    if it has no split file."""
    found = {}
    for pattern in (FRAME_LISTS, CLIP_LISTS):
        before, after = pattern.split("{}")
        for path in sorted(pathlib.Path(root).glob(f"{before}*{after}")):
            name = str(path.relative_to(root)).removeprefix(before).removesuffix(after)
            found.setdefault(name, path)
    return list(found.items()) or [("train", None)]


def list_dances(root: str | os.PathLike) -> list[str]:
    """The dances of a root. Raises UserError: it is no root, or has none."""
    folder = find_folder(root, FRAME_FOLDERS)
    dances = [
        d for d in sorted(list_folder(f"{root}/{folder}")) if list_folder(f"{root}/{folder}/{d}")
    ]
    if not dances:
        raise UserError(f"{root}: there is no frame in {folder}/<dance>")
    return dances


class BadFrames:
    """Leaves out and logs unreadable frames, until they are too many."""

    def __init__(self, num_frames: int):
        self._max = MAX_BAD_FRACTION * num_frames
        self._count = 0

    @contextlib.contextmanager
    def skip(self) -> Iterator[None]:
        """A block that a BadSampleError ends early. Raises UserError: that was one too many."""
        try:
            yield
        except BadSampleError as error:
            self._count += 1
            logging.warning("left out: %s", error)
            if self._count > self._max:
                raise UserError(
                    f"{error}; that makes {self._count}, more than {MAX_BAD_FRACTION:.0%} of the "
                    "split: mend or unlist them (prepare_data.py check lists all)"
                ) from None
