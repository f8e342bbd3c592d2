"""Flow computed ahead: a file a frame beside a root's frames.

ROOT/flow/<dance>/<clip>_<frame>.png    from this frame to the next, grey uint8 [2 h, w]: the x
                                        component above the y component, see `encode_flow`
ROOT/flow/flow.json                     method, shorter side, bound

The last frame of a clip has none, nor has a frame whose successor is missing.
"""

import functools
import itertools
import json
import os
import pathlib
import typing

import cv2
import numpy as np
from jaxtyping import Shaped

from danceflax.data.flow import available_methods, compute_flow
from danceflax.data.root import FRAME_FOLDERS, find_folder, open_index
from danceflax.errors import UserError
from danceflax.io.console import console, print_faults, show_progress
from danceflax.io.files import remove_leftovers
from danceflax.io.flow_files import BOUND, write_flow
from danceflax.io.images import shrink_size
from danceflax.io.workers import run_tasks

NOTE = "flow.json"


def run(
    root: str,
    method: str = "dis",
    short_side: int = 256,
    workers: int | None = None,
    scheduler: str = "",
) -> int:
    """Computes the optical flow from each frame of a root to the next, for the flow classifiers.

    python prepare_data.py flow --root=data/letsdance
    python prepare_data.py flow --root=data/letsdance --method=tvl1

    Writes ROOT/flow/<dance>/<clip>_<frame>.png; files that are there stay, so that an interrupted
    run goes on. dis is the fastest; tvl1 is what I3D was trained on, a hundred times slower.

    Args:
      root: the data root.
      method: dis, farneback or tvl1.
      short_side: pixels that larger frames shrink to; 0: none.
      workers: processes; by default one a core.
      scheduler: address of a Dask cluster to do the work instead, see data/README.md.
    """
    folder, files = find_folder(root, FRAME_FOLDERS), open_index(root).files
    tasks = plan_flow(root, folder, files, method, short_side)
    remove_leftovers(pathlib.Path(root, "flow"), deep=True)
    with show_progress("computing flow", "clips") as progress:
        results = list(run_tasks(compute_clip, tasks, workers, progress, scheduler))
    console.print(f"{root}/flow: {sum(count for count, _ in results):,} files written")
    return print_faults(message for _, messages in results for message in messages)


class Task(typing.NamedTuple):
    """The frames of one clip, in order: files `<dance>/<clip>_<frame>.jpg` under `frames`."""

    root: str
    frame_folder: str
    files: tuple
    method: str
    short_side: int


def plan_flow(
    root: str | os.PathLike,
    frame_folder: str,
    files: Shaped[np.ndarray, " N"],
    method: str = "dis",
    short_side: int = 256,
) -> list[Task]:
    """A task for each clip of `files` (bytes, sorted), and ROOT/flow/flow.json.

    Raises:
      UserError: the method is not known, or the flow that is there was made in another way.
    """
    if method not in available_methods():
        raise UserError(
            f"flow method {method!r} is not there; choose {' or '.join(available_methods())} "
            "(tvl1 needs opencv-contrib-python-headless)"
        )
    settings = {"method": method, "short_side": short_side, "bound": BOUND}
    note = pathlib.Path(root, "flow", NOTE)
    if note.exists() and (found := json.loads(note.read_text())) != settings:
        raise UserError(f"{note}: the flow there was made with {found}; remove it, or go on so")
    note.parent.mkdir(exist_ok=True)
    note.write_text(json.dumps(settings) + "\n")
    clips = {}
    for file in files.tolist():
        clips.setdefault(file.rpartition(b"_")[0], []).append(file.decode())
    return [
        Task(os.path.abspath(root), frame_folder, tuple(found), method, short_side)
        for found in clips.values()
    ]


def compute_clip(task: Task) -> tuple[int, list[str]]:
    """Computes the flow of a clip; what is there is not made again. Returns how many
    files it wrote, and messages."""
    frames = pathlib.Path(task.root, task.frame_folder)
    read = functools.lru_cache(maxsize=1)(lambda file: _read_grey(frames / file, task.short_side))
    messages, count = [], 0
    for file, following in itertools.pairwise(task.files):
        output = pathlib.Path(task.root, "flow", file).with_suffix(".png")
        if _number(following) != _number(file) + 1 or output.exists():
            continue
        try:
            a, b = read(file), read(following)
            if a.shape != b.shape:
                raise UserError(f"{frames / following}: not of the size of the frame before it")
        except UserError as error:
            messages.append(str(error))
            continue
        write_flow(output, compute_flow(a, b, task.method))
        count += 1
    return count, messages


def _number(file):
    digits = os.path.splitext(file)[0].rpartition("_")[2]
    return int(digits) if digits.isdecimal() else -2


def _read_grey(path, short_side):
    frame = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if frame is None:
        raise UserError(f"{path}: cannot be read as an image")
    size = shrink_size(frame.shape[::-1], short_side)
    if size != frame.shape[::-1]:
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return frame
