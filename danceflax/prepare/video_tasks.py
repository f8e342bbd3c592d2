"""Which videos there are, of which dance by the folders they lie in, and what becomes of each."""

import os
import pathlib
import re
import typing

from danceflax.errors import UserError
from danceflax.io.listing import count_key, list_folder
from danceflax.io.videos import VIDEO_SUFFIXES

NOTES = "extracted"
YOUTUBE = re.compile(r"([A-Za-z0-9_-]{11})(?:_(\d{3,}))?")  # an id, and the second it starts at


class Task(typing.NamedTuple):
    """One video and what becomes of it."""

    video: str
    source: str  # <dance>/<path>, as clips.csv calls it
    root: str
    dance: str
    name: str  # of the video, which its clips keep
    fps: float  # frames a second to keep; 0 keeps all
    cut: float  # seconds a clip; 0 makes one clip of a video
    short_side: int  # pixels; larger frames are shrunk to it; 0 keeps their size
    quality: int  # of the JPEGs


def plan_extraction(
    videos: str | os.PathLike,
    root: str | os.PathLike,
    dance: str | None = None,
    fps: float = 0.0,
    short_side: int = 0,
    quality: int = 95,
    cut: float = 0.0,
) -> tuple[list[Task], list[str]]:
    """Finds the videos.

    Args:
      videos: a video, a folder of videos, or a folder of one folder a dance; at any depth.
      root: the data root to write into.
      dance: the dance of a video, or of a folder without folders in it.
      fps, short_side, quality, cut: see `Task`.

    Returns:
      A task for each video, and the names of the other files, which are passed over.

    Raises:
      UserError: there is no video, its dance is not known, two would become one clip, or an
        argument is out of range.
    """
    videos = pathlib.Path(videos).expanduser()
    if fps < 0 or short_side < 0 or not 1 <= quality <= 100 or not (cut == 0 or cut >= 1):
        raise UserError(
            "expected --fps >= 0, --short_side >= 0, --quality from 1 to 100, and --cut of 0 or "
            "at least 1 second"
        )
    if not videos.exists():
        raise UserError(f"{videos}: no such video or folder")
    if pathlib.Path(root, "rgb").is_dir() and not pathlib.Path(root, "frames").is_dir():
        raise UserError(f"{root}: keeps its frames in rgb/; rename that to frames/ first")
    tasks, others, paths = [], [], {}
    for path, of, name in _list_files(videos, dance):
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            others.append(str(path))
            continue
        if not of:
            raise UserError(f"{path}: lies in no dance's folder; give --dance=NAME")
        if other := paths.get((of, name_clip(name))):
            raise UserError(f"{path} and {other}: both would become {name_clip(name)}; rename one")
        paths[of, name_clip(name)] = path
        source = f"{of}/{name}{path.suffix}"
        where = (str(path.absolute()), source, os.path.abspath(root))  # for any machine
        tasks.append(Task(*where, of, name, fps, cut, short_side, quality))
    if not tasks:
        known = " ".join(VIDEO_SUFFIXES)
        raise UserError(f"{videos}: holds no video; expected files ending in {known}")
    return tasks, others


def name_clip(name: str, start: float = 0.0) -> str:
    """<name>_<start second> of a clip that starts so many seconds into the video of that name.

    <11 characters>_<start second> is already such a clip, as those of Let's Dance are.
    """
    match = YOUTUBE.fullmatch(name)
    video, first = match.groups() if match else (name, None)
    return f"{video}_{int(first or 0) + int(start):03d}"


def note_of(task: Task) -> pathlib.Path:
    """The file that says how the video was extracted; there once it is whole."""
    return pathlib.Path(task.root, NOTES, task.dance, f"{task.name}.json")


def group_of_video(task: Task) -> str:
    """What no two splits may share of the clips of a video; see `ClipNote`."""
    match = YOUTUBE.fullmatch(task.name)
    return match[1] if match else f"{task.dance}/{task.name}"


def _list_files(path, dance):
    """Yields (file, its dance or None, its name) of a video, or of a folder and those in it. Names
    of files in deeper folders begin with those of the folders."""
    if path.is_file():
        yield path, dance, path.stem
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(set(folders) & set(list_folder(folder)), key=count_key)
        parts = pathlib.Path(folder).relative_to(path).parts
        of, parts = (dance, parts) if dance else (parts[0] if parts else None, parts[1:])
        for file in sorted(set(files) & set(list_folder(folder)), key=count_key):
            file = pathlib.Path(folder, file)
            yield file, of, "-".join((*parts, file.stem))
