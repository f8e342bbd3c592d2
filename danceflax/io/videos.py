"""Video files as streams of RGB frames with their times, in and out."""

import contextlib
import fractions
import itertools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import av
import cv2
import numpy as np
from jaxtyping import UInt8

from danceflax.errors import UserError
from danceflax.io.files import write_whole

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".gif",
    ".ts", ".mts", ".m2ts", ".3gp", ".3g2", ".ogv", ".vob",
)  # fmt: skip

# What browsers and editors play, as fast as pictures are drawn: of "veryfast" at crf 20 this takes
# less than half the time, and 1.2 times the bytes at its quality (docs/benchmarks.md). b_strategy 0
# fixes the places of B frames: to look for them takes a fifth of the time, and saves nothing.
CODECS = {
    ".mp4": ("libx264", {"crf": "22", "preset": "superfast", "b_strategy": "0"}),
    ".webm": ("libvpx", {"crf": "10", "b": "4M", "deadline": "realtime", "cpu-used": "8"}),
}
DEFAULT_FPS = 25.0
TICKS = 360_000  # a second, of the times written: whole numbers of them make all common rates
SAME, FIRST = 0.02, 2000  # how far two rates may differ; frames that tell a rate
# PyAV 19 and newer read a title in any encoding.
ANY_TITLE = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
STEADY = 0.02  # of the frames may come late in a video of one rate
TAIL = 0.5  # seconds that a file may claim to last beyond its last frame: sound often does


def open_container(path: str | os.PathLike) -> av.container.InputContainer:
    """A video file's packets, by FFmpeg. Raises OSError, ValueError or av.FFmpegError."""
    # An absolute path, for "cam:1.mp4" would be taken for a protocol.
    return av.open(os.path.abspath(path), **ANY_TITLE)


