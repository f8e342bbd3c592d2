"""Looks at everything a training would read, and lists every fault instead of stopping at one.

`plan_check` gives tasks, `check_frames` does one (in any process), `findings.Findings` adds up
their results and those of `check_splits`.
"""

import os
import pathlib
import typing

import numpy as np

from danceflax.data import clip_table, splits
from danceflax.data.clip_table import read_clip_table
from danceflax.data.keypoint_files import read_keypoints
from danceflax.data.root import (
    FRAME_FOLDERS,
    KEYPOINT_FOLDERS,
    KEYPOINT_SUFFIXES,
    find_folder,
    list_interrupted,
    scan_root,
)
from danceflax.errors import BadSampleError, UserError
from danceflax.io.console import show_progress
from danceflax.io.files import require_free
from danceflax.io.images import read_image
from danceflax.io.listing import list_folder
from danceflax.io.workers import run_tasks
from danceflax.prepare import findings
from danceflax.prepare.findings import HARMLESS, Fault
from danceflax.prepare.split_report import find_leaks

CHUNK = 50  # frames a task
FRAME_SPLITS, CLIP_SPLITS = "pose_training_split/*.csv", "videos_split/*_videos.csv"
# More of a frame's keypoints than this outside the picture: they belong to another picture size.
MAX_OUTSIDE = 0.5


def run(
    root: str,
    output: str = "",
    overwrite: bool = False,
    training: str = "",
    max_bad_fraction: float = 0.01,
    workers: int | None = None,
    scheduler: str = "",
) -> int:
    """Lists every fault of a root and its splits, and says for which trainings it is fit.

    python prepare_data.py check --root=data/letsdance --output=faults.csv
    python prepare_data.py check --root=data/mine --training=pose

    Exit status 0: fit for --training, or for any. 1: it has more faults than --max_bad_fraction, or
    a split file at which training would stop. 2: this command was not understood.

    Args:
      root: the data root.
      output: a CSV of all faults to write.
      overwrite: replace the CSV if it is there.
      training: pose, keypoints or rgb: what the exit status is about.
      max_bad_fraction: as config.data.max_bad_fraction.
      workers: processes; by default one a core.
      scheduler: address of a Dask cluster to do the work instead, see data/README.md.
    """
    if training and training not in findings.TRAININGS:
        raise UserError(f"--training={training}: choose {', '.join(findings.TRAININGS)}")
    require_free([output] if output else [], overwrite)
    found, tasks = findings.Findings(), plan_check(root)
    with show_progress("checking", f"times {CHUNK} frames") as progress:
        results = run_tasks(check_frames, tasks, workers, progress, scheduler)
        for task, result in zip(tasks, results, strict=True):
            found.add(task, result)
    found.faults += check_splits(root)
    found.listed = list_pose_frames(root)
    if output:
        findings.write_faults(output, found.faults)
    findings.print_report(root, found)
    return 0 if findings.print_verdict(found, max_bad_fraction, training) else 1


class Task(typing.NamedTuple):
    """Frames of one dance to look at: names [n], and the suffix code of their keypoint files; or
    none of these where the root has no keypoints at all."""

    root: str
    frame_folder: str
    keypoint_folder: str
    has_keypoints: bool
    files: list
    keypoints: list


def plan_check(root: str | os.PathLike) -> list[Task]:
    """The tasks of a whole root. Raises UserError: it is no root, or has not one frame."""
    index, _ = scan_root(root)
    frames = find_folder(root, FRAME_FOLDERS)
    keypoints = next((k for k in KEYPOINT_FOLDERS if pathlib.Path(root, k).is_dir()), "")
    folders = (frames, keypoints or KEYPOINT_FOLDERS[0], bool(keypoints))
    if not len(index.files):
        raise UserError(f"{root}: there is no frame in {folders[0]}/<dance>")
    files, codes = index.files.tolist(), index.keypoints.tolist()
    return [
        Task(os.path.abspath(root), *folders, files[i : i + CHUNK], codes[i : i + CHUNK])
        for i in range(0, len(files), CHUNK)
    ]


def check_frames(task: Task) -> tuple[list[Fault], list[tuple]]:
    """The faults of a task, and (dance, persons' heights, picture size) of each good frame."""
    faults, good = [], []
    for file, code in zip(task.files, task.keypoints, strict=True):
        file = file.decode()
        stem = f"{task.keypoint_folder}/{os.path.splitext(file)[0]}"
        keypoint_file = stem + KEYPOINT_SUFFIXES[max(code, 1) - 1]
        frame_file = f"{task.frame_folder}/{file}"
        image = people = None
        try:
            image = read_image(os.path.join(task.root, frame_file), frame_file)
        except BadSampleError as error:
            faults.append(Fault(frame_file, 0, error.fault, _after(frame_file, error)))
        if not code and task.has_keypoints:
            message = f"has no keypoint file; expected {keypoint_file} ([] if nobody is there)"
            faults.append(Fault(frame_file, 0, "no keypoints", message))
        elif code:
            try:
                path = os.path.join(task.root, keypoint_file)
                people = read_keypoints(path, keypoint_file)[0]
            except BadSampleError as error:
                message = _after(keypoint_file, error)
                faults.append(Fault(keypoint_file, 0, "bad keypoints", message))
        if image is not None and people is not None:
            size = (image.shape[1], image.shape[0])
            fault = _find_outside(keypoint_file, people, size)
            faults += [fault] if fault else []
            if not fault or fault.fault in HARMLESS:
                good.append((file.partition("/")[0], _heights(people), size))
    return faults, good


