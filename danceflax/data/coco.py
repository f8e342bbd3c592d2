"""COCO keypoints: an annotation file and its images."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from danceflax.data import coco_checks
from danceflax.data.coco_files import COCO17, Person, cover, read_coco
from danceflax.errors import BadSampleError, UserError
from danceflax.io.images import read_image
from danceflax.skeleton import Skeleton, convert_joints

# A person to centre on has at least so many keypoints, so large a segmentation, and is so far from
# those already taken, in units of their longer side (Cao et al. 2017, the training code's rule).
MIN_KEYPOINTS, MIN_AREA, MIN_DISTANCE = 5, 32 * 32, 0.3


class CocoSource:
    """COCO images as records (docs/architecture.md); `record["id"]` is the COCO image id.

    Training has one record for each main person of an image, so that a large group is not one
    sample; images without one are left out. Evaluation has one record an image, in the file's
    order. Labels are the people with keypoints; crowds and people without keypoints are masked.
    Joints that the file's category does not list are unlabelled.

    Attributes:
      annotations: path of the annotation file, for evaluation by pycocotools; None where it cannot
        be measured against as it is: it has other joints than COCO's 17, or gaps.
      home: a folder that is there as long as the data are.
      image_ids: [N] int, each record's image; counted where the file's ids are no numbers.
      skeleton: the records' skeleton.
    """

    def __init__(
        self,
        images: str | os.PathLike,
        annotations: str | os.PathLike,
        skeleton: Skeleton,
        training: bool = False,
    ):
        """Reads the annotations and no image.

        Args:
          images: the folder of the images.
          annotations: a person_keypoints_*.json. Its category says which joints people have; else
            they are COCO's 17, or with feet 23, or a list `foot_kpts` of 6 more.
          skeleton: that records are converted to.
          training: one record a main person; else one an image.

        Raises:
          UserError: the folder or file is missing, is not in the COCO format, has no joint of the
            skeleton, or holds no sample.
        """
        self.images = self.home = pathlib.Path(images).expanduser()
        self.skeleton = skeleton
        if not self.images.is_dir():
            raise UserError(f"{images}: no such folder of images; set config.data.images")
        self._path = annotations
        self._images, people, complete = read_coco(annotations)
        self.annotations = str(annotations) if complete else None
        listed = [p.joints for found in people.values() for p in found if p.joints]
        self._joints = _common(listed) if listed else COCO17
        if listed and not self._convert([], self._joints)[1].any():
            names = ", ".join(self._joints) or "no joint of everybody"
            raise UserError(f"{annotations}: labels {names}; none is a joint of {skeleton.name}")
        numeric = all(isinstance(image.id, int) for image in self._images)
        self._ids = [image.id if numeric else n for n, image in enumerate(self._images)]
        self._people, self._others, samples = [], [], []
        for number, image in enumerate(self._images):
            found = people.get(image.id, ())
            self._people.append([p for p in found if p.keypoints is not None])
            self._others.append([p for p in found if p.keypoints is None])
            mains = select_main_people(self._people[-1]) if training else [-1]
            samples += [(number, main) for main in mains]
        if not samples:
            raise UserError(
                f"{annotations}: no person to train on: none has {MIN_KEYPOINTS} keypoints and an "
                f"area of {MIN_AREA} pixels"
            )
        self._numbers, self._mains = np.array(samples, np.int64).T
        self.image_ids = np.array(self._ids, np.int64)[self._numbers]

    def __len__(self) -> int:
        return len(self.image_ids)

    def __repr__(self) -> str:
        return f"CocoSource({self._path}, {len(self)} samples)"

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads record `index`. Raises BadSampleError: its image cannot be read or has not the
        size that the annotations state."""
        number = self._numbers[index].item()
        _, file, size = self._images[number]
        where = f"{self.images / file} (image {self._images[number].id} of {self._path})"
        people, boxes, labelled = self._labels(number, where)
        image = read_image(coco_checks.find_image(self.images, file, where), where)
        if size and image.shape[:2] != size:
            raise BadSampleError(
                f"{where}: {image.shape[1]}x{image.shape[0]} pixels; the annotations say "
                f"{size[1]}x{size[0]}"
            )
        return {
            "image": image,
            "people": people,
            "boxes": boxes,
            "mask": self._mask(number, image.shape[:2], where),
            "labelled": labelled,
            "main": int(self._mains[index]),
            "name": file,
            "id": self._ids[number],
        }

    def count_people(self, index: int) -> int:
        """How many people record `index` has; reads no image."""
        return len(self._people[self._numbers[index]])

    def _labels(self, number, where):
        """people [P, J, 3], boxes [P, 4] and labelled [J]: what is labelled of everybody counts."""
        entries = self._people[number]
        coco_checks.check_people([p.keypoints for p in entries], [p.box for p in entries], where)
        joints = _common([p.joints for p in entries]) if entries else self._joints
        boxes = np.array([p.box for p in entries], np.float32).reshape(-1, 4)
        people, labelled = self._convert(entries, joints)
        return people, boxes, labelled

    def _convert(self, entries, joints):
        """`convert_joints` of `Person`s with those joints, among others, to the skeleton."""
        points = [p.keypoints[[p.joints.index(joint) for joint in joints]] for p in entries]
        points = np.array(points).reshape(len(entries), len(joints), 3)
        return convert_joints(points, joints, self.skeleton.joints)

    def _mask(self, number, shape, where):
        """uint8 [H, W], 0 over crowds and people without keypoints; None if there are none."""
        if not self._others[number]:
            return None
        mask = np.ones(shape, np.uint8)
        for person in self._others[number]:
            cover(mask, person, where)
        return mask


def select_main_people(people: Sequence[Person]) -> list[int]:
    """Indices of the people of one image to centre on, in their order."""
    chosen, taken = [], []
    for index, person in enumerate(people):
        if (person.keypoints[:, 2] > 0).sum() < MIN_KEYPOINTS or person.area < MIN_AREA:
            continue
        center = person.box[:2] + person.box[2:] / 2
        if any(np.linalg.norm(center - other) < MIN_DISTANCE * size for other, size in taken):
            continue
        taken.append((center, max(person.box[2:])))
        chosen.append(index)
    return chosen


def _common(lists):
    """The joints that are in all of the lists, in the order of the first."""
    distinct = list(dict.fromkeys(lists)) or [()]
    return tuple(joint for joint in distinct[0] if all(joint in own for own in distinct))
