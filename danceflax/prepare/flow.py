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

from danceflax.data.flow import check_method, compute_flows
from danceflax.data.root import FRAME_FOLDERS, find_folder, open_index
from danceflax.errors import UserError
from danceflax.io.console import console, print_faults, show_progress
from danceflax.io.files import remove_leftovers
from danceflax.io.flow_files import BOUND, write_flow
from danceflax.io.images import shrink_size
from danceflax.io.pipeline import THREADS, map_ahead
from danceflax.io.workers import run_tasks

NOTE = "flow.json"
BATCH = 16  # pairs that the device gets at once


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
    run goes on. dis is the fastest; tvl1 is what I3D was trained on, tens of times slower on a CPU:
    it runs on the GPU or TPU if there is one, and so in one process.

    Args:
      root: the data root.
      method: dis, farneback or tvl1.
      short_side: pixels that larger frames shrink to; 0: none.
      workers: processes; by default one a core, or one with tvl1, which keeps all busy itself.
      scheduler: address of a Dask cluster to do the work instead, see data/README.md.
    """
    folder, files = find_folder(root, FRAME_FOLDERS), open_index(root).files
    tasks = plan_flow(root, folder, files, method, short_side)
    output = pathlib.Path(root, "flow")
    remove_leftovers(output, deep=True)
    if method == "tvl1" and not scheduler:
        workers = workers or 1
    with show_progress("computing flow", "clips") as progress:
        results = list(run_tasks(compute_clip, tasks, workers, progress, scheduler))
    remove_leftovers(output, deep=True)  # of a cluster's worker that was killed
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
    check_method(method)
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
    messages, count = [], 0
    threads = THREADS if task.method == "tvl1" else 1  # others have processes
    for outputs, flows in map_ahead(_compute, _list_batches(task, messages), threads):
        for output, flow in zip(outputs, flows, strict=False):
            write_flow(output, flow)
            count += 1
    return count, messages


def _compute(batch):
    outputs, *frames, method = batch
    return outputs, compute_flows(*frames, method)


def _list_batches(task, messages):
    """(files to write, first frames, second frames, method), frames as [N, h, w]. Batches for the
    device are filled up: a clip is of one compilation."""
    size = BATCH if task.method == "tvl1" else 1
    for _, pairs in itertools.groupby(_read_pairs(task, messages), lambda pair: pair[1].shape):
        while batch := list(itertools.islice(pairs, size)):
            outputs, *frames = zip(*batch, strict=True)
            filler = [frames[0][-1]] * (size - len(batch))  # nothing moves there: soon done
            yield outputs, *(np.stack([*group, *filler]) for group in frames), task.method


def _read_pairs(task, messages):
    """(file to write, its frame, the next frame) of flow that is not there yet."""
    frames = pathlib.Path(task.root, task.frame_folder)
    read = functools.lru_cache(maxsize=1)(lambda file: _read_grey(frames / file, task.short_side))
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
        else:
            yield output, a, b


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
