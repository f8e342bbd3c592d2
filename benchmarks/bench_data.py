"""Reading data beside plain OpenCV loops that do no more than the same work.

    python benchmarks/bench_data.py [--rounds 7]

A made-up clip of 64 frames: read as the 64x224x224 input of a classifier, as flow from files, and
cut into frames from a video. The peers read the same files by cv2.imread and cv2.VideoCapture, crop
and resize, and check nothing. All run in one thread, as the loader has many, but FFmpeg's.
"""

import pathlib
import tempfile
from collections import deque

import cv2
import numpy as np
from harness import compare, run_figure

from danceflax.dance.augment import read_views
from danceflax.io.flow_files import read_flow, write_flow
from danceflax.io.images import read_image
from danceflax.io.videos import VideoWriter, read_video

FRAMES, SIDE = 64, 224
PEER = "an OpenCV loop"
SIZES = {"640x360": (360, 640), "1280x720": (720, 1280)}  # of frames


def write_clip(folder, size):
    """Textured frames, of 640x360 about 40 KB, and a video of them."""
    rng = np.random.default_rng(0)
    picture = cv2.resize(
        rng.integers(0, 255, (60, 100, 3), np.uint8), (size[1] + 260, size[0] + 240)
    )
    folder.mkdir()
    with VideoWriter(folder / "clip.mp4") as video:
        for i in range(FRAMES):
            frame = picture[2 * i : 2 * i + size[0], 3 * i : 3 * i + size[1]]
            cv2.imwrite(str(folder / f"{i:04d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 85])
            video.write(frame)


def write_flows(folder):
    """Flow of 256 pixels' shorter side, for each frame."""
    flow = cv2.resize(np.random.default_rng(0).normal(0, 3, (12, 20, 2)), (455, 256))
    for i in range(FRAMES):
        write_flow(folder / f"flow_{i:04d}.png", flow)


def crop(image):
    """The middle square at the network's size, as a plain loop has it."""
    top, left = ((n - min(image.shape[:2])) // 2 for n in image.shape[:2])
    side = min(image.shape[:2])
    square = image[top : top + side, left : left + side]
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def measure_clip(folder, size, rounds):
    """The row of a classifier's clip from JPEGs of a size."""
    record = {
        "name": "clip",
        "label": 0,
        "where": "clip",
        "numbers": np.arange(FRAMES),
        "files": [f"{i:04d}" for i in range(FRAMES)],
        "suffix": ".jpg",
        "fps": 25.0,
        "folders": {"rgb": str(folder)},
    }
    clip = dict(frames=FRAMES, fps=0, stride=1, sampling="contiguous", size=SIDE)
    options = dict(
        needs=("rgb",), clip=clip, views=dict(clips=1, crops=1, crop=1.0), flow=None, pose=None
    )

    def plainly():
        images = [crop(cv2.imread(str(folder / f"{i:04d}.jpg"))) for i in range(FRAMES)]
        np.stack([cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in images])

    return compare(
        f"a clip of {FRAMES}x{SIDE}x{SIDE} from {size} JPEGs",
        lambda: read_views(record, **options),
        {PEER: plainly},
        rounds,
    )


def measure(rounds):
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        folders = {name: pathlib.Path(folder) / name for name in SIZES}
        for name, size in SIZES.items():
            write_clip(folders[name], size)
        name, folder = next(iter(folders.items()))
        write_flows(folder)
        jpegs = [folder / f"{i:04d}.jpg" for i in range(FRAMES)]
        flows = [folder / f"flow_{i:04d}.png" for i in range(FRAMES)]

        def read_plainly():
            for path in jpegs:
                cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)

        def flow_plainly():
            for path in flows:
                data = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
                np.stack(np.split(data, 2), -1).astype(np.float32) * np.float32(40 / 255) - 20

        def cut_plainly():
            video = cv2.VideoCapture(str(folder / "clip.mp4"))
            while (answer := video.read())[0]:
                cv2.cvtColor(answer[1], cv2.COLOR_BGR2RGB)

        rows = [row for size in SIZES for row in measure_clip(folders[size], size, rounds)]
        rows += compare(
            f"{FRAMES} JPEGs of {name}, checked",
            lambda: deque(map(read_image, jpegs), 0),
            {PEER: read_plainly},
            rounds,
        )
        rows += compare(
            f"{FRAMES} flow files of 455x256",
            lambda: deque(map(read_flow, flows), 0),
            {PEER: flow_plainly, "as many JPEG frames": read_plainly},
            rounds,
        )
        return rows + compare(
            f"{FRAMES} frames of a {name} video",
            lambda: deque(read_video(folder / "clip.mp4"), 0),
            {PEER: cut_plainly},
            rounds,
        )


if __name__ == "__main__":
    run_figure(measure, __doc__)
