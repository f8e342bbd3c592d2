"""TV-L1 flow beside OpenCV's.

    DANCEFLAX_CONTRIB_PYTHON=.../bin/python python benchmarks/bench_flow.py

The other Python has opencv-contrib-python-headless, which must not share an environment with
OpenCV itself. Both compute the flow of 8 pairs of 224x224, with the same parameters; ours in as
many threads as prepare_data.py flow, one batch each.
"""

import os

import numpy as np
from harness import ROOT, Child, compare, run_figure
from moving import make_frames

from danceflax.data.flow import compute_flows
from danceflax.io.pipeline import map_ahead

PAIRS, SIZE = 8, 224

PEER = f"""
import sys
sys.path.insert(0, {str(ROOT / "benchmarks")!r})
import cv2
from moving import make_frames
method = cv2.optflow.DualTVL1OpticalFlow_create()
frames = make_frames({PAIRS} + 1, {SIZE})
def run():
    for a, b in zip(frames, frames[1:]):
        method.calc(a, b, None)
"""


def measure(rounds):
    frames = np.stack(make_frames(PAIRS + 1, SIZE))
    halves = np.array_split(np.arange(PAIRS), 2)

    def ours():
        list(map_ahead(lambda i: compute_flows(frames[i], frames[i + 1], "tvl1"), halves, 2))

    python = os.environ.get("DANCEFLAX_CONTRIB_PYTHON")
    if not python:
        raise SystemExit("DANCEFLAX_CONTRIB_PYTHON: a Python with opencv-contrib is needed")
    peer = Child(python, PEER)
    try:
        work = f"TV-L1 flow of {PAIRS} pairs of {SIZE}x{SIZE}"
        return compare(work, ours, {"OpenCV contrib": peer}, rounds)
    finally:
        peer.close()


if __name__ == "__main__":
    run_figure(measure, __doc__)
