"""From frames to people followed, by a stand-in of a network that knows where they are."""

import itertools

import numpy as np
import pytest
from crossings import detect, make_dancers

from danceflax.errors import UserError
from danceflax.pose.follow import follow_people
from danceflax.skeleton import COCO18


class Knows:
    """A predictor that finds these people, frame by frame."""

    skeleton = COCO18

    def __init__(self, people):
        self._people = people

    def stream(self, frames):
        for (key, frame), people in zip(frames, self._people, strict=True):
            yield key, frame, people.astype(np.float32), np.linspace(0.9, 0.5, len(people))


def film(times, rng, cut=None):
    """(time, frame) of noise that stands still, and from the frame `cut` on of other noise."""
    scenes = np.repeat(np.repeat(rng.integers(0, 255, (2, 9, 16, 3), np.uint8), 8, 1), 8, 2)
    return [(time, scenes[int(cut is not None and i >= cut)]) for i, time in enumerate(times)]


@pytest.fixture
def dance():
    points, depth, rng = make_dancers(0, 2, seconds=3)
    found = detect(points, depth, rng, false=0)
    times = np.cumsum(rng.uniform(0.02, 0.06, len(found))).tolist()
    return [people for people, _ in found], [who for _, who in found], times


def test_who_is_who(dance):
    people, who, times = dance
    found = follow_people(Knows(people), film(times, np.random.default_rng(0)))
    assert found.times == times
    pairs = set(zip(np.concatenate(who), np.concatenate(found.ids), strict=True))
    assert len(pairs) == 2 and {number for _, number in pairs} == {0, 1}
    for a, b in zip(found.people, people, strict=True):
        np.testing.assert_array_equal(a, b.astype(np.float32))


def test_a_cut_makes_all_new(dance):
    people, _, times = dance
    found = follow_people(Knows(people), film(times, np.random.default_rng(0), cut=40))
    before, after = (set(np.concatenate(x).tolist()) for x in (found.ids[:40], found.ids[40:]))
    assert before == {0, 1} and after == {2, 3}


@pytest.mark.parametrize("smooth", ["fill", "one_euro", "savitzky_golay"])
def test_missed_people_are_filled_in(dance, smooth):
    people, _, times = dance
    found = follow_people(Knows(people), film(times, np.random.default_rng(0)), smooth)
    missing = [2 - len(of_frame) for of_frame in people[5:-5]]
    assert sum(missing) > 10 and all(len(of_frame) == 2 for of_frame in found.people[5:-5])
    for of_frame, ids, scores in zip(found.people, found.ids, found.scores, strict=True):
        assert len(of_frame) == len(ids) == len(scores)
        assert ((scores > 0.3) & (scores < 0.9)).all()


def test_times_that_go_back_are_named_at_once(dance):
    people, _, times = dance
    times[50] = 0.5
    frames = film(times, np.random.default_rng(0))
    with pytest.raises(UserError, match=r"dance: frame 50 at 0\.5 s follows one at .* video again"):
        follow_people(Knows(people), itertools.chain(frames), where="dance")


def test_nothing_to_follow():
    assert follow_people(Knows([]), [], "one_euro") == ([], [], [], [])
