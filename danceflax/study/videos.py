"""What a folder of videos holds, before a frame is cut: told from a sample of them."""

import collections
import itertools
import os
import pathlib
import time
import typing
from collections.abc import Sequence

import cv2
import numpy as np

from danceflax.errors import UserError
from danceflax.io.images import encode_image, shrink_size
from danceflax.io.listing import list_folder
from danceflax.io.videos import VIDEO_SUFFIXES, read_video
from danceflax.prepare.video_tasks import Task, group_of_video, note_of, plan_extraction

SAMPLE = 32  # videos that are opened
DECODED, ENCODED = 24, 8  # frames of each: so many are read, and every so-manieth is written
UNKNOWN_SECONDS = 10.0  # that a video lasts which does not say


class Amount(typing.NamedTuple):
    """How much there is, by the sample.

    Attributes:
      videos, dances: how many.
      sources: of the dance that has fewest: videos that do not belong together.
      seconds, fps: of all videos together; frames a second to be kept.
      lengths: seconds of the sample's clips.
      frame_bytes, frame_seconds: of a frame as a file, and of one core's work on it.
    """

    videos: int
    dances: int
    sources: int
    seconds: float
    fps: float
    lengths: tuple[float, ...]
    frame_bytes: float
    frame_seconds: float

    @property
    def frames(self) -> int:
        """How many frames will be kept."""
        return round(self.seconds * self.fps)

    @property
    def clip_seconds(self) -> float:
        """How long a clip lasts, the middle of all."""
        return float(np.median(self.lengths))

    @property
    def clips(self) -> int:
        """How many clips these are cut into."""
        return max(self.videos, round(self.seconds / self.clip_seconds))


def plan_videos(
    videos: str, root: pathlib.Path, fps: float, short_side: int, cut: float
) -> tuple[list[Task], list[str]]:
    """`plan_extraction` of a folder that can be learned from.

    Raises:
      UserError: there is no video, one lies in no dance's folder, there is one dance, or one whose
        videos are all of one source.
    """
    folder = pathlib.Path(videos)
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "no such folder"
        raise UserError(f"{videos}: {what}; expected a folder with one for each dance")
    if loose := [n for n in list_folder(folder) if n.lower().endswith(VIDEO_SUFFIXES)]:
        raise UserError(
            f"{folder / min(loose)}: lies in no dance's folder; put it into {folder}/<dance>/"
        )
    tasks, others = plan_extraction(videos, root, None, fps, short_side, cut=cut)
    sources = group_sources(tasks)
    if len(sources) == 1:
        raise UserError(
            f"{videos}: all videos are of one dance, {tasks[0].dance}; a classifier tells two or "
            "more apart: add a folder of another"
        )
    for dance, own in sources.items():
        if len(own) == 1:
            raise UserError(
                f"{folder / dance}: all videos are of one source, {min(own)}; what is learned is "
                "judged on a source of its own: add a video of another"
            )
    return tasks, others


def group_sources(tasks: Sequence[Task]) -> dict[str, set[str]]:
    """{dance: what no two splits may share of its videos}."""
    sources = collections.defaultdict(set)
    for task in tasks:
        sources[task.dance].add(group_of_video(task))
    return sources


def measure_videos(tasks: Sequence[Task]) -> Amount:
    """Opens a sample of the videos and adds up what they say of all.

    Raises:
      UserError: not one of the sample can be read.
    """
    places = np.linspace(0, len(tasks) - 1, min(SAMPLE, len(tasks))).round().astype(int)
    found, faults = [], []
    for place in places.tolist():
        try:
            found.append(_look_at(tasks[place]))
        except UserError as error:
            faults.append(error)
    if not found:
        raise faults[0]
    seconds, fps, size, work = np.array(found).T
    cut = tasks[0].cut
    sources = group_sources(tasks)
    return Amount(
        videos=len(tasks),
        dances=len(sources),
        sources=min(map(len, sources.values())),
        seconds=float(seconds.mean() * len(tasks)),
        fps=float(np.median(fps)),
        lengths=tuple((np.minimum(seconds, cut) if cut else seconds).tolist()),
        frame_bytes=float(np.average(size, weights=seconds)),
        frame_seconds=float(np.average(work, weights=seconds)),
    )


def _look_at(task):
    """(seconds, frames kept a second, bytes a frame, seconds of work a frame) of a video."""
    video, sizes, spent = read_video(task.video), [], 0.0
    rate = min(task.fps or video.fps, video.fps)
    begin, frames = time.perf_counter(), 0
    for frames, (_, frame) in enumerate(itertools.islice(video, DECODED), 1):
        if frames % ENCODED == 1:
            start = time.perf_counter()
            size = (frame.shape[1], frame.shape[0])
            small = cv2.resize(frame, shrink_size(size, task.short_side), cv2.INTER_AREA)
            sizes.append(len(encode_image(small, ".jpg", task.quality)))
            spent += time.perf_counter() - start
    reading = (time.perf_counter() - begin - spent) / frames * video.fps / rate
    seconds = video.duration or (video.count or 0) / video.fps or UNKNOWN_SECONDS
    return seconds, rate, np.mean(sizes), reading + spent / len(sizes)


def count_missing(tasks: Sequence[Task]) -> int:
    """How many videos have no note that they were extracted."""
    return sum(not os.path.exists(note_of(task)) for task in tasks)
