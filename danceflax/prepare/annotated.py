"""Frames and their keypoint files, of a root or of what predict.py has written for images."""

import os
import pathlib
import typing

from danceflax.data.frames import find_keypoints, list_frames
from danceflax.data.root import FRAME_FOLDERS, KEYPOINT_FOLDERS, find_folder
from danceflax.data.splits import CLIP_LISTS, FRAME_LISTS, find_split
from danceflax.errors import UserError
from danceflax.io.images import IMAGE_SUFFIXES, find_image
from danceflax.io.listing import count_key, list_folder

OPENPOSE_SUFFIX = "_keypoints.json"


class Frame(typing.NamedTuple):
    """A frame that has a keypoint file; `name` is <dance>/<file> of a root, else the file's."""

    name: str
    image: str
    keypoints: str


def list_annotated(root: str, split: str, images: str, json: str) -> list[Frame]:
    """The frames, in the order in which people count.

    Args:
      root: a data root; or "", and
      images, json: folders of images, and of the OpenPose files of them.
      split: of the root; "" takes all.

    Raises:
      UserError: neither or both are given, or there is no frame with a keypoint file.
    """
    if bool(root) == bool(images and json) or bool(images) != bool(json):
        raise UserError("give --root, or --images and --json")
    found = _of_root(root, split) if root else _of_folders(images, json)
    found = [frame for frame in found if os.path.exists(frame.keypoints)]
    if not found:
        raise UserError(
            f"{root or json}: has no keypoint file of a frame; nothing can be corrected"
        )
    return found


def _of_root(root, split):
    frames = pathlib.Path(root, find_folder(root, FRAME_FOLDERS))
    folder = pathlib.Path(root, find_folder(root, KEYPOINT_FOLDERS))
    path = None
    if split:
        there = pathlib.Path(root, FRAME_LISTS.format(split)).exists()
        path = find_split(root, split, FRAME_LISTS if there else CLIP_LISTS)
    for file in list_frames(root, path).files.tolist():
        file = file.decode()
        yield Frame(file, find_image(frames / file), find_keypoints(folder, file))


def _of_folders(images, json):
    for name in sorted(list_folder(images), key=count_key):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in IMAGE_SUFFIXES:
            yield Frame(name, f"{images}/{name}", f"{json}/{stem}{OPENPOSE_SUFFIX}")
