"""Reading data beside plain OpenCV loops that do no more than the same work.

    python benchmarks/bench_data.py [--rounds 7]

A made-up clip of 64 frames of 640x360: read as a classifier's 64x224x224 input, as flow from its
files, and cut into frames from a video. The peers read the same files by cv2.imread and
cv2.VideoCapture, crop and resize, in one thread, and check nothing.
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

FRAMES, SIZE, SIDE = 64, (360, 640), 224


def write_clip(folder):
    """Textured frames of about 40 KB, a video of them, and flow of 256 pixels' shorter side."""
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 255, (60, 100, 3), np.uint8), (900, 600))
    flow = cv2.resize(rng.normal(0, 3, (12, 20, 2)), (455, 256))
    with VideoWriter(folder / "clip.mp4") as video:
        for i in range(FRAMES):
            frame = picture[2 * i : 2 * i + SIZE[0], 3 * i : 3 * i + SIZE[1]]
            cv2.imwrite(str(folder / f"{i:04d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 85])
            video.write(frame)
            write_flow(folder / f"flow_{i:04d}.png", flow)


def crop(image):
    """The middle square at the network's size, as a plain loop has it."""
    top, left = ((n - min(image.shape[:2])) // 2 for n in image.shape[:2])
    side = min(image.shape[:2])
    square = image[top : top + side, left : left + side]
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def measure(rounds):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_clip(folder)
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

        def read_plainly(names):
            for name in names:
                cv2.cvtColor(cv2.imread(str(name)), cv2.COLOR_BGR2RGB)

        def clip_plainly():
            images = [crop(cv2.imread(str(folder / f"{i:04d}.jpg"))) for i in range(FRAMES)]
            np.stack([cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in images])

        def flow_plainly():
            for i in range(FRAMES):
                data = cv2.imread(str(folder / f"flow_{i:04d}.png"), cv2.IMREAD_GRAYSCALE)
                np.stack(np.split(data, 2), -1).astype(np.float32) * np.float32(40 / 255) - 20

        def cut_plainly():
            video = cv2.VideoCapture(str(folder / "clip.mp4"))
            while (answer := video.read())[0]:
                cv2.cvtColor(answer[1], cv2.COLOR_BGR2RGB)

        jpegs = [folder / f"{i:04d}.jpg" for i in range(FRAMES)]
        flows = [folder / f"flow_{i:04d}.png" for i in range(FRAMES)]
        plain, size = "an OpenCV loop", f"{SIZE[1]}x{SIZE[0]}"
        rows = compare(
            f"a clip of {FRAMES}x{SIDE}x{SIDE} from {size} JPEGs",
            lambda: read_views(record, **options),
            {plain: clip_plainly},
            rounds,
        )
        rows += compare(
            f"{FRAMES} JPEGs of {size}, checked",
            lambda: deque(map(read_image, jpegs), 0),
            {plain: lambda: read_plainly(jpegs)},
            rounds,
        )
        rows += compare(
            f"{FRAMES} flow files of 455x256",
            lambda: deque(map(read_flow, flows), 0),
            {plain: flow_plainly, "as many JPEG frames": lambda: read_plainly(jpegs)},
            rounds,
        )
        return rows + compare(
            f"{FRAMES} frames of a {size} video",
            lambda: deque(read_video(folder / "clip.mp4"), 0),
            {plain: cut_plainly},
            rounds,
        )


if __name__ == "__main__":
    run_figure(measure, __doc__)
