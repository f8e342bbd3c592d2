"""COCO person keypoints: person_keypoints_*.json and its images."""

import json
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from danceflax.data import coco_checks
from danceflax.errors import BadSampleError, UserError
from danceflax.io.images import read_image
from danceflax.skeleton import COCO17_JOINTS, FOOT_JOINTS, convert_joints

# A person to centre on has at least so many keypoints, so large a segmentation, and is so far from
# those already taken, in units of their longer side (Cao et al. 2017, the training code's rule).
MIN_KEYPOINTS, MIN_AREA, MIN_DISTANCE = 5, 32 * 32, 0.3


class CocoSource:
    """COCO images as records (docs/architecture.md); `record["id"]` is the COCO image id.

    Training has one record for each main person of an image, so that a large group is not one
    sample; images without one are left out. Evaluation has one record an image, in the file's
    order. Labels are the people with keypoints; crowds and people without keypoints are masked.

    Attributes:
      annotations: path of the annotation file, for evaluation.
      home: a folder that is there as long as the data are.
      home: a folder that is there as long as the data are.
      image_ids: [N] int, each record's image.
      skeleton: the records' skeleton.
    """

    def __init__(self, images, annotations, skeleton, training=False):
        """Reads the annotations and no image.

        Args:
          images: the folder of the images.
          annotations: a person_keypoints_*.json, with 17 keypoints a person; or with feet: 23, or
            a list `foot_kpts` of 6.
          skeleton: the `Skeleton` that records are converted to.
          training: one record a main person; else one an image.

        Raises:
          UserError: the folder or file is missing, is not in the COCO format, or holds no sample.
        """
        self.images = self.home = pathlib.Path(images)
        self.annotations = str(annotations)
        self.skeleton = skeleton
        if not self.images.is_dir():
            raise UserError(f"{images}: no such folder of images; set config.data.images")
        entries, people = _load(annotations)
        self._files = {image["id"]: image["file_name"] for image in entries}
        self._sizes = {image["id"]: (image["height"], image["width"]) for image in entries}
        self._people, self._unlabelled, samples = {}, {}, []
        for image in self._files:
            labelled = [p for p in people.get(image, ()) if _is_labelled(p)]
            unlabelled = [p for p in people.get(image, ()) if not _is_labelled(p)]
            # Compact arrays: the segmentations of labelled people are most of the file's size.
            if labelled:
                self._people[image] = [_read_person(p, annotations) for p in labelled]
            if unlabelled:
                self._unlabelled[image] = [p["segmentation"] for p in unlabelled]
            mains = select_main_people(labelled) if training else [-1]
            samples += [(image, main) for main in mains]
        if not samples:
            raise UserError(
                f"{annotations}: no person to train on: none has {MIN_KEYPOINTS} keypoints and an "
                f"area of {MIN_AREA} pixels"
            )
        self.image_ids, self._mains = np.array(samples, np.int64).T

    def __len__(self):
        return len(self.image_ids)

    def __repr__(self):
        return f"CocoSource({self.annotations}, {len(self)} samples)"

    def __getitem__(self, index):
        """Reads record `index`. Raises BadSampleError: its image cannot be read or has not the
        size that the annotations state."""
        image_id = self.image_ids[index].item()
        file = self._files[image_id]
        where = f"{self.images / file} (image {image_id} of {self.annotations})"
        people, boxes, labelled = self._labels(image_id, where)
        image = read_image(coco_checks.find_image(self.images, file, where), where)
        if image.shape[:2] != self._sizes[image_id]:
            (height, width), found = self._sizes[image_id], image.shape
            raise BadSampleError(
                f"{where}: {found[1]}x{found[0]} pixels; the annotations say {width}x{height}"
            )
        return {
            "image": image,
            "people": people,
            "boxes": boxes,
            "mask": self._mask(image_id, where),
            "labelled": labelled,
            "main": int(self._mains[index]),
            "name": file,
            "id": image_id,
        }

    def _labels(self, image_id, where):
        """people [P, J, 3], boxes [P, 4] and labelled [J]: feet count if everybody has theirs."""
        entries = self._people.get(image_id, [])
        joints = COCO17_JOINTS
        if entries and all(len(keypoints) > len(COCO17_JOINTS) for keypoints, _ in entries):
            joints = COCO17_JOINTS + FOOT_JOINTS
        coco_checks.check_people(*zip(*entries, strict=True) if entries else ((), ()), where)
        people = [keypoints[: len(joints)] for keypoints, _ in entries]
        people, labelled = convert_joints(np.array(people), joints, self.skeleton.joints)
        boxes = np.array([box for _, box in entries], np.float32).reshape(-1, 4)
        return people, boxes, labelled

    def _mask(self, image_id, where):
        """uint8 [H, W], 0 over crowds and people without keypoints; None if there are none."""
        if image_id not in self._unlabelled:
            return None
        mask = np.ones(self._sizes[image_id], np.uint8)
        for segmentation in self._unlabelled[image_id]:
            mask[coco_checks.decode_mask(segmentation, *mask.shape, where)] = 0
        return mask


