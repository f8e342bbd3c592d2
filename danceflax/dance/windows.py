"""A video as a row of clips, read as a stream: no more than one clip is kept."""

import collections
import itertools
import math
import pathlib

import cv2
import numpy as np

from danceflax.data.clips import CLIP_SECONDS
from danceflax.errors import UserError
from danceflax.io.images import shrink_size
from danceflax.io.videos import read_video


def read_windows(path, clip, keypoints=None):
    """Cuts a video into clips that follow each other; the last one ends with the video.

    A window is as long as the network's clip, or 10 s with uniform sampling. A video that is
    shorter is one window.

    Args:
      path: a video file.
      clip: `config.clip`.
      keypoints: folder of OpenPose JSON files <stem>_<12-digit frame>_keypoints.json, if needed.

    Yields:
      ((first, last) frame numbers, record for `read_views`).

    Raises:
      UserError: the video cannot be read, or a keypoint file is missing altogether.
    """
    path = pathlib.Path(path)
    if keypoints and not any(pathlib.Path(keypoints).glob(f"{path.stem}_*_keypoints.json")):
        raise UserError(f"{keypoints}: holds no {path.stem}_*_keypoints.json of {path}")
    frames, fps, _ = read_video(path)
    if clip["sampling"] == "uniform":
        length = CLIP_SECONDS * fps
    else:
        length = clip["frames"] * clip["stride"] * (fps / clip["fps"] if clip["fps"] else 1)
    length = max(2, math.ceil(length))
    short_side = round(clip["size"] / clip["eval_crop"])
    kept, fresh, total = collections.deque(maxlen=length), 0, 0

    def window():
        first = total - len(kept)
        record = {
            "name": path.name,
            "label": 0,
            "where": str(path),
            "numbers": np.arange(len(kept)),
            "fps": fps,
            "images": [frame for frame, _ in kept],
        }
        if keypoints:
            names = (f"{path.stem}_{i:012d}_keypoints.json" for i in itertools.count(first))
            record["keypoint_files"] = [f"{keypoints}/{n}" for n, _ in zip(names, kept)]  # noqa: B905
            record["keypoint_scale"] = kept[0][1]
        return (first, total - 1), record

    for frame in frames:
        size = shrink_size(frame.shape[1::-1], short_side)
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        kept.append((small, size[0] / frame.shape[1]))
        fresh, total = fresh + 1, total + 1
        if fresh == length:
            yield window()
            fresh = 0
    if fresh:
        yield window()


def draw_prediction(frame, labels, probabilities):
    """The frame, uint8 [H, W, 3] RGB, with a bar and a name for each of a few classes."""
    height, width = frame.shape[:2]
    scale = max(0.35, height / 900)
    line, margin = round(34 * scale), round(12 * scale)
    bottom, right = margin * 2 + line * len(labels), min(width, round(520 * scale))
    picture = frame.copy()
    picture[:bottom, :right] = picture[:bottom, :right] // 3
    for k, (label, probability) in enumerate(zip(labels, probabilities, strict=True)):
        top = margin + k * line
        end = margin + round((right - 2 * margin) * float(probability))
        cv2.rectangle(picture, (margin, top), (end, top + line - 4), (46, 117, 182), -1)
        cv2.putText(
            picture, f"{label}  {probability:.2f}", (margin + 4, top + round(0.72 * line)),
            cv2.FONT_HERSHEY_SIMPLEX, 0.8 * scale, (255, 255, 255), max(1, round(1.6 * scale)),
            cv2.LINE_AA,
        )  # fmt: skip
    return picture
