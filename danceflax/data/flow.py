"""Optical flow on the host: how far each pixel moves from one frame to the next."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from danceflax.errors import UserError


def available_methods() -> tuple[str, ...]:
    """What `compute_flow` can do here: TV-L1 is only in opencv-contrib-python(-headless)."""
    has_tvl1 = hasattr(cv2, "optflow") and hasattr(cv2.optflow, "DualTVL1OpticalFlow_create")
    return ("dis", "farneback", "tvl1") if has_tvl1 else ("dis", "farneback")


def compute_flow(
    a: UInt8[np.ndarray, "H W"], b: UInt8[np.ndarray, "H W"], method: str = "dis"
) -> Float[np.ndarray, "H W 2"]:
    """The flow from frame a to frame b, both grey: b[y + v, x + u] looks like a[y, x].

    Args:
      a, b: the frames.
      method: "dis" (Kroeger et al. 2016, the fastest), "farneback" (2003) or "tvl1" (Zach et al.
        2007; what I3D was trained on, a hundred times slower).

    Returns:
      (u, v) of each pixel, in pixels.

    Raises:
      UserError: the method is not known, or not in this OpenCV.
    """
    if method not in available_methods():
        hint = "; pip install opencv-contrib-python-headless" if method == "tvl1" else ""
        choices = " or ".join(available_methods())
        raise UserError(f"flow method {method!r} is not there; choose {choices}{hint}")
    if method == "farneback":
        flow = cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    elif method == "tvl1":
        flow = cv2.optflow.DualTVL1OpticalFlow_create().calc(a, b, None)
    elif min(a.shape) < 16:  # less than one patch of DIS
        flow = np.zeros((*a.shape, 2), np.float32)
    else:
        flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(a, b, None)
    return flow
