"""Optical flow on the host: how far each pixel moves from one frame to the next."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from danceflax.errors import UserError

METHODS = ("dis", "farneback", "tvl1")


def compute_flow(
    a: UInt8[np.ndarray, "H W"], b: UInt8[np.ndarray, "H W"], method: str = "dis"
) -> Float[np.ndarray, "H W 2"]:
    """The flow from frame a to frame b, both grey: b[y + v, x + u] looks like a[y, x].

    Args:
      a, b: the frames.
      method: "dis" (Kroeger et al. 2016, the fastest), "farneback" (2003) or "tvl1" (Zach et al.
        2007, on the device; what I3D was trained on, tens of times slower).

    Returns:
      (u, v) of each pixel, in pixels.

    Raises:
      UserError: the method is not known.
    """
    check_method(method)
    if method == "tvl1":
        return compute_flows(a[None], b[None], method)[0]
    if method == "farneback":
        flow = cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    elif min(a.shape) < 16:  # less than one patch of DIS
        flow = np.zeros((*a.shape, 2), np.float32)
    else:
        flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(a, b, None)
    return flow


def compute_flows(
    a: UInt8[np.ndarray, "N H W"], b: UInt8[np.ndarray, "N H W"], method: str = "dis"
) -> Float[np.ndarray, "N H W 2"]:
    """`compute_flow` of N pairs; with "tvl1" the device gets them all at once."""
    if method == "tvl1":
        from danceflax.flow.tvl1 import tvl1_flow  # with it JAX, which others do without

        return np.array(tvl1_flow(a, b))
    return np.stack([compute_flow(*pair, method) for pair in zip(a, b, strict=True)])


def check_method(method: str) -> None:
    """Raises UserError: there is no such method."""
    if method not in METHODS:
        raise UserError(f"flow method {method!r} is not there; choose {' or '.join(METHODS)}")
