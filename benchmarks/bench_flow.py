"""TV-L1 flow beside OpenCV's.

    DANCEFLAX_CONTRIB_PYTHON=.../bin/python python benchmarks/bench_flow.py

The other Python has opencv-contrib-python-headless, which must not share an environment with
OpenCV itself. Both compute the flow of 8 pairs of 224x224, with the same parameters; ours in as
many threads as prepare_data.py flow, one batch each.
"""

import os

import numpy as np
from harness import Child, compare, run_figure

from danceflax.data.flow import compute_flows
from danceflax.io.pipeline import map_ahead

PAIRS, SIZE = 8, 224

PEER = """
import cv2, sys
import numpy as np
FRAMES
method = cv2.optflow.DualTVL1OpticalFlow_create()
frames = make_frames(PAIRS, SIZE)
def run():
    for a, b in zip(frames, frames[1:]):
        method.calc(a, b, None)
"""

FRAMES = '''
def make_frames(count, size):
    """Grey frames: a textured picture that turns and grows a little from one to the next."""
    noise = np.random.default_rng(0).integers(0, 255, (size, size), np.uint8)
    picture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    middle = (size / 2, size / 2)
    turns = [cv2.getRotationMatrix2D(middle, 1.5 * i, 1.01**i) for i in range(count + 1)]
    option = {"borderMode": cv2.BORDER_REFLECT}
    return [cv2.warpAffine(picture, turn, (size, size), **option) for turn in turns]
'''
exec(FRAMES)  # both run the same text


def measure(rounds):
    frames = np.stack(make_frames(PAIRS, SIZE))  # noqa: F821
    halves = np.array_split(np.arange(PAIRS), 2)

    def ours():
        list(map_ahead(lambda i: compute_flows(frames[i], frames[i + 1], "tvl1"), halves, 2))

    python = os.environ.get("DANCEFLAX_CONTRIB_PYTHON")
    if not python:
        raise SystemExit("DANCEFLAX_CONTRIB_PYTHON: a Python with opencv-contrib is needed")
    code = PEER.replace("FRAMES", FRAMES).replace("PAIRS", str(PAIRS)).replace("SIZE", str(SIZE))
    peer = Child(python, code)
    try:
        work = f"TV-L1 flow of {PAIRS} pairs of {SIZE}x{SIZE}"
        return compare(work, ours, {"OpenCV contrib": peer}, rounds)
    finally:
        peer.close()


if __name__ == "__main__":
    run_figure(measure, __doc__)
