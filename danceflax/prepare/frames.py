"""Videos to frames in the Let's Dance layout.

ROOT/frames/<dance>/<clip>_<frame>.jpg      frame n is on screen (n - 1) / fps seconds into the clip
ROOT/clips.csv                              each clip's source, start, rate and group
ROOT/extracted/<dance>/<video>.json         how, once the video is whole; until then .partial

Numbers are times: where frames were lost, or a video of variable rate stands still, they have a
gap. An interrupted video is known by its note and starts clean; a whole one is not made again.
"""

import json
import math
import os
import pathlib
import re
import typing
from collections.abc import Sequence

import cv2

from danceflax.data.clip_table import ClipNote, add_clips
from danceflax.errors import UserError
from danceflax.io.console import console, print_faults, show_progress, summarise
from danceflax.io.files import hold_file, write_json
from danceflax.io.images import encode_image, shrink_size
from danceflax.io.videos import read_video
from danceflax.io.workers import run_tasks
from danceflax.prepare.frame_times import EPSILON, number_frames, pick_frames
from danceflax.prepare.video_tasks import Task, group_of_video, name_clip, note_of, plan_extraction


def run(
    videos: str,
    root: str,
    dance: str = "",
    fps: float = 0.0,
    cut: float = 0.0,
    short_side: int = 0,
    quality: int = 95,
    workers: int | None = None,
    scheduler: str = "",
) -> int:
    """Extracts the frames of videos into a root, in parallel; goes on where it was interrupted.

    python prepare_data.py frames --videos=my_videos --root=data/mine --fps=25 --short_side=360
    python prepare_data.py frames --videos=my_videos --root=data/mine --fps=25 --cut=10
    python prepare_data.py frames --videos=fast.mp4 --dance=latin --root=data/mine

    my_videos holds a folder for each dance, with videos at any depth. Clips are named
    <video>_<start second>; ROOT/clips.csv says of each its source, start, rate and group. Frame
    numbers are times: what was lost, and still stretches of a variable rate, are gaps.

    Args:
      videos: a video, a folder of videos, or one with a folder for each dance.
      root: the data root to write into.
      dance: the dance, where folders do not say.
      fps: frames a second to keep; 0 keeps all.
      cut: seconds that videos are cut into clips of; 0 makes one clip of each.
      short_side: pixels that larger frames shrink to; 0: none.
      quality: of the JPEGs, 1 to 100.
      workers: processes; by default one a core.
      scheduler: address of a Dask cluster to do the work instead, see data/README.md.
    """
    tasks, others = plan_extraction(videos, root, dance, fps, short_side, quality, cut)
    print_faults(summarise(others), "passed over")
    return print_faults(extract(tasks, root, workers, scheduler))


def extract(
    tasks: Sequence[Task], root: str | os.PathLike, workers: int | None, scheduler: str
) -> list[str]:
    """Does tasks (see `run_tasks`), takes their clips into ROOT/clips.csv and says how many they
    are. Returns messages about videos that could not be read."""
    with show_progress("extracting", "videos") as progress:
        results = list(run_tasks(extract_clips, tasks, workers, progress, scheduler))
    clips = {clip: note for result in results for clip, note in result.clips.items()}
    add_clips(root, clips)
    frames = sum(result.frames for result in results)
    console.print(f"{root}: {len(clips):,} clips, {frames:,} frames of {len(tasks):,} videos")
    print_faults((result.loss for result in results if result.loss), "lost")
    return [result.fault for result in results if result.fault]


class Extraction(typing.NamedTuple):
    """What became of a `Task`: the notes of its clips by <dance>/<clip>, and how many frames they
    have; a fault if there are none; what was lost of the video, or None."""

    clips: dict
    frames: int
    fault: str | None = None
    loss: str | None = None


