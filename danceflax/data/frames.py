"""A Let's Dance root: frames on disk, one keypoint file each.

ROOT/frames/<dance>/<clip>_<frame>.jpg          or ROOT/rgb/...
ROOT/keypoints/<dance>/<clip>_<frame>.json      or ROOT/densepose/rgb/...; .txt as well
ROOT/pose_training_split/<split>.csv            or ROOT/videos_split/<split>_videos.csv
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from danceflax.data import splits
from danceflax.data.keypoint_files import read_keypoints
from danceflax.data.root import (
    FRAME_FOLDERS,
    KEYPOINT_FOLDERS,
    KEYPOINT_SUFFIXES,
    find_folder,
    match_keypoints,
    open_index,
)
from danceflax.errors import UserError
from danceflax.io.images import find_image, read_image
from danceflax.people import keypoint_boxes
from danceflax.skeleton import ABSENT, Skeleton, convert_joints

# A person's box is the extent of the keypoints and this fraction of its longer side on each side:
# keypoints end at the eyes and ankles, people do not.
BOX_MARGIN = 0.1


class LetsDanceSource:
    """Frames and keypoints of one split, as records (docs/architecture.md).

    Opening reads the split file and looks at no frame. A record costs one image and one keypoint
    file. A frame on which nobody was found is a record without people.

    Attributes:
      files: [N] bytes, `<dance>/<file>` of each frame; record i's name is ROOT's folder and that.
      home: a folder that is there as long as the data are.
      skeleton: the records' skeleton.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        split: str,
        skeleton: Skeleton,
        min_confidence: float = 0.0,
    ):
        """Opens a root.

        Args:
          root: the folder described above.
          split: a name ("train"), the path of a split file, or "all" for every frame there is.
          skeleton: that records are converted to.
          min_confidence: as for `read_keypoints`.

        Raises:
          UserError: no such root, folder or split file; the split file is at fault or empty.
        """
        self.root = pathlib.Path(root)
        self.skeleton, self.min_confidence = skeleton, min_confidence
        self.frame_folder = find_folder(self.root, FRAME_FOLDERS)
        self.keypoint_folder = find_folder(self.root, KEYPOINT_FOLDERS)
        self.home = self.root / self.frame_folder
        self.split_file = (
            None if split == "all" else splits.find_split(self.root, split, splits.FRAME_LISTS)
        )
        self.files, self._rows = list_frames(self.root, self.split_file)
        self._codes = match_keypoints(self.root, self.files)
        if not len(self.files):
            raise UserError(
                f"{self.split_file or self.root / self.frame_folder}: the split is empty; none of "
                f"its frames is under {self.root / self.frame_folder}"
            )

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"LetsDanceSource({self.root}, {self.split_file or 'all'}, {len(self)} frames)"

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads record `index`. Raises BadSampleError: its image or keypoints cannot be read."""
        file = self.files[index].decode()
        image_path = find_image(f"{self.root}/{self.frame_folder}/{file}")
        keypoint_path = self._find_keypoints(index, file)
        image = read_image(image_path, self._where(index, image_path))
        where = self._where(index, keypoint_path)
        people, joints = read_keypoints(keypoint_path, where, self.min_confidence)
        return make_record(
            image, people, joints, self.skeleton, f"{self.frame_folder}/{file}", index
        )

    def count_people(self, index: int) -> int:
        """How many people record `index` has; reads no image. Raises BadSampleError."""
        file = self.files[index].decode()
        path = self._find_keypoints(index, file)
        return len(read_keypoints(path, self._where(index, path))[0])

    def _find_keypoints(self, index, file):
        """The frame's keypoint file: as the index knows it, else by looking."""
        folder = f"{self.root}/{self.keypoint_folder}"
        if code := self._codes[index]:
            return f"{folder}/{os.path.splitext(file)[0]}{KEYPOINT_SUFFIXES[code - 1]}"
        return find_keypoints(folder, file)

    def _where(self, index, path):
        row = self._rows[index]
        return f"{path} ({self.split_file}, row {row})" if row else path


def find_keypoints(folder: str | os.PathLike, file: str) -> str:
    """The keypoint file of a frame `<dance>/<file>`; where it should be, if there is none."""
    stem = f"{folder}/{os.path.splitext(file)[0]}"
    for suffix in KEYPOINT_SUFFIXES:
        if os.path.exists(stem + suffix):
            return stem + suffix
    return stem + KEYPOINT_SUFFIXES[0]


def make_record(
    image: UInt8[np.ndarray, "H W 3"],
    people: Float[np.ndarray, "P n 3"],
    joints: Sequence[str],
    skeleton: Skeleton,
    name: str,
    index: int,
) -> dict[str, Any]:
    """The record (docs/architecture.md) of a frame and its people as `read_keypoints` gives them.

    People of whom the skeleton has no joint are left out.
    """
    people, labelled = convert_joints(people, joints, skeleton.joints)
    people = people[(people[..., 2] != ABSENT).any(1)]
    return {
        "image": image,
        "people": people,
        "boxes": estimate_boxes(people),
        "mask": None,
        "labelled": labelled,
        "main": -1,
        "name": name,
        "id": int(index),
    }


def estimate_boxes(people: Float[np.ndarray, "P J 3"]) -> Float[np.ndarray, "P 4"]:
    """Boxes (x, y, width, height) of people in pixels, BOX_MARGIN wider than their keypoints."""
    boxes = keypoint_boxes(people)
    margin = BOX_MARGIN * boxes[:, 2:].max(-1, keepdims=True, initial=0)
    return (boxes + margin * (-1, -1, 2, 2)).astype(np.float32)


def list_frames(
    root: str | os.PathLike, split_file: str | os.PathLike | None = None
) -> splits.Frames:
    """The frames of a split file, of either kind; every frame of the root if None.

    Only a clip list that counts frames without naming them needs a look into the root: frame
    numbers start at 0 or 1 and have gaps, so what counts is what is there. A list that names
    numbers does not say of which kind the files are; `find_image` does.
    """
    if split_file is None:
        files = open_index(root).files
        return splits.Frames(files, np.zeros(len(files), np.int32))
    if not splits.is_clip_list(split_file):
        return splits.read_frames(split_file)
    clips = splits.read_clips(split_file)
    if all(clip.frames is not None for clip in clips):
        names = [
            np.char.add(f"{clip.dance}/{clip.name}_".encode(), np.char.add(clip.frames, b".jpg"))
            for clip in clips
        ]
        rows = np.repeat([clip.row for clip in clips], [clip.num_frames for clip in clips])
        return splits.Frames(np.concatenate(names), rows.astype(np.int32))
    clip_rows = {f"{clip.dance}/{clip.name}".encode(): clip.row for clip in clips}
    files = open_index(root).files
    rows = [clip_rows.get(file.rpartition(b"_")[0], 0) for file in files.tolist()]
    rows = np.array(rows, np.int32)
    return splits.Frames(files[rows > 0], rows[rows > 0])
