"""Videos to frames in the Let's Dance layout.

ROOT/frames/<dance>/<clip>_<frame>.jpg      frames numbered from 0001
ROOT/extracted/<dance>/<clip>.json          how, once the clip is whole; until then .partial

An interrupted clip is known by its note and starts clean; a whole one is not made again.
"""

import base64
import hashlib
import itertools
import json
import os
import pathlib
import re
import typing

import cv2

from danceflax.errors import UserError
from danceflax.io.console import console, print_faults, show_progress
from danceflax.io.images import encode_image, shrink_size
from danceflax.io.videos import VIDEO_SUFFIXES, read_video
from danceflax.io.workers import run_tasks

NOTES = "extracted"
CLIP = re.compile(r"[A-Za-z0-9_-]{11}_\d{3,}")


def run(
    videos: str,
    root: str,
    dance: str = "",
    fps: float = 0.0,
    short_side: int = 0,
    quality: int = 95,
    workers: int | None = None,
) -> int:
    """Extracts the frames of videos into a root, in parallel; goes on where it was interrupted.

    python prepare_data.py frames --videos=my_videos --root=data/mine --fps=25 --short_side=360
    python prepare_data.py frames --videos=fast.mp4 --dance=latin --root=data/mine

    my_videos holds a folder for each dance. Clips are named <11 characters>_<start second>, by the
    video if it is named so.

    Args:
      videos: a video, a folder of videos, or one with a folder for each dance.
      root: the data root to write into.
      dance: the dance, where folders do not say.
      fps: frames a second to keep; 0 keeps all.
      short_side: pixels that larger frames shrink to; 0: none.
      quality: of the JPEGs, 1 to 100.
      workers: processes; by default one a core.
    """
    tasks = plan_extraction(videos, root, dance, fps, short_side, quality)
    with show_progress("extracting", "clips") as progress:
        results = list(run_tasks(extract_clip, tasks, workers, progress))
    counts = [count for kind, count in results if kind != "bad"]
    console.print(f"{root}: {len(counts):,} clips, {sum(counts):,} frames")
    return print_faults(message for kind, message in results if kind == "bad")


class Task(typing.NamedTuple):
    """One video and what becomes of it."""

    video: str
    root: str
    dance: str
    clip: str
    fps: float  # frames a second to keep; 0 keeps all
    short_side: int  # pixels; larger frames are shrunk to it; 0 keeps their size
    quality: int  # of the JPEGs


def plan_extraction(videos, root, dance=None, fps=0.0, short_side=0, quality=95):
    """A `Task` for each video.

    Args:
      videos: a video, a folder of videos, or a folder of one folder a dance.
      root: the data root to write into.
      dance: the dance of a video, or of a folder without folders in it.
      fps, short_side, quality: see `Task`.

    Raises:
      UserError: there is no video, its dance is not known, two would become one clip, or an
        argument is out of range.
    """
    videos = pathlib.Path(videos)
    if fps < 0 or short_side < 0 or not 1 <= quality <= 100:
        raise UserError("expected --fps >= 0, --short_side >= 0 and --quality from 1 to 100")
    if not videos.exists():
        raise UserError(f"{videos}: no such video or folder")
    if pathlib.Path(root, "rgb").is_dir() and not pathlib.Path(root, "frames").is_dir():
        raise UserError(f"{root}: keeps its frames in rgb/; rename that to frames/ first")
    tasks, paths = [], {}
    for name, path in _list_videos(videos, dance):
        clip = name_clip(path.stem, name)
        if (other := paths.setdefault((name, clip), path)) != path:
            raise UserError(f"{path} and {other}: both would become the clip {clip}; rename one")
        tasks.append(Task(str(path), str(root), name, clip, float(fps), short_side, quality))
    if not tasks:
        raise UserError(f"{videos}: holds no video; expected files ending in {VIDEO_SUFFIXES}")
    return tasks


def name_clip(stem, dance):
    """The clip's name, <11 characters>_<start second>, of a video file's stem.

    A stem of this form stays; a bare YouTube id gets _000; any other becomes its first letters and
    a digest of dance and stem.
    """
    if CLIP.fullmatch(stem):
        return stem
    if CLIP.fullmatch(f"{stem}_000"):
        return f"{stem}_000"
    letters = re.sub(r"[^A-Za-z0-9]", "", stem)[:4]
    digest = base64.urlsafe_b64encode(hashlib.sha256(f"{dance}/{stem}".encode()).digest())
    return f"{letters}{digest.decode()[: 11 - len(letters)]}_000"


