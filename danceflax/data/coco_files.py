"""COCO annotation files, as people write them: images, and people with their keypoints.

Tools leave out what they do not use, write null for it, or use names for numbers; a category lists
which joints its people have. What can be made up for is; what cannot is named.
"""

import json
import math
import os
import pathlib
import re
import typing
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from danceflax.data import coco_checks
from danceflax.data.keypoint_files import MAX_COORDINATE
from danceflax.errors import UserError
from danceflax.people import keypoint_boxes
from danceflax.skeleton import COCO17_JOINTS, FOOT_JOINTS

# Of a category that lists no joints: those that so many keypoints are.
COCO17 = tuple(COCO17_JOINTS)
JOINTS = {len(joints): joints for joints in (COCO17, COCO17 + tuple(FOOT_JOINTS))}


class Image(typing.NamedTuple):
    """An image of the file. `id` is as written; `size` is (height, width), or None if unknown."""

    id: int | str
    file: str
    size: tuple[int, int] | None


class Person(typing.NamedTuple):
    """An annotation of a person.

    Attributes:
      joints: names of the n joints that are labelled of it.
      keypoints: (x, y, visibility); nothing of crowds and of people without keypoints.
      box: (x, y, width, height); around the keypoints where the file has none.
      area: px^2; the box's where the file has none.
      region: the segmentation as written, of those without keypoints.
    """

    joints: tuple[str, ...]
    keypoints: Float[np.ndarray, "n 3"] | None
    box: Float[np.ndarray, "4"]
    area: float
    region: typing.Any


def read_coco(path: str | os.PathLike) -> tuple[list[Image], dict, bool]:
    """Reads a file.

    Returns:
      images: in the file's order.
      people: {image id: list of `Person`}, of the categories that list keypoints; without such, of
        the category "person", or of all if there are no categories.
      complete: whether pycocotools can measure against the file itself: COCO's 17 joints, numeric
        ids, nothing missing.

    Raises:
      UserError: the file is missing or not in the COCO format; an annotation is of no image of the
        file, or has not as many keypoints as its category lists.
    """
    data = _load(path)
    images, complete = [], True
    for entry in data["images"]:
        size = (entry.get("height"), entry.get("width"))
        images.append(Image(entry["id"], entry["file_name"], size if all(size) else None))
        complete &= isinstance(entry["id"], int)
    known, people = {image.id for image in images}, {}
    categories = _find_categories(data.get("categories"), path)
    complete &= set(categories or ()) == {1} == {c["id"] for c in data.get("categories") or [{}]}
    for entry in data["annotations"]:
        if entry["image_id"] not in known:
            raise UserError(f"{path}: annotation {entry.get('id')} is of no image that it lists")
        if categories is not None and entry.get("category_id") not in categories:
            continue
        listed = (categories or {}).get(entry.get("category_id"))
        person = _read_person(entry, listed, path)
        if person is None:
            continue
        people.setdefault(entry["image_id"], []).append(person)
        needed = ("bbox", "area", "num_keypoints", "id", "keypoints", "segmentation")
        complete &= all(entry.get(key) is not None for key in needed) and "iscrowd" in entry
        complete &= person.joints == COCO17
    return images, people, complete


def _load(path):
    try:
        data = json.loads(pathlib.Path(path).expanduser().read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    coco_checks.check_file(data, path)
    return data


def _find_categories(categories, path):
    """{id of a category of people: its joints or None}; None without categories: all are people."""
    if not categories:
        return None
    try:
        found = {c["id"]: tuple(map(_joint_name, c.get("keypoints") or ())) for c in categories}
        named = {c["id"]: None for c in categories if str(c.get("name")).lower() == "person"}
    except (TypeError, KeyError, AttributeError):
        raise UserError(f"{path}: categories are not a list of {{id, name, keypoints}}") from None
    people = {key: joints for key, joints in found.items() if joints} or named
    if not people:
        raise UserError(f"{path}: no category lists keypoints or is called person")
    return people


def _joint_name(name):
    """left_shoulder of "Left Shoulder" and "left-shoulder"."""
    return re.sub(r"[\s-]+", "_", str(name).strip().lower())


def _read_person(entry, listed, path):
    """The `Person` of an annotation; None where it says neither where nor who."""
    name = f"{path}: annotation {entry.get('id')}"
    values = [*(entry.get("keypoints") or ()), *(entry.get("foot_kpts") or ())]
    joints = listed if listed and len(values) == 3 * len(listed) else JOINTS.get(len(values) // 3)
    if values and (joints is None or len(values) != 3 * len(joints)):
        expected = f"the {len(listed)} of its category" if listed else "17, or 23 with feet"
        raise UserError(f"{name} has {len(values) / 3:g} keypoints; expected {expected}")
    with np.errstate(over="ignore"):  # what a float32 cannot hold is refused with its image
        keypoints = np.array(values, np.float32).reshape(-1, 3)
    labelled = bool((keypoints[:, 2] > 0).any()) and not entry.get("iscrowd")
    if entry.get("num_keypoints") == 0:
        labelled = False
    box, area = entry.get("bbox"), entry.get("area")
    if not box:
        box = keypoint_boxes(keypoints[None])[0] if labelled else None
    region = entry.get("segmentation")
    if box is None and not labelled and not region:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        box = np.array(box if box is not None else (0, 0, 0, 0), np.float32)
        area = float(box[2] * box[3]) if area is None else float(area)
    points, region = (keypoints, None) if labelled else (None, region)
    return Person(joints or (), points, box, area, region)


def cover(mask: UInt8[np.ndarray, "H W"], person: Person, where: str) -> None:
    """Sets a mask to 0 where a person without keypoints is: in its region, or else its box.

    Polygons of fewer than three points cover nothing.

    Raises:
      BadSampleError: the region is not of such a picture.
    """
    height, width = mask.shape
    region = person.region
    if isinstance(region, list):
        region = [part for part in region if not isinstance(part, list) or len(part) not in (2, 4)]
    if region:
        mask[coco_checks.decode_mask(region, height, width, where)] = 0
        return
    x, y, w, h = np.clip(np.nan_to_num(person.box), -MAX_COORDINATE, MAX_COORDINATE)
    rows = slice(max(0, math.floor(y)), max(0, math.ceil(y + h)))
    mask[rows, max(0, math.floor(x)) : max(0, math.ceil(x + w))] = 0


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
