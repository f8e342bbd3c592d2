"""Reads images, and refuses those that are damaged, instead of training on half of one."""

import os
import pathlib
import re
import struct
import typing
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from jaxtyping import UInt8

from danceflax.errors import BadSampleError, UserError
from danceflax.io import files
from danceflax.io.files import write_bytes
from danceflax.io.pipeline import map_ahead

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
MAX_BYTES = 256_000_000  # of a picture's file
MAX_PIXELS = 64_000_000  # larger pictures are mistakes; decoding one would take gigabytes

JPEG = b"\xff\xd8"  # how one begins
# The start of a JPEG's next part: in pixels, 0xff is followed by 0, or by a restart's number.
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd8\xff]")

READ_RGB = getattr(cv2, "IMREAD_COLOR_RGB", None)  # decodes to RGB at once; not in OpenCV 4.10
# Which bit of such a flag divides the size by what.
REDUCED = (
    (8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
    (4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    (2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
)


def read_image(
    path: str | os.PathLike, where: str | os.PathLike | None = None, least_side: int = 0
) -> UInt8[np.ndarray, "H W 3"]:
    """Returns the image file as RGB, turned upright as its EXIF data says.

    Args:
      path: the file.
      where: what error messages call it; the path by default.
      least_side: a JPEG may come at a half, a quarter or an eighth of its size, rounded up, while
        its shorter side stays at least so long; 0: as it is. Less is decoded then, and a pixel is
        the mean of those that it stands for within some grey levels (on average one).

    Raises:
      BadSampleError: the file is missing, empty, truncated, too large, or not an image.
    """
    where = where or path
    return decode_image(read_bytes(path, where), where, least_side=least_side)


def read_images(
    paths: Iterable[str | os.PathLike], faults: list[str]
) -> Iterator[tuple[pathlib.Path, UInt8[np.ndarray, "H W 3"]]]:
    """(path, image) of each file that can be read, in order, decoded ahead in a few threads; of the
    others the messages go to `faults`."""

    def read(path):
        try:
            return pathlib.Path(path), read_image(path)
        except BadSampleError as error:
            return None, str(error)

    for path, image in map_ahead(read, paths):
        if path is None:
            faults.append(image)
        else:
            yield path, image


def as_pixels(image: typing.Any) -> UInt8[np.ndarray, "H W 3"]:
    """The pixels of what a caller has: an array, a picture of PIL, or the path of a file.

    Args:
      image: [H, W, 3] RGB, [H, W, 4] RGBA, [H, W] or [H, W, 1] grey. Whole numbers lie in 0..255,
        floats in 0..1.

    Raises:
      UserError: it is none of these, or its numbers may be meant otherwise.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    kind = type(image).__name__
    if hasattr(image, "convert"):  # PIL's
        image = image.convert("RGB")
    if isinstance(image, (list, tuple)):
        raise UserError(f"one image is expected, and this is a {kind} of {len(image)}")
    try:
        pixels = np.asarray(image)
    except (TypeError, ValueError, RuntimeError):
        pixels = np.empty(0)
    shape = pixels.shape
    channels = shape[2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels not in (1, 3, 4) or not pixels.size:
        raise UserError(f"an image is expected as [H, W, 3], and this is {kind} {list(shape)}")
    if pixels.dtype != np.uint8:
        pixels = _to_bytes(pixels)
    pixels = pixels.reshape(*shape[:2], channels)[..., :3]
    return np.ascontiguousarray(np.broadcast_to(pixels, (*shape[:2], 3)))


def _to_bytes(pixels):
    """Floats in 0..1 and whole numbers in 0..255 as uint8; what may be meant otherwise is refused:
    floats beyond 1, and whole numbers none of which is."""
    low, high, kind = pixels.min(), pixels.max(), pixels.dtype.kind
    if kind == "f" and low >= 0 and high <= 1:
        return np.rint(pixels * 255).astype(np.uint8)
    if kind in "ui" and low >= 0 and 1 < high <= 255:
        return pixels.astype(np.uint8)
    raise UserError(
        f"an image is expected as uint8, or as floats in 0..1, and this is {pixels.dtype} from "
        f"{low:g} to {high:g}; convert it"
    )


def find_image(path: str | os.PathLike) -> str:
    """The path, or the image beside it whose name has another suffix: .png for .jpg, .JPG.

    Lists name their frames .jpg, whatever they are; a path of nothing comes back as it is.
    """
    path = str(path)
    if os.path.exists(path):
        return path
    stem = os.path.splitext(path)[0]
    others = (stem + case for suffix in IMAGE_SUFFIXES for case in (suffix, suffix.upper()))
    return next(filter(os.path.exists, others), path)


def read_bytes(path: str | os.PathLike, where: str | os.PathLike) -> bytes:
    """A file's bytes. Raises BadSampleError: it cannot be read."""
    try:
        return files.read_bytes(path, MAX_BYTES)
    except OSError as error:
        raise _bad("missing", where, f"cannot be read: {error.strerror or error}") from None


def decode_image(
    data: bytes, where: str | os.PathLike, grey: bool = False, least_side: int = 0
) -> UInt8[np.ndarray, "H W 3"] | UInt8[np.ndarray, "H W"]:
    """`read_image` of a file's bytes; `where` is what error messages call it."""
    if not data:
        raise _bad("empty", where, "the file is empty; extract or download it again")
    if _is_truncated(data):
        raise _bad("truncated", where, "the image is cut short; extract or download it again")
    height, width = _size(data)
    if height * width > MAX_PIXELS:
        raise _bad(
            "too large",
            where,
            f"{width}x{height} pixels; at most {MAX_PIXELS:,} are read, so shrink it",
        )
    how = cv2.IMREAD_GRAYSCALE if grey else READ_RGB or cv2.IMREAD_COLOR
    if least_side and data.startswith(JPEG):
        how |= next((flag for n, flag in REDUCED if min(height, width) >= n * least_side), 0)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:
        image = None
    if image is None:
        raise _bad("unreadable", where, "cannot be decoded as an image")
    return image if READ_RGB or grey else cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def encode_image(image: UInt8[np.ndarray, "H W 3"], suffix: str, quality: int = 95) -> bytes:
    """An RGB image as the bytes of a file; `quality` is a JPEG's, 1 to 100."""
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix.lower() in (".jpg", ".jpeg") else []
    return cv2.imencode(suffix, bgr, options)[1].tobytes()


def write_image(path: str | os.PathLike, image: UInt8[np.ndarray, "H W 3"]) -> None:
    """Writes an RGB image, whole or not at all; the suffix says the format."""
    write_bytes(path, encode_image(image, pathlib.Path(path).suffix))


def shrink_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Two sides with the shorter at most `short_side` pixels (0: any length), in proportion."""
    ratio = short_side / min(size) if short_side else 1
    return size if ratio >= 1 else tuple(max(1, round(side * ratio)) for side in size)


def _bad(fault, where, message):
    """A BadSampleError that `danceflax.prepare.check` can count by kind."""
    error = BadSampleError(f"{where}: {message}")
    error.fault = fault
    return error


def _is_truncated(data):
    """A JPEG or PNG that ends before its own end; OpenCV would fill in the rest with grey.

    The end is found by walking the parts, so that what comes behind it does not matter: the film of
    a motion photo, the padding of some cameras.
    """
    if data.startswith(JPEG):
        position = 2
        while match := MARKER.search(data, position):
            if match[0] == b"\xff\xd9":
                return False
            position = match.end()
            if match[0] != b"\xff\x01":  # the only other one without a length
                position += int.from_bytes(data[position : position + 2], "big")
        return True
    if data.startswith(b"\x89PNG"):
        position = 8
        while position + 8 <= len(data) and data[position + 4 : position + 8] != b"IEND":
            position += 12 + int.from_bytes(data[position : position + 4], "big")
        return position + 8 > len(data)
    return False


def _size(data):
    """(height, width) as a JPEG's or PNG's header states; (0, 0) for other formats."""
    if data.startswith(b"\x89PNG") and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return height, width
    position = 2 if data.startswith(JPEG) else len(data)
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            return struct.unpack_from(">HH", data, position + 5)
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return 0, 0
