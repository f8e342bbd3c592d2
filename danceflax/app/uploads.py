"""What may be uploaded: told from a file's header, before a picture of it is decoded."""

import os
import pathlib
import typing
import warnings

import av
import PIL.Image

from danceflax.errors import UserError
from danceflax.io.images import MAX_PIXELS
from danceflax.io.listing import list_inputs
from danceflax.io.videos import open_container

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
    if kind == "image":
        _check_image(path)
    else:
        _check_video(path, limits.seconds)
    return kind


def _check_image(path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(path) as image:
                _check_pixels(path, image.size, MAX_PIXELS)
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
        raise UserError(
            f"{path}: at most {MAX_PIXELS / 1e6:.0f} million pixels are taken; shrink it"
        ) from None
    except (OSError, SyntaxError, ValueError):
        raise UserError(f"{path}: is not an image that can be read; check the file") from None


def _check_pixels(path, size, most):
    if size[0] * size[1] > most:
        raise UserError(
            f"{path}: {size[0]}x{size[1]} pixels; at most {most / 1e6:.0f} million are taken, so "
            "shrink it"
        )


def _check_video(path, most):
    """How long it lasts its packets say as well: not every header does, and some are wrong."""
    try:
        with open_container(path) as container:
            stream = container.streams.video[0]
            _check_pixels(path, (stream.width, stream.height), VIDEO_PIXELS)
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
    except (OSError, ValueError, IndexError, av.FFmpegError):
        raise UserError(f"{path}: is not a video that can be read; check the file") from None
