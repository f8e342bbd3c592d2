"""What may be uploaded, told before a picture is decoded."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from conftest import make_video

from danceflax.app import uploads
from danceflax.app.uploads import Limits, check_upload
from danceflax.errors import UserError
from danceflax.io.videos import VideoWriter

LIMITS = Limits(bytes=1_000_000, seconds=5)


def png_header(width, height):
    """The first bytes of a picture, of which there is nothing else."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + checked + struct.pack(">I", 1) + b"IDAT"


def test_what_is_taken(tmp_path):
    cv2.imwrite(str(tmp_path / "a.webp"), np.zeros((30, 40, 3), np.uint8))
    assert check_upload(tmp_path / "a.webp", LIMITS) == "image"
    assert check_upload(make_video(tmp_path / "a.mp4"), LIMITS) == "video"
    with VideoWriter(tmp_path / "4k.mp4", 5) as video:
        for _ in range(2):
            video.write(np.zeros((2160, 3840, 3), np.uint8))
    assert check_upload(tmp_path / "4k.mp4", LIMITS) == "video"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.png", bytes(1_000_001), "a.png: 1 MB; at most 1 MB are taken"),
        ("a.png", png_header(9_000, 8_000), "a.png: 9000x8000 pixels; at most 64 million"),
        ("a.png", png_header(30_000, 30_000), "a.png: at most 64 million pixels are taken"),
        ("a.png", png_header(8_000, 7_000)[:20], "a.png: is not an image that can be read"),
        ("a.mp4", b"", "a.mp4: is not a video that can be read"),
        ("a.txt", b"", "a.txt: is not an image or video; give one ending in"),
    ],
)
def test_what_is_refused(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        check_upload(tmp_path / name, LIMITS)


def test_long_videos_are_refused_by_their_packets(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.webm", num_frames=70, fps=10)
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3  # Matroska's Duration, a float of 8 bytes
    path.write_bytes(data[:at] + struct.pack(">d", 1000.0) + data[at + 8 :])  # it claims a second
    with pytest.raises(UserError, match=r"a\.webm: lasts longer than 5 s"):
        check_upload(path, LIMITS)
    assert check_upload(path, LIMITS._replace(seconds=7)) == "video"
    monkeypatch.setattr(uploads, "VIDEO_PIXELS", 100)
    with pytest.raises(UserError, match=r"a\.webm: 160x96 pixels; at most 0 million"):
        check_upload(path, LIMITS._replace(seconds=7))
