"""MPII Human Pose: its annotations as MATLAB wrote them, and its images.

The file is `mpii_human_pose_v1_u12_1.mat` (http://human-pose.mpi-inf.mpg.de, simplified BSD).
"""

import os
import pathlib
from typing import Any

import numpy as np
import scipy.io

from danceflax.data.frames import estimate_boxes
from danceflax.errors import UserError
from danceflax.io.images import read_image
from danceflax.skeleton import OCCLUDED, VISIBLE, Skeleton, convert_joints

FILE = "mpii_human_pose_v1_u12_1.mat"
# In the order of the file's ids. Its neck is above the shoulders', so ours is derived from these.
JOINTS = (
    "right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax upper_neck "
    "head_top right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist"
).split()
SPLITS = ("train", "val", "all")
VAL_EVERY = 10  # one video of so many is validated on
PERSON_PIXELS = 200  # height of a person of scale 1


class MpiiSource:
    """MPII images as records (docs/architecture.md), of the images with labelled people.

    The published test images have no labels. So `val` is every tenth video of the training images,
    `train` the others, `all` both: no video is in two. People without keypoints are masked.

    Attributes:
      skeleton: the records' skeleton.
    """

    def __init__(
        self, images: str | os.PathLike, annotations: str | os.PathLike, split: str,
        skeleton: Skeleton,
    ):  # fmt: skip
        """Reads the annotations and no image.

        Raises:
          UserError: the folder or file is missing or is not MPII's, or the split is not known.
        """
        self.images, self.annotation_file = pathlib.Path(images), str(annotations)
        self.skeleton, self._split = skeleton, split
        if split not in SPLITS:
            raise UserError(f"MPII has the splits {', '.join(SPLITS)}, not {split!r}")
        if not self.images.is_dir():
            raise UserError(f"{images}: no such folder of images; set config.data.images")
        self._entries = []
        for number, entry, is_train, video in _read(annotations):
            people, unlabelled = _read_people(entry)
            wanted = split == "all" or (video % VAL_EVERY == 0) == (split == "val")
            if is_train and wanted and len(people):
                name = str(entry["image"]["name"])
                self._entries.append((number, name, people, unlabelled))
        if not self._entries:
            raise UserError(f"{annotations}: the split {split!r} has no image with keypoints")

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"MpiiSource({self.annotation_file}, {self._split}, {len(self)} images)"

    def count_people(self, index: int) -> int:
        """How many people record `index` has; reads no image."""
        return len(self._entries[index][2])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads record `index`. Raises BadSampleError: its image cannot be read."""
        number, name, people, unlabelled = self._entries[index]
        path = self.images / name
        image = read_image(path, f"{path} (image {number + 1} of {self.annotation_file})")
        boxes = estimate_boxes(people)
        people, labelled = convert_joints(people, JOINTS, self.skeleton.joints)
        return {
            "image": image,
            "people": people,
            "boxes": boxes,
            "mask": _mask(image.shape[:2], unlabelled),
            "labelled": labelled,
            "main": -1,
            "name": name,
            "id": index,
        }


def _read(path):
    """(number, annotation, whether it is a training image, its video) of each image."""
    try:
        with open(path, "rb"):  # scipy's own message says less
            pass
        release = scipy.io.loadmat(path, simplify_cells=True)["RELEASE"]
        entries, train = _listed(release["annolist"]), np.atleast_1d(release["img_train"])
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (KeyError, TypeError, ValueError, NotImplementedError) as error:
        raise UserError(f"{path}: not MPII's annotations ({error}); expected {FILE}") from None
    for number, entry in enumerate(entries):
        video = entry.get("vididx", number)
        yield number, entry, bool(train[number]), int(video if np.size(video) else number)


def _read_people(entry):
    """([P, 16, 3] people with keypoints, [(x, y, side)] squares around those without)."""
    people, unlabelled = [], []
    for person in _listed(entry.get("annorect", ())):
        points = _listed(person.get("annopoints", ()))
        points = _listed(points[0].get("point", ())) if points else []
        if points:
            joints = np.zeros((len(JOINTS), 3), np.float32)
            for point in points:
                visible = np.atleast_1d(point.get("is_visible", 1))
                hidden = visible.size == 1 and str(visible[0]) == "0"
                joints[int(point["id"])] = point["x"], point["y"], OCCLUDED if hidden else VISIBLE
            people.append(joints)
        elif isinstance(person.get("objpos"), dict):
            center, side = person["objpos"], PERSON_PIXELS * float(person["scale"])
            unlabelled.append((float(center["x"]), float(center["y"]), side))
    return np.array(people, np.float32).reshape(-1, len(JOINTS), 3), unlabelled


def _mask(shape, squares):
    if not squares:
        return None
    mask = np.ones(shape, np.uint8)
    for x, y, side in squares:
        low = np.maximum(0, np.round([y - side / 2, x - side / 2])).astype(int)
        high = np.maximum(0, np.round([y + side / 2, x + side / 2])).astype(int)
        mask[low[0] : high[0], low[1] : high[1]] = 0
    return mask


def _listed(value):
    """A struct array as a list of dicts; MATLAB writes one struct and none in ways of their own."""
    if isinstance(value, dict):
        return [value]
    return [item for item in np.atleast_1d(np.asarray(value, object)) if isinstance(item, dict)]