def image_ids(
    images: Sequence[pathlib.Path], annotations: str | os.PathLike | None = None
) -> dict[str, int]:
    """{stem: COCO image id} of image files.

    Args:
      images: the files.
      annotations: a COCO file that lists them; without it, names that are numbers are the ids, as
        000000000139.jpg and COCO_val2014_000000000139.jpg, and of others there are none.

    Raises:
      UserError: the COCO file cannot be read, or lacks an image.
    """
    if not annotations:
        found = {path.stem: re.fullmatch(r"(?:COCO_\w+_)?(\d+)", path.stem) for path in images}
        ids = {stem: int(match[1]) for stem, match in found.items() if match}
        return ids if len(set(ids.values())) == len(images) else {}
    try:
        entries = json.loads(pathlib.Path(annotations).read_text(encoding="utf-8-sig"))["images"]
        known = {pathlib.PurePath(entry["file_name"]).name: int(entry["id"]) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{annotations}: is not a COCO file with images ({error!r})") from None
    for path in images:
        if path.name not in known:
            raise UserError(f"{annotations}: lists no image {path.name}")
    return {path.stem: known[path.name] for path in images}


def select_main_people(people):
    """Indices of the people to centre on, of one image's annotations, in their order."""
    chosen, taken = [], []
    for index, person in enumerate(people):
        if person["num_keypoints"] < MIN_KEYPOINTS or person["area"] < MIN_AREA:
            continue
        x, y, width, height = person["bbox"]
        center = np.array([x + width / 2, y + height / 2])
        if any(np.linalg.norm(center - other) < MIN_DISTANCE * size for other, size in taken):
            continue
        taken.append((center, max(width, height)))
        chosen.append(index)
    return chosen


def _is_labelled(person):
    return person.get("num_keypoints", 0) > 0 and not person.get("iscrowd")


def _read_person(person, path):
    """(keypoints float32 [17 or 23, 3], box float32 [4]) of an annotation."""
    values = person["keypoints"] + person.get("foot_kpts", [])
    counts = [3 * len(COCO17_JOINTS), 3 * len(COCO17_JOINTS + FOOT_JOINTS)]
    if len(values) not in counts:
        raise UserError(
            f"{path}: annotation {person['id']} has {len(values) / 3:g} keypoints; expected 17, or "
            f"23 with feet"
        )
    with np.errstate(over="ignore"):  # what a float32 cannot hold is refused with its image
        return np.array(values, np.float32).reshape(-1, 3), np.array(person["bbox"], np.float32)


def _load(path):
    """The images of an annotation file, and its people by image id."""
    try:
        data = json.loads(pathlib.Path(path).read_text())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    coco_checks.check_file(data, path)
    people = {}
    for person in data["annotations"]:
        people.setdefault(person["image_id"], []).append(person)
    return data["images"], people