def extract_clip(task):
    """Writes a clip's frames. Returns ("done" or "there", number of frames), or ("bad", message).

    Raises:
      UserError: the clip is there already, made in another way or by something else; the root
        cannot be written to.
    """
    root = pathlib.Path(task.root)
    frames = root / "frames" / task.dance
    note = root / NOTES / task.dance / f"{task.clip}.json"
    partial = note.with_suffix(".partial")
    settings = {
        "video": os.path.basename(task.video), "bytes": os.path.getsize(task.video),
        "fps": task.fps, "short_side": task.short_side, "quality": task.quality,
    }  # fmt: skip
    if note.exists():
        found = json.loads(note.read_text())
        if {key: found.get(key) for key in settings} != settings:
            raise UserError(
                f"{note}: the clip was extracted from another video or with other settings; "
                "remove its frames and this file, or write to another root"
            )
        return "there", found["frames"]
    try:
        frames.mkdir(parents=True, exist_ok=True)
        note.parent.mkdir(parents=True, exist_ok=True)
        if partial.exists():
            _remove_frames(frames, task.clip)
        elif next(_list_frames(frames, task.clip), None):
            raise UserError(
                f"{frames}: has frames of the clip {task.clip} that were not extracted here; "
                "rename the video, or write to another root"
            )
        partial.touch()
        try:
            written = _write_frames(task, frames)
        except UserError as error:
            _remove_frames(frames, task.clip)
            partial.unlink()
            return "bad", str(error)
        partial.write_text(json.dumps(settings | written, indent=2) + "\n")
        os.replace(partial, note)
    except OSError as error:
        raise UserError(f"{task.root}: cannot be written: {error.strerror or error}") from None
    return "done", written["frames"]


def _write_frames(task, folder):
    """Writes the frames; says how many, their size, the video's size and rate."""
    frames, native_fps, _ = read_video(task.video)
    size = source_size = None
    number = 0
    for number, frame in enumerate(resample(frames, native_fps, task.fps), 1):
        source_size = (frame.shape[1], frame.shape[0])
        size = shrink_size(source_size, task.short_side)
        if size != source_size:
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        data = encode_image(frame, ".jpg", task.quality)
        (folder / f"{task.clip}_{number:04d}.jpg").write_bytes(data)
    return {"frames": number, "size": size, "video_size": source_size, "video_fps": native_fps}


def resample(frames, native_fps, fps):
    """Keeps frames so that `fps` of them make a second; repeats none, so no more than there are.

    Kept frame k, from 0, is frame `source_frame(k, native_fps, fps)` of the video.
    """
    frames = enumerate(frames)
    for k in itertools.count():
        wanted = source_frame(k, native_fps, fps)
        frame = next((frame for i, frame in frames if i >= wanted), None)
        if frame is None:
            return
        yield frame


def source_frame(k, native_fps, fps):
    """The video's frame nearest in time to kept frame k; k itself if fps is 0 or not lower."""
    return k if fps <= 0 or fps >= native_fps else int(k * native_fps / fps + 0.5)


def _list_videos(path, dance):
    """[(dance, video file)], sorted."""
    if path.is_file():
        if not dance:
            raise UserError(f"{path}: of which dance is it? give --dance=NAME")
        return [(dance, path)]
    loose = _videos_in(path)
    if loose and not dance:
        raise UserError(f"{loose[0]}: lies in no dance's folder; give --dance=NAME for all of them")
    found = [(dance, file) for file in loose]
    for folder in sorted(folder for folder in path.iterdir() if folder.is_dir()):
        found += [(folder.name, file) for file in _videos_in(folder)]
    return found


def _videos_in(folder):
    files = sorted(folder.iterdir())
    return [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file()]


def _list_frames(folder, clip):
    """The frame files of a clip."""
    name = re.compile(re.escape(clip) + r"_\d+\.jpg")
    return (pathlib.Path(e.path) for e in os.scandir(folder) if name.fullmatch(e.name))


def _remove_frames(folder, clip):
    for path in list(_list_frames(folder, clip)):
        path.unlink()
