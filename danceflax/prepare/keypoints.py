"""Keypoint files of a root's frames, by a trained pose network."""

import itertools
import pathlib
from collections.abc import Iterable

import numpy as np

from danceflax.data.clip_table import ClipNote, read_clip_table
from danceflax.data.frames import find_keypoints
from danceflax.data.keypoint_files import read_numbered
from danceflax.data.root import (
    FRAME_FOLDERS,
    KEYPOINT_FOLDERS,
    Index,
    find_folder,
    scan_root,
)
from danceflax.errors import UserError
from danceflax.io.console import console, print_faults, show_progress
from danceflax.io.files import remove_leftovers
from danceflax.io.images import read_images
from danceflax.io.videos import DEFAULT_FPS
from danceflax.pose.follow import link_found
from danceflax.pose.openpose_json import write_people
from danceflax.skeleton import SKELETONS, Skeleton


def run(root: str, checkpoint: str, batch_size: int = 8) -> int:
    """Runs a trained pose network over a root's frames to make its keypoint files.

    python prepare_data.py keypoints --root=data/mine --checkpoint=runs/a

    Writes ROOT/keypoints/<dance>/<clip>_<frame>.json as OpenPose does; a person has one person_id
    in all files of a clip. Frames that have a keypoint file are left alone, and files are written a
    clip at a time, so an interrupted run goes on.

    Args:
      root: the data root.
      checkpoint: a workdir, a step in it, or converted weights.
      batch_size: frames a step, over all devices.
    """
    from danceflax.api import load_predictor  # with it JAX, which other commands do without

    folder = pathlib.Path(root) / find_folder(root, FRAME_FOLDERS)
    found = scan_root(root)[0]
    todo = [file.decode() for file in found.files[found.keypoints == 0].tolist()]
    folders = [name for name in KEYPOINT_FOLDERS if (pathlib.Path(root) / name).is_dir()]
    output = pathlib.Path(root) / (folders or KEYPOINT_FOLDERS)[0]
    remove_leftovers(output, deep=True)
    predictor = load_predictor(checkpoint, batch_size=batch_size)
    if predictor.skeleton.name not in SKELETONS:
        raise UserError(f"{checkpoint}: no pose network of {' or '.join(SKELETONS)}")
    faults = []

    frames = read_images((folder / file for file in todo), faults)
    frames = ((path.relative_to(folder).as_posix(), frame) for path, frame in frames)
    rates = read_clip_table(root)
    free = first_free(found, todo, output)
    written = 0
    with show_progress("finding people", "frames") as progress:
        clips = itertools.groupby(predictor.stream(frames), lambda item: split_frame(item[0])[0])
        for clip, items in clips:
            note = rates.get(clip) or rates.get(clip.partition("/")[2]) or ClipNote()
            fps = note.fps or DEFAULT_FPS
            written += write_clip(items, fps, free.get(clip, 0), predictor.skeleton, output)
            progress(written + len(faults), len(todo))
    console.print(f"{root}: {written:,} keypoint files written")
    return print_faults(faults)


def write_clip(
    items: Iterable[tuple], fps: float, first: int, skeleton: Skeleton, output: pathlib.Path
) -> int:
    """Numbers the people of a clip, from `first` on, and writes its files; returns how many.

    Args:
      items: (file, RGB frame, people, scores) of each frame.
      fps: how many of the frames' numbers make a second.
      skeleton: of the people.
      output: the folder of keypoint files.
    """
    files = []

    def timed():
        for file, *found in items:
            files.append(file)
            yield split_frame(file)[1] / fps, *found

    clip = link_found(timed(), skeleton)
    for file, people, ids in zip(files, clip.people, clip.ids, strict=True):
        write_people(
            (output / file).with_suffix(".json"), people, np.where(ids < 0, ids, ids + first)
        )
    return len(files)


def first_free(index: Index, todo: Iterable[str], output: pathlib.Path) -> dict[str, int]:
    """{clip: the first number that none of its people has} of clips of which files are there."""
    todo, free = {split_frame(file)[0] for file in todo}, {}
    for file in index.files[index.keypoints > 0].tolist():
        clip, _ = split_frame(file.decode())
        if clip in todo:
            ids = read_numbered(find_keypoints(output, file.decode()))[2]
            free[clip] = max(free.get(clip, 0), int(ids.max(initial=-1)) + 1)
    return free


def split_frame(file: str) -> tuple[str, int]:
    """'tango/abc_033_0007.jpg' -> ('tango/abc_033', 7)."""
    clip, _, number = file.rpartition(".")[0].rpartition("_")
    return clip, int(number)
