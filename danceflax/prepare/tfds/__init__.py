"""ArrayRecord sets of a Let's Dance root, built and read by tensorflow-datasets, no TensorFlow.

`build` makes a set, `open_set` opens one; the builders are plain `GeneratorBasedBuilder`s, so that
`tfds` itself reads what they wrote (`tfds.builder_from_directory`).
"""

import contextlib
import logging
import tempfile

import tensorflow_datasets as tfds
from etils import epath

from danceflax.errors import UserError
from danceflax.prepare.tfds.pose_frames import PoseFrames
from danceflax.prepare.tfds.video_clips import VideoClips

BUILDERS = {"pose_frames": PoseFrames, "video_clips": VideoClips}
FOLDER = "tfds"  # of a root, where its sets are by default


def build(name, root, output=None, progress=None):
    """Builds a set, whole or not at all; one that is there already is left as it is.

    Args:
      name: a key of BUILDERS.
      root: a Let's Dance root, the builder's manual_dir.
      output: where to, a local or gs:// path; ROOT/tfds by default.
      progress: called as progress(done, total) after each example of a split.

    Returns:
      The `tfds.core.DatasetInfo`.

    Raises:
      UserError: the name is not known, the root or a split file is at fault, a frame cannot be read
        or the output cannot be written.
    """
    if name not in BUILDERS:
        raise UserError(f"set {name!r} is not known; choose {' or '.join(BUILDERS)}")
    output = epath.Path(output or epath.Path(root) / FOLDER)
    tfds.disable_progress_bar()  # it would fill log files
    builder = BUILDERS[name](data_dir=output, file_format="array_record")
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


class _KeepBytes(tfds.decode.SkipDecoding):
    """Leaves images encoded, alone and in sequences; for these tfds itself needs TensorFlow."""

    def decode_batch_example_np(self, examples):
        return examples


def open_set(name, root, split):
    """(random-access source of raw examples, `DatasetInfo`) of one split of a set.

    Args:
      name: a key of BUILDERS.
      root: the Let's Dance root with its tfds folder, or the folder that `build` wrote to; local or
        gs://.
      split: a split's name, "all" for every one, or a slice as tfds has it: "train[:10%]".

    Raises:
      UserError: there is no such set or split.
    """
    version = str(BUILDERS[name].VERSION)
    candidates = [epath.Path(root) / FOLDER / name / version, epath.Path(root) / name / version]
    path = next((path for path in candidates if (path / "dataset_info.json").exists()), None)
    if path is None:
        raise UserError(
            f"{candidates[0]}: there is no such set; build it: "
            f"python prepare_data.py tfds --root={root} --set={name}"
        )
    builder = tfds.builder_from_directory(path)
    decoders = {"image" if name == "pose_frames" else "frames": _KeepBytes()}
    try:
        return builder.as_data_source(split, decoders=decoders), builder.info
    except (ValueError, KeyError) as error:
        names = ", ".join(builder.info.splits)
        raise UserError(f"{path}: no split {split!r}; there are {names} ({error})") from None
