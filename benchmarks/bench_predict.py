"""Prediction of a 1280x720 video as a pipeline, beside the same stages one after the other, and
beside the slowest of them alone. On two cores that network keeps both of them busy.

    python benchmarks/bench_predict.py [--rounds 7]

Finding: decoding, letterbox and the demo's network (192 pixels high, initial weights). Drawing:
decoding, two people drawn, H.264. A video of both takes their sum, as each is a pass over it.
"""

import contextlib
import pathlib
import tempfile
from unittest import mock

import cv2
import jax.numpy as jnp
import numpy as np
from harness import compare, run_figure

from configs import openpose_body25
from danceflax import skeleton as skeletons
from danceflax.dance import predict as dance_predict
from danceflax.io import images
from danceflax.io.videos import VideoWriter, read_video
from danceflax.models.initialise import initialise
from danceflax.models.openpose import STRIDE
from danceflax.models.registry import create_model
from danceflax.pose import files, predict
from danceflax.pose.draw import draw_people

FRAMES, SIZE = 64, (720, 1280)


def write_video(path, frames=FRAMES):
    """A textured picture that moves, as much as a dance fills a frame."""
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 255, (60, 100, 3), np.uint8), (1400, 840))
    with VideoWriter(path) as video:
        for i in range(frames):
            left, top = 60 + int(50 * np.sin(i / 9)), 60 + int(40 * np.cos(i / 7))
            video.write(picture[top : top + SIZE[0], left : left + SIZE[1]])


def make_predictor():
    """The demo's network, untrained."""
    config = openpose_body25.get_config("demo")
    skeleton = skeletons.load(config.model.skeleton)
    model = create_model(**config.model)
    variables = initialise(model, jnp.zeros((1, STRIDE, STRIDE, 3)), 0)
    note = {
        "skeleton": skeleton.to_dict(),
        "normalisation": config.normalisation.to_dict(),
        "training": config.to_dict(),
    }
    return predict.PosePredictor(model, variables, note, height=192, batch_size=8)


@contextlib.contextmanager
def in_turn():
    """Stages as plain generators."""

    def map_plainly(function, items, threads=1):
        return map(function, items)

    with contextlib.ExitStack() as stack:
        for module in (files, predict, dance_predict, images):
            for name, plain in (
                ("run_ahead", lambda items, n=1: items),
                ("map_ahead", map_plainly),
            ):
                if hasattr(module, name):
                    stack.enter_context(mock.patch.object(module, name, plain))
        yield


def measure(rounds):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_video(folder / "in.mp4")
        predictor = make_predictor()
        frames = list(read_video(folder / "in.mp4"))
        fitted = [predictor._fit(pair) for pair in frames]
        people = np.random.default_rng(0).uniform(0.3, 0.6, (2, predictor.skeleton.num_joints, 3))
        people = (people * (*SIZE[::-1], 1)).astype(np.float32)
        clip = [people] * FRAMES, [np.arange(2)] * FRAMES
        writer = files.PeopleFiles(None, folder)

        def find():
            list(predictor.stream(read_video(folder / "in.mp4")))

        def find_in_turn():
            with in_turn():
                find()

        def network():
            list(predictor._find(fitted))

        def draw():
            opened = read_video(folder / "in.mp4")
            writer._draw_video(predictor.skeleton, "out", opened, clip, opened.fps)

        def draw_in_turn():
            with in_turn():
                draw()

        def encode():
            with VideoWriter(folder / "out.mp4") as video:
                for time, frame in frames:
                    video.write(frame, time)

        def only_draw():
            for _, frame in frames:
                draw_people(frame, people, predictor.skeleton, ids=np.arange(2))

        turns = "one after the other"
        rows = compare(
            f"finding people on {FRAMES} frames of 720p",
            find,
            {turns: find_in_turn, "the network alone": network},
            rounds,
        )
        return rows + compare(
            f"drawing {FRAMES} frames of 720p",
            draw,
            {turns: draw_in_turn, "people drawn alone": only_draw, "the encoder alone": encode},
            rounds,
        )


if __name__ == "__main__":
    run_figure(measure, __doc__)
