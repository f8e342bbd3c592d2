"""The index of a root: its frames and their keypoint files, in one file that opens at once.

ROOT/index.npz holds flat arrays. It knows the times at which the dances' folders last changed, so
that an index of an earlier state, or of another root, is noticed and not believed.
"""

import logging
import os
import pathlib
import typing
import zipfile
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped, UInt8

from danceflax.errors import UserError
from danceflax.io.files import write_whole
from danceflax.io.images import IMAGE_SUFFIXES
from danceflax.io.listing import count_key, list_folder

VERSION = 1
NAME = "index.npz"
FRAME_FOLDERS = ("frames", "rgb")
KEYPOINT_FOLDERS = ("keypoints", "densepose/rgb")
KEYPOINT_SUFFIXES = (".json", ".txt", "_keypoints.json")  # the last is what OpenPose writes


class Index(typing.NamedTuple):
    """Every frame of a root, by name as people count: 400,000 of them take some 15 MB.

    Attributes:
      files: bytes (dtype S), `<dance>/<file>`.
      keypoints: which of KEYPOINT_SUFFIXES its keypoint file has, from 1; 0 for none.
    """

    files: Shaped[np.ndarray, " N"]
    keypoints: UInt8[np.ndarray, " N"]


def open_index(root: str | os.PathLike) -> Index:
    """The index of a root: from its index file if that still holds, else by looking.

    Raises:
      UserError: there is no such root, or it has no folder of frames.
    """
    return read_index(root) or scan_root(root)[0]


def read_index(root: str | os.PathLike) -> Index | None:
    """A root's index file; None if there is none, or it does not hold any more."""
    path = pathlib.Path(root) / NAME
    if not path.exists():
        return None
    reason = "is damaged or no index"
    try:
        with np.load(path, allow_pickle=False) as data:
            found = {key: data[key] for key in data.files}
        if found["version"] != VERSION:
            reason = "was written by another version"
        elif found["state"].tolist() != _state(root):
            reason = "is of an earlier state of the root, or of another root"
        else:
            return Index(found["files"], found["keypoints"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    logging.warning(
        "%s: %s, so the root is scanned; renew it by `python prepare_data.py index --root=%s`",
        path, reason, root,
    )  # fmt: skip
    return None


def match_keypoints(
    root: str | os.PathLike, files: Shaped[np.ndarray, " N"]
) -> UInt8[np.ndarray, " N"]:
    """Of each frame `<dance>/<file>` the code of its keypoint file (see `Index`) by the root's
    index file; 0 where that does not say."""
    index = read_index(root)
    if index is None:
        return np.zeros(len(files), np.uint8)
    order = np.argsort(index.files)
    place = np.searchsorted(index.files, files, sorter=order).clip(max=len(order) - 1)
    there = order[place]
    return np.where(index.files[there] == files, index.keypoints[there], 0).astype(np.uint8)


def write_index(root: str | os.PathLike) -> Index:
    """Scans a root and writes its index, whole or not at all."""
    require_whole(root)
    index, state = scan_root(root)
    if not len(index.files):
        folder = find_folder(root, FRAME_FOLDERS)
        raise UserError(f"{root}: has no frame {folder}/<dance>/<clip>_<frame>.jpg to index")
    path = pathlib.Path(root) / NAME
    with write_whole(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, version=VERSION, state=np.array(state), **index._asdict())
    return index


def scan_root(root: str | os.PathLike) -> tuple[Index, list[str]]:
    """The index of what is on disk, and its state, taken first: changes meanwhile show."""
    state = _state(root)
    root = pathlib.Path(root)
    frames = root / find_folder(root, FRAME_FOLDERS)
    keypoints = next((root / name for name in KEYPOINT_FOLDERS if (root / name).is_dir()), root)
    files, codes = [], []
    for dance in sorted(list_folder(frames)):
        names = [n for n in list_folder(frames / dance) if _is_image(n)]
        there = set(list_folder(keypoints / dance)) if keypoints != root else set()
        for name in sorted(names, key=count_key):
            stem = os.path.splitext(name)[0]
            found = (k for k, suffix in enumerate(KEYPOINT_SUFFIXES, 1) if stem + suffix in there)
            files.append(f"{dance}/{name}".encode())
            codes.append(next(found, 0))
    return Index(np.array(files, "S"), np.array(codes, np.uint8)), state


def _is_image(name):
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def list_interrupted(root: str | os.PathLike) -> list[pathlib.Path]:
    """Notes of clips whose extraction was begun and not finished (`prepare/frames.py`)."""
    return sorted(pathlib.Path(root).glob("extracted/*/*.partial"))


def require_whole(root: str | os.PathLike) -> None:
    """Raises UserError: the root holds half a clip."""
    if found := list_interrupted(root):
        raise UserError(
            f"{found[0]}: the extraction of this clip was interrupted ({len(found)} in all); run "
            "prepare_data.py frames again, which starts it clean"
        )


def find_folder(root: str | os.PathLike, names: Sequence[str]) -> str:
    """The first of `names` that is a folder of the root. Raises UserError: none is."""
    root = pathlib.Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such data root; set config.data.root to a Let's Dance root")
    for name in names:
        if (root / name).is_dir():
            return name
    raise UserError(f"{root}: has no folder {' or '.join(names)}; is it a Let's Dance root?")


def _state(root):
    """What changes when a frame or keypoint file comes or goes: folders and their times."""
    frames = find_folder(root, FRAME_FOLDERS)
    state = []
    for parent in (frames, *KEYPOINT_FOLDERS):
        parent = os.path.join(root, parent)
        for folder in [parent, *(os.path.join(parent, d) for d in sorted(list_folder(parent)))]:
            if os.path.isdir(folder):
                time = os.stat(folder).st_mtime_ns
                state.append(f"{os.path.relpath(folder, root)} {time}")
    return state
