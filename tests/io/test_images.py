"""Images as cameras, phones and callers give them."""

import io

import cv2
import numpy as np
import PIL.Image
import pytest
from conftest import shared_data

from danceflax.errors import BadSampleError, UserError
from danceflax.io.images import IMAGE_SUFFIXES, as_pixels, decode_image, find_image, read_image
from danceflax.io.videos import VideoWriter


@pytest.fixture(scope="module")
def picture():
    y, x = np.mgrid[:60, :90]
    return np.stack([x * 2, y * 4, x + y], -1).astype(np.uint8)


def encode(picture, kind, **options):
    data = io.BytesIO()
    PIL.Image.fromarray(picture).save(data, kind, **options)
    return data.getvalue()


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """The film that a phone hides behind a picture: two seconds of noise."""
    path, rng = tmp_path_factory.mktemp("film") / "a.mp4", np.random.default_rng(0)
    with VideoWriter(path, 25) as video:
        for _ in range(50):
            video.write(rng.integers(0, 255, (64, 96, 3), np.uint8))
    return path.read_bytes()


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08"}]
)
def test_a_motion_photo_is_whole_by_its_structure(picture, film, options):
    """A JPEG of Pillow's with an MP4 behind it; without its end, or a bit of it, it is cut short,
    whatever lies behind."""
    data = encode(picture, "JPEG", quality=95, restart_marker_blocks=2, **options)
    for tail in (b"", film, b"\0" * 9000):
        image = decode_image(data + tail, "a.jpg")
        assert np.abs(image.astype(int) - picture).mean() < 4
    for cut in (len(data) - 2, len(data) * 2 // 3, len(data) // 2, 30):
        with pytest.raises(BadSampleError, match="cut short"):
            decode_image(data[:cut], "a.jpg")


def test_a_png_with_something_behind_it(picture, film):
    data = encode(picture, "PNG")
    np.testing.assert_array_equal(decode_image(data + film, "a.png"), picture)
    for cut in (len(data) - 8, len(data) // 2):
        with pytest.raises(BadSampleError, match="cut short"):
            decode_image(data[:cut], "a.png")


def test_a_thumbnail_s_end_is_not_the_picture_s(picture):
    """The thumbnail inside ends with the same two bytes, close to the end of the cut file."""
    thumbnail = encode(picture[::4, ::4], "JPEG")
    segment = b"\xff\xe2" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    data = encode(picture, "JPEG", quality=30)
    whole = data[:2] + segment + data[2:]
    assert decode_image(whole, "a.jpg").shape == picture.shape
    with pytest.raises(BadSampleError, match="cut short"):
        decode_image(whole[:-20], "a.jpg")


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"]
)
def test_a_jpeg_may_come_smaller(exif):
    """At the smallest fraction that leaves enough; a pixel is the mean of its place."""
    y, x = np.mgrid[:240, :360]
    picture = np.stack([x // 2, y, (x + y) // 3], -1).astype(np.uint8)
    data = encode(picture, "JPEG", quality=95, exif=exif)
    whole = decode_image(data, "a.jpg")
    for least, n in ((0, 1), (121, 1), (120, 2), (61, 2), (60, 4), (30, 8), (1, 8)):
        image = decode_image(data, "a.jpg", least_side=least)
        assert image.shape[:2] == image_shape(whole, n)
        height, width = (side // n for side in whole.shape[:2])
        blocks = whole[: height * n, : width * n].reshape(height, n, width, n, 3)
        assert np.abs(image[:height, :width] - blocks.mean((1, 3))).mean() < 1
    assert decode_image(data, "a.jpg", grey=True, least_side=60).shape == image_shape(whole, 4)
    data = encode(picture, "PNG")
    np.testing.assert_array_equal(decode_image(data, "a.png", least_side=30), picture)


def image_shape(image, n):
    return tuple(-(-side // n) for side in image.shape[:2])


def test_real_photographs_are_whole():
    for path in sorted(shared_data("coco").glob("*.jpg")):
        data = path.read_bytes()
        assert decode_image(data + b"MotionPhoto_Data" * 400, path).ndim == 3
        with pytest.raises(BadSampleError, match="cut short"):
            decode_image(data[:-500], path)


def test_an_image_is_found_whatever_its_suffix(tmp_path, picture):
    for name in ("a.JPG", "b.png", "c.jpeg", "d.webp", "e.TIFF"):
        data = cv2.imencode(name[1:].lower(), picture)[1].tobytes()
        (tmp_path / name).write_bytes(data)
        assert find_image(tmp_path / f"{name[0]}.jpg") == str(tmp_path / name)
        assert read_image(find_image(tmp_path / f"{name[0]}.jpg")).shape == picture.shape
    assert find_image(tmp_path / "none.jpg") == str(tmp_path / "none.jpg")
    assert {".jpg", ".jpeg", ".png", ".webp"} <= set(IMAGE_SUFFIXES)


def test_what_callers_have_becomes_pixels(tmp_path, picture):
    path = tmp_path / "a.png"
    path.write_bytes(encode(picture, "PNG"))
    grey = picture[..., 1]
    for image in (
        picture,
        picture.astype(np.float32) / 255,
        picture.astype(np.float64) / 255,
        picture.astype(np.int64),
        PIL.Image.fromarray(picture),
        path,
        str(path),
        np.dstack([picture, np.full(grey.shape, 9, np.uint8)]),
        picture[:, ::-1][:, ::-1],
    ):
        found = as_pixels(image)
        assert found.dtype == np.uint8 and found.flags.c_contiguous
        np.testing.assert_array_equal(found, picture)
    for image in (grey, grey[..., None], PIL.Image.fromarray(grey)):
        np.testing.assert_array_equal(as_pixels(image), np.stack([grey] * 3, -1))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((4, 4, 3), 200.0), "floats in 0..1, and this is float64 from 200 to 200"),
        (np.full((4, 4, 3), -0.5), "from -0.5 to -0.5"),
        (np.full((4, 4, 3), np.nan), "from nan to nan"),
        (np.ones((4, 4, 3), np.int32), "int32 from 1 to 1"),
        (np.full((4, 4, 3), 300, np.uint16), "uint16 from 300 to 300"),
        (np.zeros((3, 5, 5), np.uint8), r"\[H, W, 3\], and this is ndarray \[3, 5, 5\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"ndarray \[2, 4, 4, 3\]"),
        (np.zeros((0, 4, 3), np.uint8), r"ndarray \[0, 4, 3\]"),
        (np.zeros((4, 4, 3), bool), "this is bool"),
        ([np.zeros((4, 4, 3), np.uint8)] * 2, "this is a list of 2"),
        (None, "this is NoneType"),
        (3, "this is int"),
        ("nowhere.jpg", "nowhere.jpg: cannot be read"),
    ],
)  # fmt: skip
def test_what_may_be_meant_otherwise_is_refused_in_one_line(image, message):
    with pytest.raises(UserError, match=message) as error:
        as_pixels(image)
    assert "\n" not in str(error.value)
