"""Camera cuts of real dances, and what is none."""

import numpy as np
import pytest
from conftest import shared_data

from danceflax.io.cuts import CutFinder
from danceflax.io.videos import read_video


@pytest.mark.parametrize("name, cuts", [("demo", []), ("fast", [51]), ("zoom-in", [235])])
def test_real_cuts(name, cuts):
    """By eye: the moving camera of one clip is no cut; the others have one each."""
    begins = CutFinder()
    video = read_video(shared_data("dance_clips", f"{name}.mp4"))
    assert [i for i, (_, frame) in enumerate(video) if begins(frame)] == cuts


def test_light_is_no_cut():
    """A scene under a fading and a flashing light, then another scene."""
    rng = np.random.default_rng(0)
    scenes = np.repeat(np.repeat(rng.uniform(40, 250, (2, 9, 16, 3)), 20, 1), 20, 2)
    light = [1, 0.8, 0.5, 0, 0.3, 0, 1]
    frames = [(scenes[0] * x).astype(np.uint8) for x in light] + [scenes[1].astype(np.uint8)]
    begins = CutFinder()
    assert [begins(frame) for frame in frames] == [False] * 7 + [True]
