"""Frames of a video that wait on disk, compressed, until it is known what to draw on them."""

import tempfile
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from danceflax.io.images import decode_image, encode_image


class FrameStore:
    """Frames and their times, in the order they came in; the file goes with the object."""

    def __init__(self):
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._entries = []

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, time: float, frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """Keeps a frame, as JPEG, and its time in seconds."""
        data = encode_image(frame, ".jpg")
        self._entries.append((time, len(data)))
        self._file.write(data)

    def __iter__(self) -> Iterator[tuple[float, UInt8[np.ndarray, "H W 3"]]]:
        self._file.seek(0)
        for time, size in self._entries:
            yield time, decode_image(self._file.read(size), "a frame that was kept")
