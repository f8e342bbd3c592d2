"""What is checked of a COCO file before anything, C code above all, works with it.

pycocotools reads and writes outside its memory where a mask is not what its picture says, and works
for minutes on a large one.
"""

import numbers
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from pycocotools import mask as coco_mask

from danceflax.data.keypoint_files import MAX_COORDINATE
from danceflax.errors import BadSampleError, UserError
from danceflax.io.images import MAX_PIXELS

MAX_NAME = 500  # characters of an id or file_name; file systems allow 255 for each folder
MAX_POINTS = 20_000  # of a polygon; the largest of COCO has some hundreds
FAR = 1  # pictures beside the picture in which a polygon may still have a corner


def check_file(data: Any, path: str | os.PathLike) -> None:
    """Refuses JSON that is not in the COCO format, naming the image or annotation at fault.

    Raises:
      UserError: a key is missing, or a value is of another kind.
    """
    if not isinstance(data, dict) or not {"images", "annotations"} <= set(data):
        raise UserError(f"{path}: not in the COCO format; expected the keys images and annotations")
    for kind, check in (("image", _find_image_fault), ("annotation", _find_annotation_fault)):
        if not isinstance(data[f"{kind}s"], list):
            raise UserError(f"{path}: {kind}s is no list; expected one as COCO has")
        for index, entry in enumerate(data[f"{kind}s"]):
            if not isinstance(entry, dict):
                raise UserError(f"{path}: {kind} {index} of the list is no object as COCO has")
            if fault := check(entry):
                name = str(entry.get("id"))[:40]
                raise UserError(f"{path}: {kind} {name} {fault}")
    if not data["images"]:
        raise UserError(f"{path}: lists no image")


def find_image(folder: pathlib.Path, name: str, where: str) -> pathlib.Path:
    """The path of a file_name. Raises BadSampleError: it leads out of the folder.

    A symbolic link that someone has put into the folder may; a name may not.
    """
    pure = pathlib.PurePath(name.replace("\\", "/"))
    if not name or pure.is_absolute() or ".." in pure.parts or "\0" in name:
        raise BadSampleError(f"{where}: file_name {name[:100]!r} leads out of {folder}")
    return folder / name


def check_people(
    keypoints: Sequence[Float[np.ndarray, "_ 3"]],
    boxes: Sequence[Float[np.ndarray, "4"]],
    where: str,
) -> None:
    """Refuses coordinates that no picture has. Raises BadSampleError."""
    for index, (points, box) in enumerate(zip(keypoints, boxes, strict=True)):
        for what, values in (("keypoint", points[:, :2]), ("bbox", box)):
            bad = values[~(np.abs(values) <= MAX_COORDINATE)]  # what is no number is bad, too
            if bad.size:
                raise BadSampleError(
                    f"{where}: person {index} has a {what} at {bad[0]:g}; expected pixels"
                )


def decode_mask(
    segmentation: list | dict[str, Any], height: int, width: int, where: str
) -> Bool[np.ndarray, "{height} {width}"]:
    """The pixels that a segmentation covers: polygons, or run lengths as numbers or text.

    Raises:
      BadSampleError: it is not of a picture of that size.
    """
    if isinstance(segmentation, list):
        fault = _find_polygon_fault(segmentation, height, width)
    else:
        fault = _find_runs_fault(segmentation, height, width)
    if fault:
        raise BadSampleError(f"{where}: a segmentation {fault}")
    if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, height, width)
    return coco_mask.decode(segmentation).reshape(height, width, -1).any(-1)


def _find_image_fault(image):
    if not _is_id(image.get("id")):
        return "has an id that is neither a short text nor a whole number of 64 bits"
    if not isinstance(image.get("file_name"), str):
        return "has no file_name"
    if len(image["file_name"]) > MAX_NAME:
        return f"has a file_name of more than {MAX_NAME} characters"
    size = (image.get("height"), image.get("width"))
    if None in size:
        return None
    if not all(_is_whole(side) and side > 0 for side in size) or size[0] * size[1] > MAX_PIXELS:
        return f"has no height and width of at most {MAX_PIXELS:,} pixels together"
    return None


def _find_annotation_fault(person):
    """What is wrong with an annotation. What is absent or null is not: others make up for it."""
    for key, count in (("keypoints", None), ("bbox", 4), ("foot_kpts", None)):
        values = person.get(key)
        if values is None:
            continue
        if not isinstance(values, list) or not all(map(_is_number, values)):
            return f"has in {key} what is not a number"
        if count and len(values) != count:
            return f"has {len(values)} numbers in {key}; expected {count}"
    for key in ("area", "num_keypoints", "iscrowd"):
        if person.get(key) is not None and not _is_number(person[key]) and person[key] is not True:
            return f"has {key} that is no number"
    if not isinstance(person.get("segmentation", []), (list, dict, type(None))):
        return "has a segmentation that is neither polygons nor run lengths"
    for key in ("category_id", "image_id"):
        if not _is_id(person.get(key, "")):
            return f"has {key} that is neither a text nor a whole number"
    return None if "image_id" in person else "has no image_id"


def _find_polygon_fault(polygons, height, width):
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            return "has a polygon of fewer than three points, or half a point"
        if len(polygon) > 2 * MAX_POINTS:
            return f"has a polygon of more than {MAX_POINTS:,} points"
        if not all(map(_is_number, polygon)):
            return "has a polygon with what is no number"
        points = np.array(polygon, np.float64).reshape(-1, 2) / (width, height)
        if not (np.abs(points - 0.5) <= 0.5 + FAR).all():
            return f"has a polygon far outside its picture of {width}x{height}"
    return None if polygons else "has no polygon"


def _find_runs_fault(segmentation, height, width):
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if size != [height, width]:
        return f"is of another size than its picture of {width}x{height}"
    if isinstance(counts, str):
        counts = _decode_runs(counts, height * width)
    if not isinstance(counts, list) or not all(_is_whole(n) and n >= 0 for n in counts):
        return "has no run lengths"
    if sum(counts) != height * width:
        return f"has run lengths for {sum(counts):,} pixels; its picture has {height * width:,}"
    return None


def _decode_runs(text, limit):
    """The run lengths that COCO's text stands for; None if it stands for none.

    Five bits a character, the least first; from the fourth run on the difference to the one two
    before. (A format of its own: maskApi.c of the COCO API.)
    """
    counts, value, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        value += counts[-2] if len(counts) > 2 else 0
        if not 0 <= value <= limit:
            return None
        counts.append(value)
        value = shift = 0
    return counts if shift == 0 else None


def _is_number(value):
    """A number that a float can hold; JSON's true is none."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    return isinstance(value, float) or abs(value) < 1 << 1000


def _is_id(value):
    if isinstance(value, str):
        return len(value) <= MAX_NAME
    return _is_whole(value) and abs(value) < 1 << 63


def _is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool)