def extract_clips(task: Task) -> Extraction:
    """Writes the frames of a video.

    A video that is there already, whole, is left as it is; made in another way, it is a fault.

    Raises:
      UserError: the root cannot be written to.
    """
    note = note_of(task)
    partial = note.with_suffix(".partial")
    settings = {
        "video": os.path.basename(task.video), "bytes": os.path.getsize(task.video),
        "fps": task.fps, "cut": task.cut, "short_side": task.short_side, "quality": task.quality,
    }  # fmt: skip
    folder = pathlib.Path(task.root, "frames", task.dance)
    try:
        if not note.exists():
            folder.mkdir(parents=True, exist_ok=True)
            note.parent.mkdir(parents=True, exist_ok=True)
            with hold_file(partial):  # a cluster that lost sight of a machine does its task again
                if not note.exists() and (fault := _write_clips(task, folder, partial, settings)):
                    return Extraction({}, 0, fault)
        partial.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{task.root}: cannot be written: {error.strerror or error}") from None
    made = json.loads(note.read_text())
    if {key: made.get(key) for key in settings} != settings:
        fault = "made from another video or with other settings; remove the frames of its clips and"
        return Extraction({}, 0, f"{note}: {fault} this file, or write to another root")
    return _describe(task, made)


def _describe(task, made):
    """The `Extraction` of a note."""
    group = group_of_video(task)
    notes = {
        f"{task.dance}/{clip}": ClipNote(task.source, entry["start"], made["rate"], group)
        for clip, entry in made["clips"].items()
    }
    frames = sum(len(entry["numbers"]) for entry in made["clips"].values())
    return Extraction(notes, frames, loss=made["loss"])


def _write_clips(task, folder, partial, settings):
    """Writes the frames and then the note, in place of what an interrupted attempt has left; what
    is wrong with the video, or None."""
    _remove_clips(folder, partial)
    try:
        made = _write_frames(task, folder, partial)
    except UserError as error:
        _remove_clips(folder, partial)
        partial.unlink()
        return str(error)
    write_json(note_of(task), settings | made)
    return None


def _write_frames(task, folder, partial):
    """Writes the frames; the note of it: sizes, rates, what was lost, and each clip's start, frame
    numbers, and where in the video those frames are, counted from 0."""
    video = read_video(task.video)
    rate = task.fps if 0 < task.fps < video.fps else video.fps
    pick = pick_frames if rate < video.fps else number_frames
    last = max(0, round(video.duration / task.cut) - 1) if task.cut and video.duration else None
    clips, size, source_size = {}, None, None
    for slot, position, frame in pick(video, rate):
        part = int(slot / (task.cut * rate) + EPSILON) if task.cut else 0
        part = part if last is None else min(part, last)  # the rest joins the last clip
        clip = name_clip(task.name, part * task.cut)
        if clip not in clips:
            if next(_list_frames(folder, clip), None):
                raise UserError(
                    f"{folder}: has frames of the clip {clip} that were not extracted here; rename "
                    "the video, or write to another root"
                )
            with open(partial, "a", encoding="utf-8") as file:
                file.write(f"{clip}\n")
            clips[clip] = {"start": part * task.cut, "numbers": [], "positions": []}
        number = slot - math.ceil(part * task.cut * rate - EPSILON) + 1
        source_size = (frame.shape[1], frame.shape[0])
        size = shrink_size(source_size, task.short_side)
        if size != source_size:
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        data = encode_image(frame, ".jpg", task.quality)
        (folder / f"{clip}_{number:04d}.jpg").write_bytes(data)
        clips[clip]["numbers"].append(number)
        clips[clip]["positions"].append(position)
    return {
        "rate": rate, "size": size, "video_size": source_size, "loss": video.describe_loss(),
        "clips": clips,
    }  # fmt: skip


def _list_frames(folder, clip):
    """The frame files of a clip."""
    name = re.compile(re.escape(clip) + r"_\d+\.jpg")
    return (pathlib.Path(e.path) for e in os.scandir(folder) if name.fullmatch(e.name))


def _remove_clips(folder, partial):
    """Removes the frames of the clips that a `.partial` lists."""
    for clip in partial.read_text(encoding="utf-8").splitlines():
        for path in list(_list_frames(folder, clip)):
            path.unlink()
    partial.write_text("")