def read_video(path: str | os.PathLike) -> "Video":
    """Opens a video or GIF.

    Raises:
      UserError: there is no such file, it is not a video, or not one frame can be decoded.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"{path}: no such video file")
    try:
        container = open_container(path)
        stream = container.streams.video[0]
    except (OSError, ValueError, IndexError, av.FFmpegError):
        raise UserError(f"{path}: is not a video that FFmpeg can read; check the file") from None
    return Video(path, container, stream)


class Video:
    """An open video; iterating once gives (seconds from its first frame, frame), as it decodes.

    Frames are RGB, upright, and none is kept. What cannot be decoded is left out:
    the times then have a gap, and `lost` counts it.

    Attributes:
      path: of the file.
      fps: float, frames a second where it plays steadily; 25 where the file does not say.
      count: how many frames the file claims to have, or None; for a progress bar.
      duration: the seconds that it claims to last, or None.
      lost: once all is read: how many frames are damaged or not there.
    """

    def __init__(
        self, path: pathlib.Path, container: av.container.InputContainer, stream: av.VideoStream
    ):
        self.path, self._container, self._stream = path, container, stream
        stream.thread_type = "AUTO"
        self.fps = _find_rate(path, stream)
        duration = container.duration
        self.duration = duration / av.time_base if duration and duration > 0 else None
        estimate = round(self.duration * self.fps) if self.duration else None
        self._claimed = stream.frames  # which a closed container does not say
        self.count = self._claimed or estimate
        self.lost, self._shown, self._failed, self._hidden, self._gaps = 0, 0, 0, 0, []
        self._frames = self._decode()
        self._first = next(self._frames, None)
        if self._first is None:
            raise UserError(
                f"{path}: holds no frame that can be decoded; check the file, or convert it to .mp4"
            )

    def __iter__(self) -> Iterator[tuple[float, UInt8[np.ndarray, "H W 3"]]]:
        frame, start, last = self._first, self._first.time or 0.0, -1 / self.fps
        while frame is not None:
            time = last + 1 / self.fps if frame.time is None else frame.time - start
            if (gap := round((time - last) * self.fps) - 1) > 0:
                self._gaps.append(gap)
            self._shown, last = self._shown + 1, time
            yield time, _upright(frame)
            frame = next(self._frames, None)
        self._container.close()
        self.lost = self._count_lost(last)

    def describe_loss(self) -> str | None:
        """A line about what was lost, once all is read; None if nothing was."""
        if not self.lost:
            return None
        return (
            f"{self.path}: {self.lost:,} of {self._shown + self.lost:,} frames are damaged or not "
            "there, and left out; copy or convert the video again if they matter"
        )

    def _decode(self):
        """The frames that can be decoded; counts those that cannot, and those not to be shown."""
        with contextlib.suppress(av.FFmpegError):  # the container is cut short
            for packet in self._container.demux(self._stream):
                self._hidden += packet.is_discard  # an edit list cuts it off
                try:
                    for frame in packet.decode():
                        if frame.is_corrupt:
                            self._failed += 1
                        else:
                            yield frame
                except av.FFmpegError:
                    self._failed += bool(packet.size)

    def _count_lost(self, last):
        """Frames claimed and not shown. A file that counts none is believed as to how long it is,
        and its gaps count where they are rare, or something failed: a variable rate has many."""
        if self._claimed:
            return max(0, self._claimed - self._shown - self._hidden)
        tail = (self.duration or 0) - last - 1 / self.fps
        tail = round(tail * self.fps) if tail > TAIL else 0
        steady = self._failed or len(self._gaps) <= max(1, STEADY * self._shown)
        return tail + max(self._failed, sum(self._gaps) if steady else 0)


def _find_rate(path, stream):
    """Frames a second: what the file says, if its average and its base rate agree; else by the
    middle of the times between the first frames."""
    average, base = (float(r or 0) for r in (stream.average_rate, stream.guessed_rate))
    if average <= 0 or abs(average - base) > SAME * average:
        with contextlib.suppress(av.FFmpegError), open_container(path) as container:
            packets = itertools.islice(container.demux(video=0), FIRST)
            times = sorted(float(p.pts * p.time_base) for p in packets if p.pts is not None)
            average = 1 / max(np.median(np.diff(times)), 1e-9) if len(times) > 1 else average
    return float(average) if 0 < average <= 1000 else DEFAULT_FPS


def _upright(frame):
    """The pixels of a decoded frame, turned as the file says."""
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


class VideoWriter:
    """Writes RGB frames to an .mp4 (H.264) or .webm (VP8), as a context manager.

    The file takes its name when the block ends without an error; until then, and otherwise, there
    is none. Odd sizes, which the codecs lack, are rounded up by repeating the last row or column.

    Args:
      path: of the file.
      fps: how many frames make a second, where `write` does not say.

    Raises:
      UserError: another suffix, a folder that cannot be written to, frames of several sizes, or no
        frame at all.
    """

    def __init__(self, path: str | os.PathLike, fps: float = DEFAULT_FPS):
        self.path, self.fps = pathlib.Path(path), fps
        if self.path.suffix.lower() not in CODECS:
            raise UserError(f"{path}: videos are written as {' or '.join(CODECS)}; rename it")
        self._file = contextlib.ExitStack()
        self._container = self._shape = None
        self._count, self._tick = 0, -1

    def __enter__(self) -> "VideoWriter":
        return self

    def write(
        self, frame: UInt8[np.ndarray, "H W 3"], time: float | None = None, fps: float | None = None
    ) -> None:
        """Appends a frame.

        Args:
          frame: RGB.
          time: seconds from the first frame; by default 1 / fps after the frame before.
          fps: frames a second, nominally.
        """
        fps = float(fps or self.fps)
        if self._container is None:
            self._open(frame.shape, fps)
        if frame.shape != self._shape:
            height, width = frame.shape[:2]
            raise UserError(
                f"{self.path}: a frame of {width}x{height} in a video of "
                f"{self._shape[1]}x{self._shape[0]}; all must have one size"
            )
        odd = [(0, side % 2) for side in frame.shape[:2]]
        frame = np.pad(frame, [*odd, (0, 0)], "edge") if any(map(any, odd)) else frame
        planes = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2YUV_I420)
        picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        time = self._count / fps if time is None else time
        self._tick = picture.pts = max(self._tick + 1, round(time * TICKS))
        picture.duration = round(TICKS / fps)
        picture.time_base = fractions.Fraction(1, TICKS)
        self._container.mux(self._stream.encode(picture))
        self._count += 1

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._container is None:
            self._file.close()
            if kind is None:
                raise UserError(f"{self.path}: there was no frame to write")
            return
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
            self._container.close()
        except av.FFmpegError as fault:
            kind, error = type(fault), fault
            raise UserError(f"{self.path}: cannot be written: {fault.strerror}") from None
        finally:
            self._file.__exit__(kind, error, None)  # the file takes its name, or goes

    def _open(self, shape, fps):
        if not 0 < fps <= 1000:
            raise UserError(f"{self.path}: {fps:g} frames a second; expected more than 0, to 1000")
        suffix = self.path.suffix.lower()
        codec, options = CODECS[suffix]
        self._shape = shape
        temporary = self._file.enter_context(write_whole(self.path))
        header = {"movflags": "faststart"} if suffix == ".mp4" else {}
        self._container = av.open(os.path.abspath(temporary), "w", container_options=header)
        rate = fractions.Fraction(fps).limit_denominator(1001)
        self._stream = self._container.add_stream(codec, rate=rate, options=options)
        self._stream.height, self._stream.width = (side + side % 2 for side in shape[:2])
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = fractions.Fraction(1, TICKS)
