"""Which frames of a video are kept, by their times, and their numbers, which are times too."""

from collections.abc import Iterable, Iterator
from typing import Any

EPSILON = 1e-6  # frames or seconds, where two times are the same but for rounding


def pick_frames(frames: Iterable[tuple[float, Any]], rate: float) -> Iterator[tuple[int, int, Any]]:
    """Of (time, frame)s, for each k the one nearest to k / rate seconds, if one is nearer to it
    than to another; k without one are gaps. The last frame is on screen as long as the one before.
    Yields (k, position among the frames, frame)."""
    best, last, step = None, 0.0, 0.0
    for position, (time, frame) in enumerate(frames):
        slot = round(time * rate)
        distance = abs(time * rate - slot)
        if best and slot != best[0]:
            yield best[:3]
        if not best or slot != best[0] or distance < best[3]:
            best = (slot, position, frame, distance)
        last, step = time, time - last
    if best and (best[0] == 0 or best[0] / rate < last + step - EPSILON):
        yield best[:3]


def number_frames(
    frames: Iterable[tuple[float, Any]], rate: float
) -> Iterator[tuple[int, int, Any]]:
    """All of (time, frame)s, numbered by their times in steps of 1 / rate seconds from 0. Frames
    closer than a step take the next number. Yields (number, position, frame)."""
    number = -1
    for position, (time, frame) in enumerate(frames):
        number = max(number + 1, round(time * rate))
        yield number, position, frame
