"""Keypoint files of a root's frames, by a trained pose network."""

import contextlib
import functools
import itertools
import os
import pathlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

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
from danceflax.io.workers import run_tasks
from danceflax.pose.follow import link_found
from danceflax.pose.openpose_json import write_people
from danceflax.skeleton import SKELETONS, Skeleton


class Clip(NamedTuple):
    """Frames of a clip without keypoint files.

    Attributes:
      name: <dance>/<clip>.
      files: <dance>/<clip>_<frame>.jpg, in order.
      fps: how many of the frames' numbers make a second.
      first: the first number that its people may have.
    """

    name: str
    files: Sequence[str]
    fps: float
    first: int


def run(root: str, checkpoint: str, batch_size: int = 8, scheduler: str = "") -> int:
    """Runs a trained pose network over a root's frames to make its keypoint files.

    python prepare_data.py keypoints --root=data/mine --checkpoint=runs/a

    Writes ROOT/keypoints/<dance>/<clip>_<frame>.json as OpenPose does; a person has one person_id
    in all files of a clip. Frames that have a keypoint file are left alone, and files are written a
    clip at a time, so an interrupted run goes on.

    Args:
      root: the data root.
      checkpoint: a workdir, a step in it, or converted weights.
      batch_size: frames a step, over all devices.
      scheduler: address of a Dask cluster to do the work instead, see data/README.md.
    """
    from danceflax.api import share_predictor  # with it JAX, which other commands do without

    home = pathlib.Path(root).absolute()
    folder = home / find_folder(root, FRAME_FOLDERS)
    folders = [name for name in KEYPOINT_FOLDERS if (home / name).is_dir()]
    output = home / (folders or KEYPOINT_FOLDERS)[0]
    remove_leftovers(output, deep=True)
    clips = plan_clips(root, output)
    options = dict(path=os.path.abspath(checkpoint), batch_size=batch_size)
    predictor = functools.partial(share_predictor, uuid.uuid4().hex, **options)
    task = functools.partial(find_people, predictor, folder, output)
    tasks = [[clip] for clip in clips] if scheduler else [clips]
    shown = show_progress("finding people", "clips") if scheduler else contextlib.nullcontext()
    with shown as progress:  # on this machine the task shows its own
        results = list(run_tasks(task, tasks, None if scheduler else 1, progress, scheduler))
    remove_leftovers(output, deep=True)  # of a cluster's worker that was killed
    console.print(f"{root}: {sum(count for count, _ in results):,} keypoint files written")
    return print_faults(message for _, messages in results for message in messages)


def plan_clips(root: str | os.PathLike, output: pathlib.Path) -> list[Clip]:
    """The clips of a root that have frames without keypoint files, in the folder `output`."""
    found = scan_root(root)[0]
    todo = [file.decode() for file in found.files[found.keypoints == 0].tolist()]
    rates, free, clips = read_clip_table(root), first_free(found, todo, output), []
    for clip, files in itertools.groupby(todo, lambda file: split_frame(file)[0]):
        note = rates.get(clip) or rates.get(clip.partition("/")[2]) or ClipNote()
        clips.append(Clip(clip, list(files), note.fps or DEFAULT_FPS, free.get(clip, 0)))
    return clips


def find_people(
    open_predictor: Callable[[], Any],
    folder: pathlib.Path,
    output: pathlib.Path,
    clips: Sequence[Clip],
) -> tuple[int, list[str]]:
    """Writes the keypoint files of clips; returns how many, and messages about frames that cannot
    be read.

    Raises:
      UserError: the predictor is not that of a pose network whose skeleton files can hold.
    """
    predictor, faults, written = open_predictor(), [], 0
    if hasattr(predictor, "class_names") or predictor.skeleton.name not in SKELETONS:
        raise UserError(f"{predictor.checkpoint}: no pose network of {' or '.join(SKELETONS)}")
    files = [file for clip in clips for file in clip.files]
    frames = read_images((folder / file for file in files), faults)
    frames = ((path.relative_to(folder).as_posix(), frame) for path, frame in frames)
    known = {clip.name: clip for clip in clips}
    with show_progress("finding people", "frames") as progress:
        stream = itertools.groupby(predictor.stream(frames), lambda item: split_frame(item[0])[0])
        for name, items in stream:
            clip = known[name]
            written += write_clip(items, clip.fps, clip.first, predictor.skeleton, output)
            progress(written + len(faults), len(files))
    return written, faults


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
