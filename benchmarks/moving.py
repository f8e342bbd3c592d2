"""Frames that move, for benchmarks of flow; OpenCV and numpy alone, for other environments."""

import cv2
import numpy as np


def make_frames(count: int, size: int) -> list[np.ndarray]:
    """Grey frames: a textured picture that turns and grows a little from one to the next."""
    noise = np.random.default_rng(0).integers(0, 255, (size, size), np.uint8)
    picture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    middle = (size / 2, size / 2)
    turns = [cv2.getRotationMatrix2D(middle, 0.5 * i, 1.003**i) for i in range(count)]
    option = {"borderMode": cv2.BORDER_REFLECT}
    return [cv2.warpAffine(picture, turn, (size, size), **option) for turn in turns]
