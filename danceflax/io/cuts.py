"""Camera cuts: frames that begin a new shot."""

import cv2
import numpy as np
from jaxtyping import UInt8

SIZE = (32, 18)  # of the small pictures that are compared
FLAT = 3.0  # grey values: a picture that varies less than this is dark or blank, and shows nothing
ALIKE = 0.75  # least correlation of two frames of one shot


class CutFinder:
    """Says of one frame after the other whether it begins a new shot.

    Two frames of a shot correlate, however bright the light is; over dark or blank frames, as of a
    flashing light, it looks back to the last that shows something.
    """

    def __init__(self):
        self._last = None

    def __call__(self, frame: UInt8[np.ndarray, "H W 3"]) -> bool:
        small = cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA)
        small = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(float)
        if small.std() < FLAT:
            return False
        small = (small - small.mean()) / small.std()
        last, self._last = self._last, small
        return last is not None and bool((small * last).mean() < ALIKE)
