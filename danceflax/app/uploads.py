"""What may be uploaded: told from a file's header, before a picture of it is decoded."""

import os
import pathlib
import typing

import av
import PIL.Image

from danceflax.errors import UserError
from danceflax.io.images import MAX_PIXELS
from danceflax.io.listing import list_inputs

VIDEO_PIXELS = 4096 * 4096  # of a frame: 4k, and what cameras call so


class Limits(typing.NamedTuple):
    """Bytes of a file, and seconds of a video."""

    bytes: int
    seconds: float


def check_upload(path: pathlib.Path, limits: Limits) -> str:
    """ "image" or "video".

    Raises:
      UserError: it is neither, cannot be read, or is larger or longer than the limits say.
    """
    size = os.path.getsize(path)
    if size > limits.bytes:
        raise UserError(
            f"{path}: {size / 1e6:,.0f} MB; at most {limits.bytes / 1e6:,.0f} MB are taken"
        )
    [(_, kind)], _ = list_inputs(path)
    width, height = _image_size(path) if kind == "image" else _video_size(path, limits.seconds)
    most = MAX_PIXELS if kind == "image" else VIDEO_PIXELS
    if width * height > most:
        raise UserError(
            f"{path}: {width}x{height} pixels; at most {most / 1e6:.0f} million are taken, so "
            "shrink it"
        )
    return kind


def _image_size(path):
    try:
        with PIL.Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError):
        raise UserError(f"{path}: is not an image that can be read; check the file") from None


def _video_size(path, most):
    """(width, height) of a video's frames, if it lasts no longer than `most` seconds. Its packets
    say so as well: not every header does, and some are wrong."""
    try:
        with av.open(os.path.abspath(path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            seconds = (container.duration or 0) / av.time_base
            start = None
            for packet in container.demux(stream):
                if packet.pts is not None:
                    start = packet.pts if start is None else start
                    seconds = max(seconds, float((packet.pts - start) * packet.time_base))
                if seconds > most:
                    raise UserError(
                        f"{path}: lasts longer than {most:g} s, which is what is taken; cut it"
                    )
            return stream.width, stream.height
    except (OSError, ValueError, IndexError, av.FFmpegError):
        raise UserError(f"{path}: is not a video that can be read; check the file") from None
