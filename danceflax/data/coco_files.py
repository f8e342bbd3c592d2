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
from pycocotools import mask as coco_mask

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
        file, or has keypoints that are not numbers or not as many as its category lists.
    """
    data = _load(path)
    images, complete = [], True
    for n, entry in enumerate(data["images"]):
        if not isinstance(entry, dict) or not {"id", "file_name"} <= set(entry):
            raise UserError(f"{path}: image {n} of the list lacks id or file_name")
        sides = (entry.get("height"), entry.get("width"))
        size = tuple(map(int, sides)) if all(map(_is_number, sides)) and all(sides) else None
        images.append(Image(entry["id"], str(entry["file_name"]), size))
        complete &= isinstance(entry["id"], int)
    known, people = {image.id for image in images}, {}
    categories = _find_categories(data.get("categories"), path)
    complete &= set(categories or ()) == {1} == {c["id"] for c in data.get("categories") or [{}]}
    for entry in data["annotations"]:
        if not isinstance(entry, dict) or entry.get("image_id") not in known:
            name = entry.get("id") if isinstance(entry, dict) else entry
            raise UserError(f"{path}: annotation {name} is of no image that the file lists")
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
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    keys = ("images", "annotations")
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in keys):
        raise UserError(f"{path}: not in the COCO format; expected the keys images and annotations")
    if not data["images"]:
        raise UserError(f"{path}: lists no image")
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
    try:
        keypoints = np.array(values, np.float32).reshape(-1, 3)
    except (TypeError, ValueError):
        keypoints = np.full((1, 3), np.nan)
    if not np.isfinite(keypoints).all():
        raise UserError(f"{name} has a keypoint that is not a number")
    labelled = bool((keypoints[:, 2] > 0).any()) and not entry.get("iscrowd")
    if entry.get("num_keypoints") == 0:
        labelled = False
    box, area = entry.get("bbox"), entry.get("area")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        box = keypoint_boxes(keypoints[None])[0] if labelled else None
    region = entry.get("segmentation")
    if box is None and not labelled and not region:
        return None
    box = np.array(box if box is not None else (0, 0, 0, 0), np.float32)
    return Person(
        joints or (),
        keypoints if labelled else None,
        box,
        float(area) if _is_number(area) else float(box[2] * box[3]),
        None if labelled else region,
    )


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def cover(mask: UInt8[np.ndarray, "H W"], person: Person) -> None:
    """Sets a mask to 0 where a person without keypoints is: in its region, or else its box.

    A region is a list of polygons, or run lengths, packed or not. What is none, as a polygon of two
    points, must not reach pycocotools, which is C and believes everything.
    """
    height, width = mask.shape
    region = person.region
    if isinstance(region, list):
        region = [part for part in region if _is_polygon(part)]
        region = coco_mask.frPyObjects(region, height, width) if region else None
    else:
        region = _pack(region, height, width) if isinstance(region, dict) else None
    if region:
        mask[coco_mask.decode(region).reshape(height, width, -1).any(-1)] = 0
    else:
        x, y, w, h = person.box
        left, top = max(0, math.floor(x)), max(0, math.floor(y))
        mask[top : max(0, math.ceil(y + h)), left : max(0, math.ceil(x + w))] = 0


def _is_polygon(part):
    return (
        isinstance(part, list)
        and len(part) >= 6
        and not len(part) % 2
        and all(map(_is_number, part))
    )


def _pack(region, height, width):
    """Run lengths as pycocotools packs them; None if they are not those of such an image."""
    counts = region.get("counts")
    if list(region.get("size") or ()) != [height, width]:
        return None
    if isinstance(counts, list):
        good = all(isinstance(n, int) and n >= 0 for n in counts) and sum(counts) == height * width
        return coco_mask.frPyObjects(region, height, width) if good else None
    if isinstance(counts, str) and _sum_packed(counts) == height * width:
        return {"size": [height, width], "counts": counts.encode()}
    return None


def _sum_packed(text):
    """The sum of packed run lengths: groups of 5 bits from character 48 on, the lowest first; bit 6
    says that more follow, and from the third on each is a difference to the one before the last."""
    runs, value, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            if runs[-1] < 0:
                return None
            value = shift = 0
    return None if shift else sum(runs)


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
