"""Clips: which there are, and which of their frames a network sees.

A clip on disk is a list of numbered frames, with gaps, at the video's own frame rate. Its record
only names them; `sample_frames` picks positions, and reading happens in `clip_inputs.py`.
"""

import collections
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from danceflax.data.clip_table import ClipNote, find_note, read_clip_table
from danceflax.data.root import FRAME_FOLDERS, KEYPOINT_FOLDERS, KEYPOINT_SUFFIXES, find_folder
from danceflax.data.splits import CLIP_LISTS, find_split, list_clips
from danceflax.errors import BadSampleError, UserError
from danceflax.io.images import IMAGE_SUFFIXES, find_image
from danceflax.io.listing import list_folder

SAMPLING = ("contiguous", "uniform")
CLIP_SECONDS = 10.0  # of every clip of Let's Dance, whatever its frame rate


class ClipSource:
    """The clips of one split, as records; of a root without frames, by its keypoint files.

    Opening reads the split file and looks at no frame. `source[i]` is a dict:

        name       str "<dance>/<clip>"
        label      int, the index of its dance in `class_names`
        where      str, what messages call it
        numbers    int [N], the frames' numbers, ascending; they may have gaps
        files      N str "<dance>/<file>" without suffix, in the same order
        suffix     str, of the first frame; `io.images.find_image` finds those that differ
        fps        float, the clip's own frames a second
        folders    {"rgb": path, "flow": path, "keypoints": path}

    Attributes:
      clips: the `splits.Clip` of each record.
      class_names: the dances, sorted; or as given.
      labels: int [N] of all clips.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        split: str,
        class_names: Sequence[str] | None = None,
        fps: float = 0.0,
    ):
        """Opens a Let's Dance root (see data/README.md).

        Args:
          root: the folder.
          split: a name ("train"), or the path of a split file of frames or of clips.
          class_names: the dances of the labels; by default those of this split.
          fps: the clips' own frames a second; 0: what ROOT/clips.csv says of each, and without it
            that every clip lasts 10 s, as in Let's Dance.

        Raises:
          UserError: no such root or split; a dance is not among class_names.
        """
        self.root, self._fps = pathlib.Path(root), fps
        self._frames = self.home = self.root / find_folder(
            root, (*FRAME_FOLDERS, *KEYPOINT_FOLDERS)
        )
        keypoints = next((f for f in KEYPOINT_FOLDERS if (self.root / f).is_dir()), "keypoints")
        self._folders = {
            "rgb": str(self._frames),
            "flow": str(self.root / "flow"),
            "keypoints": str(self.root / keypoints),
        }
        self.split_file = find_split(root, split, CLIP_LISTS)
        self.clips = list_clips(self.split_file)
        dances = sorted({clip.dance for clip in self.clips})
        self.class_names = list(class_names or dances)
        for clip in self.clips:
            if clip.dance not in self.class_names:
                raise UserError(
                    f"{self.split_file}, row {clip.row}: the dance {clip.dance!r} is not among the "
                    f"{len(self.class_names)} classes ({', '.join(self.class_names[:8])}, ...); "
                    "train on a split that has it, or leave its clips out"
                )
        self.labels = np.array([self.class_names.index(clip.dance) for clip in self.clips])
        self._table = read_clip_table(root)
        self._found = {}  # frames on disk, for lists that only count them

    def __len__(self) -> int:
        return len(self.clips)

    def __repr__(self) -> str:
        return f"ClipSource({self.root}, {self.split_file}, {len(self)} clips)"

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Record `index`. Raises BadSampleError: no frame of the clip is there."""
        clip = self.clips[index]
        where = f"{clip.dance}/{clip.name} ({self.split_file}, row {clip.row})"
        written = self._find_frames(clip) if clip.frames is None else clip.frames.tolist()
        if not written:
            raise BadSampleError(f"{where}: no frame is in {self._frames / clip.dance}")
        pairs = sorted((int(number), number.decode()) for number in written)
        numbers = np.array([number for number, _ in pairs])
        # A clip of 301 frames at 30 a second lasts 10 s: its frames include both ends.
        guess = max(1.0, round((numbers[-1] - numbers[0]) / CLIP_SECONDS))
        files = [f"{clip.dance}/{clip.name}_{text}" for _, text in pairs]
        return {
            "name": f"{clip.dance}/{clip.name}",
            "label": int(self.labels[index]),
            "where": where,
            "numbers": numbers,
            "files": files,
            "suffix": os.path.splitext(find_image(f"{self._frames}/{files[0]}.jpg"))[1],
            "fps": float(self._fps or (find_note(clip, self._table) or ClipNote()).fps or guess),
            "folders": self._folders,
        }

    def _find_frames(self, clip):
        if clip.dance not in self._found:
            found = collections.defaultdict(list)
            for name in list_folder(self._frames / clip.dance):
                if stem := _frame_stem(name):
                    found[stem.rpartition("_")[0]].append(stem.rpartition("_")[2].encode())
            self._found[clip.dance] = found
        return [n for n in self._found[clip.dance].get(clip.name, []) if n.isdigit()]