def list_pose_frames(root: str | os.PathLike) -> set[str] | None:
    """`<dance>/<frame>` without suffix of the frames that the pose splits list; None without a
    split that can be read."""
    listed = None
    for path in pathlib.Path(root).glob(FRAME_SPLITS):
        try:
            files = splits.read_frames(path).files.tolist()
        except UserError:
            continue  # check_splits says so
        listed = (listed or set()) | {os.path.splitext(file.decode())[0] for file in files}
    return listed


def _after(file, error):
    return str(error).removeprefix(f"{file}: ")


def _find_outside(file, people, size):
    points = people[people[..., 2] > 0][:, :2]
    outside = ((points < -0.5) | (points > np.array(size) - 0.5)).any(1)
    if not outside.any():
        return None
    x, y = points[outside][0]
    width, height = size
    message = (
        f"{outside.sum()} of {len(points)} keypoints lie outside the picture of {width}x{height}, "
        f"one at ({x:.0f}, {y:.0f})"
    )
    if outside.mean() > MAX_OUTSIDE:
        return Fault(file, 0, "far outside", message + "; were the frames resized?")
    return Fault(file, 0, "outside", message)


def _heights(people):
    """[P] ints: the vertical extent of each person's keypoints in pixels."""
    found = [person[person[:, 2] > 0][:, 1] for person in people]
    return [round(float(np.ptp(y))) for y in found if len(y)]


def check_splits(root: str | os.PathLike) -> list[Fault]:
    """Every `Fault` of the root's split files, and of what they list.

    Rows at fault, frames that are not there, dances without a folder, videos in two splits; and
    clips whose extraction was interrupted.
    """
    root = pathlib.Path(root)
    folder = find_folder(root, FRAME_FOLDERS)
    there = {os.path.splitext(file)[0] for file in scan_root(root)[0].files.tolist()}
    dances = set(list_folder(root / folder))
    message = "its extraction was interrupted; run prepare_data.py frames again"
    faults = [
        Fault(str(path.relative_to(root)), 0, "interrupted", message)
        for path in list_interrupted(root)
    ]
    try:
        table = read_clip_table(root)
    except UserError as error:
        faults.append(Fault(clip_table.NAME, 0, "clips", _after(root / clip_table.NAME, error)))
        table = {}
    for pattern in (FRAME_SPLITS, CLIP_SPLITS):
        clips = {}
        for path in sorted(root.glob(pattern)):
            name = str(path.relative_to(root))
            try:
                found = [Fault(name, *fault) for fault in splits.find_faults(path)]
                bad = [fault for fault in found if fault.fault not in HARMLESS]
                faults += found
                if not bad:
                    faults += _find_missing(name, path, folder, there, dances)
                    clips[name] = splits.list_clips(path)
            except UserError as error:
                faults.append(Fault(name, 0, "split", _after(path, error)))
        for (a, b), videos in find_leaks(clips, table).items():
            if videos:
                message = f"{len(videos)} videos are also in {b}, {min(videos)} for one"
                faults.append(Fault(a, 0, "leak", message))
    return faults


def _find_missing(name, path, folder, there, dances):
    if splits.is_clip_list(path):
        clips = splits.read_clips(path)
        listed = [
            (f"{clip.dance}/{clip.name}_{number.decode()}.jpg".encode(), clip.row)
            for clip in clips
            for number in ([] if clip.frames is None else clip.frames.tolist())
        ]
        unknown = {clip.dance: clip.row for clip in reversed(clips) if clip.dance not in dances}
    else:
        frames = splits.read_frames(path)
        listed = list(zip(frames.files.tolist(), frames.rows.tolist(), strict=True))
        unknown = {f.partition(b"/")[0].decode(): row for f, row in reversed(listed)}
        unknown = {dance: row for dance, row in unknown.items() if dance not in dances}
    for dance, row in sorted(unknown.items()):
        yield Fault(name, row, "unknown dance", f"{dance!r} has no folder in {folder}/")
    for file, row in listed:
        if os.path.splitext(file)[0] not in there:
            yield Fault(name, row, "missing", f"there is no {folder}/{file.decode()}")
