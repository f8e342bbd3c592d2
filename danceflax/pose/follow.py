"""From a video's frames to people followed through it: found, numbered and, if asked, smoothed."""

import itertools
import typing
from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, Int, UInt8

from danceflax.errors import UserError
from danceflax.io.cuts import CutFinder
from danceflax.people import UNKNOWN
from danceflax.pose.smooth import smooth_people
from danceflax.pose.track import link_people
from danceflax.skeleton import Skeleton


class Dancers(typing.NamedTuple):
    """The people of a clip, who have the same number in all its frames.

    Attributes:
      times: of the frames, seconds.
      people: those of each frame, (x, y, score) in its pixels; best first, as they were found.
      ids: their numbers; -1 of people who are not followed.
      scores: of each person; the mean of their joints' where they were smoothed.
    """

    times: list[float]
    people: list[Float[np.ndarray, "_ J 3"]]
    ids: list[Int[np.ndarray, " _"]]
    scores: list[Float[np.ndarray, " _"]]

    def __repr__(self) -> str:
        count = len(set(itertools.chain(*self.ids)) - {UNKNOWN})
        return f"Dancers({count} people, {len(self.times)} frames)"


def follow_people(
    predictor: typing.Any,
    frames: Iterable[tuple[float, UInt8[np.ndarray, "H W 3"]]],
    smooth: str | None = None,
    where: str = "the frames",
    show: Callable[[Iterable], Iterable] = iter,
) -> Dancers:
    """Finds the people of a clip and follows them through it; keeps no frame.

    Args:
      predictor: a `PosePredictor`, or what else has its `stream` and `skeleton`.
      frames: (time in seconds, RGB frame) in order.
      smooth: one of `smooth.METHODS`, which fill short gaps as well; None leaves people as found.
      where: what error messages call the clip.
      show: passes on what is found of one frame after the other.

    Raises:
      UserError: a time is not later than the one before.
    """
    found = show(predictor.stream(_rising(frames, where)))
    found = link_found(found, predictor.skeleton)
    if smooth is None:
        return found
    people, ids = smooth_people(*found[1:3], found.times, predictor.skeleton, smooth)
    scores = [np.ma.masked_equal(p[..., 2], 0).mean(1).filled(0) for p in people]
    return Dancers(found.times, people, ids, scores)


def link_found(found: Iterable[tuple], skeleton: Skeleton) -> Dancers:
    """The people of a clip, numbered.

    Args:
      found: (time in seconds, RGB frame, people, scores) in order, as `PosePredictor.stream` gives
        them.
      skeleton: of the people.
    """
    clip, begins_shot, cuts = Dancers([], [], [], []), CutFinder(), []
    for time, frame, people, scores in found:
        if begins_shot(frame):
            cuts.append(len(clip.times))
        clip.times.append(time)
        clip.people.append(people)
        clip.scores.append(scores)
    return clip._replace(ids=link_people(clip.people, clip.times, skeleton, cuts))


def _rising(frames, where):
    """Passes frames on as long as their times rise."""
    last = -np.inf
    for number, (time, frame) in enumerate(frames):
        if not time > last:
            raise UserError(
                f"{where}: frame {number} at {time:g} s follows one at {last:g} s; expected times "
                "that rise; convert the video again"
            )
        last = time
        yield time, frame
