"""Optical flow as pictures: +-BOUND pixels map to 0..255, as two-stream networks have it.

Simonyan and Zisserman 2014; Carreira and Zisserman 2017.

A file is a grey PNG [2 h, w]: the x component above the y component.
"""

import os

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from danceflax.errors import BadSampleError, UserError
from danceflax.io.files import write_bytes
from danceflax.io.images import decode_image, read_bytes

BOUND = 20.0  # pixels; longer motion is cut to it

# Half as long to read as what OpenCV writes by itself, and smaller; 1.3 ms more to write. What
# older versions of it do not know they leave.
WRITING = [cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_PNG_STRATEGY]
WRITING += [cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):
    WRITING += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]


def encode_flow(flow: Float[np.ndarray, "..."], bound: float = BOUND) -> UInt8[np.ndarray, "..."]:
    """Pixels to bytes: uint8 round((x + bound) * 255 / (2 bound)), cut off at +-bound."""
    return np.rint((np.clip(flow, -bound, bound) + bound) * (255 / (2 * bound))).astype(np.uint8)


def decode_flow(data: UInt8[np.ndarray, "..."], bound: float = BOUND) -> Float[np.ndarray, "..."]:
    """Bytes to pixels, float32: the inverse of `encode_flow` to within bound / 255."""
    flow = np.asarray(data, np.float32) * np.float32(2 * bound / 255)
    flow -= np.float32(bound)
    return flow


def read_flow(path: str | os.PathLike) -> Float[np.ndarray, "h w 2"]:
    """The flow of a file, (x, y) in pixels. Raises UserError: it cannot be read."""
    try:
        data = decode_image(read_bytes(path, path), path, grey=True)
    except BadSampleError as error:
        raise UserError(f"{error}; no flow can be read: make it by prepare_data.py flow") from None
    if len(data) % 2:
        raise UserError(f"{path}: no flow can be read; make it by prepare_data.py flow")
    return decode_flow(cv2.merge(np.split(data, 2)))


def write_flow(path: str | os.PathLike, flow: Float[np.ndarray, "h w 2"]) -> None:
    """Writes a flow, whole or not at all."""
    encoded = encode_flow(flow)
    data = np.concatenate([encoded[..., 0], encoded[..., 1]])
    write_bytes(path, cv2.imencode(".png", data, WRITING)[1].tobytes())
