"""Labels beside people: numbers and names."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8


def draw_names(
    frame: UInt8[np.ndarray, "H W 3"],
    boxes: Float[np.ndarray, "P 4"],
    labels: Sequence[str],
) -> UInt8[np.ndarray, "H W 3"]:
    """The RGB frame with a label beside each person's box (x, y, width, height); an empty label
    draws nothing."""
    height, width = frame.shape[:2]
    scale, picture = max(0.35, height / 900), frame.copy()
    thickness = max(1, round(1.6 * scale))
    for (x, y, w, _), label in zip(boxes, labels, strict=True):
        if not label:
            continue
        font = cv2.FONT_HERSHEY_SIMPLEX
        (wide, high), _ = cv2.getTextSize(label, font, 0.8 * scale, thickness)
        left = int(np.clip(x + w if x + w + wide < width else x - wide, 0, max(0, width - wide)))
        low = int(np.clip(y + high, high, height - 1))
        cv2.rectangle(picture, (left, low - high), (left + wide, low + 4), (30, 30, 30), -1)
        place, white = (left, low), (255, 255, 255)
        cv2.putText(picture, label, place, font, 0.8 * scale, white, thickness, cv2.LINE_AA)
    return picture
