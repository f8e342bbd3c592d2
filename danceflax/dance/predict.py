"""Names the dance of videos: a video is a row of clips, read as a stream."""

import collections
import itertools
import logging
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import cv2
import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Float, UInt8

from danceflax.dance.classifiers import assemble
from danceflax.dance.evaluate import make_classify
from danceflax.dance.inputs import make_prepare, make_view, needed
from danceflax.dance.loss import make_apply
from danceflax.data.clips import CLIP_SECONDS
from danceflax.errors import UserError
from danceflax.io.images import decode_image, encode_image, shrink_size
from danceflax.io.pipeline import run_ahead
from danceflax.io.videos import read_video
from danceflax.models.registry import describe_network
from danceflax.people import resize_affine


class Window(NamedTuple):
    """A stretch of a video, as long as a classifier's clip.

    Attributes:
      first, last: numbers of its frames.
      fps: the video's frames a second.
      probabilities: [C] of the classes.
      frames: the new ones of its frames, (seconds, RGB), in order; those that earlier windows had
        are left out. Empty unless they were asked for.
    """

    first: int
    last: int
    fps: float
    probabilities: Float[np.ndarray, " C"]
    frames: Iterator[tuple[float, UInt8[np.ndarray, "H W 3"]]]

    def __repr__(self) -> str:
        return f"Window(frames {self.first} to {self.last}, {self.fps:g} a second)"


class DancePredictor:
    """Says which dance a video shows.

        predictor = danceflax.load_predictor("runs/b")
        probabilities = predictor("dance.mp4")

    Args:
      model, variables, config: of `danceflax.load_checkpoint`, of a classifier.
      keypoints: folder of OpenPose JSON of the videos, for a classifier that reads keypoints.

    Attributes:
      class_names: the C dances.
      checkpoint: the path that it was loaded from, if it was.

    Raises:
      UserError: keypoints are needed and not given.
    """

    checkpoint = ""

    def __init__(
        self,
        model: nn.Module,
        variables: Mapping[str, Any],
        config: Mapping[str, Any],
        *,
        keypoints: str | os.PathLike | None = None,
    ):
        self.class_names = config["class_names"]
        classifier = assemble(model, config)
        inputs = classifier.inputs
        if "people" in needed(inputs) and not keypoints:
            raise UserError(
                "this classifier reads keypoints: run predict.py with a pose checkpoint on the "
                "same input first, then give its OUTPUT/json as --keypoints"
            )
        flow = inputs["flow"] and dict(inputs["flow"])
        if flow and flow["source"] == "files":
            flow["source"] = "dis"  # what prepare_data.py flow computes unless told otherwise
        views = dict(inputs["views"], clips=1)
        classifier = classifier._replace(inputs=inputs | {"views": views, "flow": flow})
        self._clip, self._crop, self._keypoints = inputs["clip"], views["crop"], keypoints
        self._view = make_view(classifier)
        # One window at a time, on the first device: a few frames a second are enough here.
        self._classify = jax.jit(make_classify(make_prepare(classifier), make_apply(model)))
        self._network = describe_network(model, variables)
        self._variables = jax.device_put(dict(variables))

    def __repr__(self) -> str:
        dances = f"{len(self.class_names)} dances: {', '.join(self.class_names)}"
        return f"DancePredictor({self.checkpoint!r}: {self._network}; {dances})"

    def __call__(self, video: str | os.PathLike) -> Float[np.ndarray, " C"]:
        """The probabilities of the classes: the mean over the video's windows."""
        return np.mean([window.probabilities for window in self.stream(video)], 0)

    def stream(self, video: str | os.PathLike, frames: bool = False) -> Iterator[Window]:
        """The windows of a video, in order, as soon as each has been read.

        Args:
          video: the file.
          frames: whether windows bring their frames, to be drawn on.

        Raises:
          UserError: the video cannot be read, or has no keypoint file where they are needed.
        """
        windows = read_windows(video, self._clip, self._crop, self._keypoints, frames)
        for (first, last), fps, record, kept in run_ahead(windows, 1):
            item = {key: value[None] for key, value in self._view(record).items()}
            probabilities = np.asarray(self._classify(self._variables, item))[0]
            yield Window(first, last, fps, probabilities, kept)


def read_windows(
    path: str | os.PathLike,
    clip: Mapping[str, Any],
    crop: float,
    keypoints: str | os.PathLike | None = None,
    keep_frames: bool = False,
) -> Iterator[tuple[tuple[int, int], float, dict[str, Any], Iterator]]:
    """Cuts a video into clips that follow each other; the last one ends with the video.

    A window is as long as the network's clip, or 10 s with uniform sampling. A video that is
    shorter is one window. No more than one window is kept.

    Args:
      path: a video file.
      clip: `config.clip`.
      crop: side of the network's crop / shorter side of the frame.
      keypoints: folder of OpenPose JSON files <stem>_<12-digit frame>_keypoints.json, if needed.
      keep_frames: whether to give the frames as well; they wait as JPEGs, for a window of large
        ones would not fit into memory.

    Yields:
      ((first, last) frame numbers, frames a second, record for `read_views`, iterator of (seconds,
      frame) of those that are new in this window).

    Raises:
      UserError: the video cannot be read, or a keypoint file is missing altogether.
    """
    path = pathlib.Path(path)
    if keypoints and not any(pathlib.Path(keypoints).glob(f"{path.stem}_*_keypoints.json")):
        raise UserError(f"{keypoints}: holds no {path.stem}_*_keypoints.json of {path}")
    video = read_video(path)
    fps = video.fps
    if clip["sampling"] == "uniform":
        length = CLIP_SECONDS * fps
    else:
        length = clip["frames"] * clip["stride"] * (fps / clip["fps"] if clip["fps"] else 1)
    length = max(2, math.ceil(length))
    short_side = round(clip["size"] / crop)
    kept, fresh, total, size = collections.deque(maxlen=length), [], 0, None

    def window():
        first = total - len(kept)
        record = {
            "name": path.name,
            "label": 0,
            "where": str(path),
            "numbers": np.array([number for number, _ in kept]),
            "fps": fps,
            "images": [image for _, image in kept],
        }
        if keypoints:
            names = (f"{path.stem}_{i:012d}_keypoints.json" for i in itertools.count(first))
            record["keypoint_files"] = [f"{keypoints}/{n}" for n, _ in zip(names, kept)]  # noqa: B905
            record["keypoint_affine"] = resize_affine(size, small_size)
        waiting = ((time, decode_image(data, str(path))) for time, data in fresh if data)
        return (first, total - 1), fps, record, waiting

    for time, frame in run_ahead(video):
        size = frame.shape[1::-1]
        small_size = shrink_size(size, short_side)
        # Numbers are times, so that a gap or a variable rate does not speed the dance up.
        number = max(round(time * fps), kept[-1][0] + 1 if kept else 0)
        kept.append((number, cv2.resize(frame, small_size, interpolation=cv2.INTER_AREA)))
        fresh.append((time, encode_image(frame, ".jpg") if keep_frames else b""))
        total += 1
        if len(fresh) == length:
            yield window()
            fresh = []
    if fresh:
        yield window()
    if video.lost:
        logging.warning(video.describe_loss())
