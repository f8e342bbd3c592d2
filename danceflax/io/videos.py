"""Video files as streams of RGB frames, in and out, and what a path given by a person holds."""

import contextlib
import glob
import math
import os
import pathlib

import cv2
import numpy as np

from danceflax.errors import UserError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".webm", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".gif")

# OpenCV's wheels cannot write H.264. Browsers play VP8 and VP9 in .webm; VP8 is encoded five times
# as fast at the same size and error (960x448: 11 against 2 frames a second on two busy CPU cores).
# Browsers do not play the MPEG-4 in .mp4; desktop players and editors do.
CODECS = {".webm": "VP80", ".mp4": "mp4v"}
DEFAULT_FPS = 25.0


def list_inputs(path):
    """[(path, kind)] of an image, a video, or a folder's images and videos, sorted by name.

    The path may be a pattern, "folder/clip_*.jpg". `kind` is "image" or "video", by the file's
    suffix; a GIF is a video. A folder's other files and its subfolders are passed over.

    Raises:
      UserError: nothing is there, the folder holds neither, or the file is neither.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        files = sorted(path.iterdir())
    else:
        files = [path] if path.exists() else sorted(map(pathlib.Path, glob.glob(str(path))))
    if not files and not path.exists():
        raise UserError(f"{path}: no such file or folder")
    inputs = []
    for file in files:
        suffix = file.suffix.lower()
        if file.is_file() and not file.name.startswith("."):
            if suffix in IMAGE_SUFFIXES:
                inputs.append((file, "image"))
            elif suffix in VIDEO_SUFFIXES:
                inputs.append((file, "video"))
    if not inputs:
        what = "holds no" if path.is_dir() else "is not an"
        known = " ".join(IMAGE_SUFFIXES + VIDEO_SUFFIXES)
        raise UserError(f"{path}: {what} image or video; give one ending in {known}")
    return inputs


def read_video(path):
    """Opens a video or GIF.

    Returns:
      frames: iterator of uint8 [H, W, 3] RGB, upright; decoded as it goes, nothing is kept.
      fps: float frames a second; 25 where the file does not say.
      count: the number of frames the file claims, for a progress bar, or None. It may be wrong:
        `frames` ends where the video does.

    Raises:
      UserError: there is no such file, it is not a video, or not one frame can be decoded.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such video file")
    with _quiet():
        capture = cv2.VideoCapture(str(path))
        opened, (found, first) = capture.isOpened(), capture.read()
    if not found:
        capture.release()
        fault = "holds no frame that can be decoded" if opened else "is not a video OpenCV can read"
        raise UserError(f"{path}: {fault}; check the file, or convert it to .mp4")
    fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    fps = float(fps) if math.isfinite(fps) and 0 < fps <= 1000 else DEFAULT_FPS
    count = int(count) if math.isfinite(count) and count > 0 else None
    return _frames(capture, first), fps, count


class VideoWriter:
    """Writes RGB frames to a .webm (plays in browsers) or .mp4 (does not), as a context manager.

    The file takes its name when the block ends without an error; until then, and otherwise, there
    is none. Odd sizes, which the codecs lack, are rounded up by repeating the last row or column.

    Raises:
      UserError: another suffix, a codec or folder that cannot be written to, frames of several
        sizes, or no frame at all.
    """

    def __init__(self, path, fps):
        self.path, self.fps = pathlib.Path(path), fps
        if self.path.suffix.lower() not in CODECS:
            raise UserError(f"{path}: videos are written as {' or '.join(CODECS)}; rename it")
        self._temporary = self.path.with_name(f".{self.path.stem}.tmp{self.path.suffix}")
        self._writer = self._shape = None

    def __enter__(self):
        return self

    def write(self, frame):
        """Appends a frame, uint8 [H, W, 3] RGB."""
        if self._writer is None:
            self._open(frame.shape)
        if frame.shape != self._shape:
            height, width = frame.shape[:2]
            raise UserError(
                f"{self.path}: a frame of {width}x{height} in a video of "
                f"{self._shape[1]}x{self._shape[0]}; all must have one size"
            )
        frame = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2BGR)
        bottom, right = (side % 2 for side in self._shape[:2])
        if bottom or right:
            frame = cv2.copyMakeBorder(frame, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        self._writer.write(frame)

    def __exit__(self, kind, error, traceback):
        if self._writer is not None:
            self._writer.release()
        if kind is not None:
            self._temporary.unlink(missing_ok=True)
        elif self._writer is None:
            raise UserError(f"{self.path}: there was no frame to write")
        else:
            os.replace(self._temporary, self.path)

    def _open(self, shape):
        codec = CODECS[self.path.suffix.lower()]
        size = tuple(side + side % 2 for side in (shape[1], shape[0]))
        with _quiet():
            fourcc = cv2.VideoWriter_fourcc(*codec)
            writer = cv2.VideoWriter(str(self._temporary), fourcc, self.fps, size)
        if not writer.isOpened():
            raise UserError(
                f"{self.path}: cannot be written as {codec} video of {size[0]}x{size[1]}; check "
                "that the folder is there, and that this OpenCV has the codec"
            )
        self._writer, self._shape = writer, shape


def _frames(capture, first):
    try:
        frame = first
        while frame is not None:
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            frame = capture.read()[1]
    finally:
        capture.release()


@contextlib.contextmanager
def _quiet():
    """Keeps what FFmpeg and OpenCV print while they open a file off the standard error stream.

    Writing .webm always prints a tag that "is not supported" and then works; a file that cannot be
    read is reported by an exception.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
