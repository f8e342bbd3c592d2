"""A Let's Dance root: frames on disk, one keypoint file each.

ROOT/frames/<dance>/<clip>_<frame>.jpg          or ROOT/rgb/...
ROOT/keypoints/<dance>/<clip>_<frame>.json      or ROOT/densepose/rgb/...; .txt as well
ROOT/pose_training_split/<split>.csv            or ROOT/videos_split/<split>_videos.csv
"""

import os
import pathlib

import numpy as np

from danceflax.data import splits
from danceflax.data.images import read_image
from danceflax.data.keypoint_files import read_keypoints
from danceflax.errors import UserError
from danceflax.skeleton import convert_joints

FRAME_FOLDERS = ("frames", "rgb")
KEYPOINT_FOLDERS = ("keypoints", "densepose/rgb")
KEYPOINT_SUFFIXES = (".json", ".txt", "_keypoints.json")  # the last is what OpenPose writes
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
SPLIT_FILES = ("pose_training_split/{}.csv", "videos_split/{}_videos.csv", "{}")

# A person's box is the extent of the keypoints and this fraction of its longer side on each side:
# keypoints end at the eyes and ankles, people do not.
BOX_MARGIN = 0.1


class LetsDanceSource:
    """Frames and keypoints of one split, as records (docs/architecture.md).

    Opening reads the split file and looks at no frame. A record costs one image and one keypoint
    file. A frame on which nobody was found is a record without people.

    Attributes:
      files: [N] bytes, `<dance>/<file>` of each frame; record i's name is ROOT's folder and that.
      skeleton: the records' skeleton.
    """

    def __init__(self, root, split, skeleton):
        """Opens a root.

        Args:
          root: the folder described above.
          split: a name ("train"), the path of a split file, or "all" for every frame there is.
          skeleton: the `Skeleton` that records are converted to.

        Raises:
          UserError: no such root, folder or split file; the split file is at fault or empty.
        """
        self.root = pathlib.Path(root)
        self.skeleton = skeleton
        if not self.root.is_dir():
            raise UserError(
                f"{root}: no such data root; set config.data.root to a Let's Dance root"
            )
        self.frame_folder = _find_folder(self.root, FRAME_FOLDERS)
        self.keypoint_folder = _find_folder(self.root, KEYPOINT_FOLDERS)
        self.split_file = None if split == "all" else find_split(self.root, split)
        self.files, self._rows = list_frames(self.root / self.frame_folder, self.split_file)
        if not len(self.files):
            raise UserError(
                f"{self.split_file or self.root / self.frame_folder}: the split is empty; none of "
                f"its frames is under {self.root / self.frame_folder}"
            )

    def __len__(self):
        return len(self.files)

    def __repr__(self):
        return f"LetsDanceSource({self.root}, {self.split_file or 'all'}, {len(self)} frames)"

    def __getitem__(self, index):
        """Reads record `index`. Raises BadSampleError: its image or keypoints cannot be read."""
        file = self.files[index].decode()
        image_path = f"{self.root}/{self.frame_folder}/{file}"
        keypoint_path = self._keypoint_path(file)
        image = read_image(image_path, self._where(index, image_path))
        people, joints = read_keypoints(keypoint_path, self._where(index, keypoint_path))
        people, labelled = convert_joints(people, joints, self.skeleton.joints)
        people = people[(people[..., 2] > 0).any(1)]
        return {
            "image": image,
            "people": people,
            "boxes": estimate_boxes(people),
            "mask": None,
            "labelled": labelled,
            "main": -1,
            "name": f"{self.frame_folder}/{file}",
            "id": int(index),
        }

    def _keypoint_path(self, file):
        stem = f"{self.root}/{self.keypoint_folder}/{os.path.splitext(file)[0]}"
        for suffix in KEYPOINT_SUFFIXES:
            if os.path.exists(stem + suffix):
                return stem + suffix
        return stem + KEYPOINT_SUFFIXES[0]

    def _where(self, index, path):
        row = self._rows[index]
        return f"{path} ({self.split_file}, row {row})" if row else path


def estimate_boxes(people):
    """[P, J, 3] keypoints to [P, 4] boxes (x, y, width, height) in pixels, BOX_MARGIN wider."""
    present = people[..., 2:] > 0
    low = np.where(present, people[..., :2], np.inf).min(1, initial=np.inf)
    high = np.where(present, people[..., :2], -np.inf).max(1, initial=-np.inf)
    margin = BOX_MARGIN * (high - low).max(-1, keepdims=True, initial=0)
    return np.concatenate([low - margin, high - low + 2 * margin], -1).astype(np.float32)


def find_split(root, split):
    """The split file of that name under a root, or at that path. Raises UserError: none is."""
    candidates = [pathlib.Path(root) / name.format(split) for name in SPLIT_FILES]
    for path in [*candidates, pathlib.Path(split)]:
        if path.is_file():
            return path
    raise UserError(
        f"{root}: no split {split!r}: neither {' nor '.join(map(str, candidates[:2]))} is there; "
        f'make one, or use "all"'
    )


def list_frames(folder, split_file=None):
    """The `splits.Frames` of a split file, of either kind; of every image in `folder` if None.

    Only a clip list that counts frames without naming them needs a look into the folder: frame
    numbers start at 0 or 1 and have gaps, so what counts is what is there.
    """
    if split_file is None:
        return splits.Frames(*_scan(folder, {dance: 0 for dance in sorted(_listdir(folder))}))
    if not splits.is_clip_list(split_file):
        return splits.read_frames(split_file)
    clips = splits.read_clips(split_file)
    if clips[0].frames is not None:
        names = [
            np.char.add(f"{clip.dance}/{clip.name}_".encode(), np.char.add(clip.frames, b".jpg"))
            for clip in clips
        ]
        rows = np.repeat([clip.row for clip in clips], [clip.num_frames for clip in clips])
        return splits.Frames(np.concatenate(names), rows.astype(np.int32))
    rows = {f"{clip.dance}/{clip.name}": clip.row for clip in clips}
    files, found = _scan(folder, {clip.dance: None for clip in clips}, rows)
    return splits.Frames(files, found)


def _scan(folder, dances, clip_rows=None):
    """Names and rows of the images in those dances' folders; of listed clips only, if given."""
    files, rows = [], []
    for dance in dances:
        for name in sorted(_listdir(f"{folder}/{dance}")):
            stem, suffix = os.path.splitext(name)
            row = clip_rows.get(f"{dance}/{splits.split_frame(stem)[0]}") if clip_rows else 0
            if row is not None and suffix.lower() in IMAGE_SUFFIXES:
                files.append(f"{dance}/{name}".encode())
                rows.append(row)
    return np.array(files, "S"), np.array(rows, np.int32)


def _listdir(folder):
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _find_folder(root, names):
    for name in names:
        if (root / name).is_dir():
            return name
    raise UserError(f"{root}: has no folder {' or '.join(names)}; is it a Let's Dance root?")