def _frame_stem(name):
    """The name of a frame's or keypoint file without suffix; "" of another file."""
    suffixes = (s for s in (*KEYPOINT_SUFFIXES[::-1], *IMAGE_SUFFIXES) if name.lower().endswith(s))
    suffix = next(suffixes, None)
    return name[: -len(suffix)] if suffix else ""


def check_classes(train: Any, val: Any) -> None:
    """Raises UserError: fewer than two classes, or a split has no clip of some class."""
    if len(train.class_names) < 2:
        raise UserError(f"{train.split_file}: one dance only; a classifier needs two or more")
    for source in (train, val):
        absent = sorted(set(range(len(train.class_names))) - set(source.labels.tolist()))
        if absent:
            names = ", ".join(train.class_names[k] for k in absent)
            raise UserError(
                f"{source.split_file}: has no clip of {names}; every split needs clips of each of "
                f"the {len(train.class_names)} classes"
            )


def sample_frames(
    numbers: Int[np.ndarray, " N"] | Sequence[int],
    native_fps: float,
    *,
    length: int,
    fps: float = 25.0,
    stride: int = 1,
    sampling: str = "contiguous",
    clips: int = 1,
    rng: np.random.Generator | None = None,
) -> Int[np.ndarray, "clips length"]:
    """Picks the frames of clips of `length` frames.

    "contiguous": `length` frames `stride` / `fps` seconds apart; with rng from a random start, else
    `clips` windows spread evenly from the first possible start to the last. What is shorter than
    that is padded by playing it again from its beginning.
    "uniform": the whole is cut into `length` equal segments with a frame of each (Wang et al. 2016,
    temporal segment networks); with rng a random one, else the k-th of `clips` steps.

    A frame that is missing is stood in for by the nearest one that is there.

    Args:
      numbers: of the frames, ascending.
      native_fps: how many of them make a second.
      length: T, frames a clip.
      fps: frames a second to resample to; 0 keeps the native rate. "uniform" does without.
      stride: every stride-th of the resampled frames.
      sampling: as above.
      clips: how many clips, without rng.
      rng: for one random clip.

    Returns:
      Indices into `numbers`.
    """
    if sampling not in SAMPLING:
        raise UserError(f"config.clip.sampling {sampling!r}; choose {' or '.join(SAMPLING)}")
    numbers = np.asarray(numbers)
    extent = numbers[-1] - numbers[0] + 1  # native frames, gaps included
    k = np.arange(length)
    if sampling == "uniform":
        within = rng.random((1, length)) if rng else (np.arange(clips)[:, None] + 0.5) / clips
        wanted = np.floor((k + within) * extent / length)
    else:
        step = stride * (native_fps / fps if fps else 1.0)
        room = max(0.0, extent - 1 - (length - 1) * step)
        starts = rng.uniform(0, room, 1) if rng else _spread(room, clips)
        wanted = np.rint(starts[:, None] + k * step) % extent
    return nearest(numbers, numbers[0] + wanted.astype(int))


def nearest(
    numbers: Int[np.ndarray, " N"], wanted: Int[np.ndarray, "*wanted"]
) -> Int[np.ndarray, "*wanted"]:
    """Indices of the ascending `numbers` nearest to the wanted ones; of two, the earlier."""
    right = np.clip(np.searchsorted(numbers, wanted), 1, max(1, len(numbers) - 1))
    right = np.minimum(right, len(numbers) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(wanted - numbers[left] <= numbers[right] - wanted, left, right)


def _spread(room, clips):
    """`clips` numbers from 0 to room; the middle if it is one."""
    return np.linspace(0, room, clips) if clips > 1 else np.array([room / 2])
