"""Finds people on frames of any size, many at a time."""

import itertools

import numpy as np

from danceflax.pose.augment import letterbox, transform_people

# The network's width is rounded up to a multiple of this, so that pictures of similar shape share
# one compilation, and limited to this many times the height.
WIDTH_STEP, MAX_RATIO = 64, 16 / 9


def network_size(frame, height, stride=8):
    """(height, width) of the network's input for a frame [H, W, 3]: the aspect is kept.

    The published rule: a fixed height, the width in proportion, at most 16 / 9 of the height.
    """
    width = height * frame.shape[1] / frame.shape[0]
    width = min(width, height * MAX_RATIO)
    return height, max(stride, -(-round(width) // WIDTH_STEP) * WIDTH_STEP)


def find_people(run, frames, height, batch_size, stride=8):
    """People on each of a stream of frames, in order.

    Args:
      run: (images uint8 [B, H, W, 3]) -> (people [B, P, J, 3], scores [B, P]) as numpy.
      frames: iterable of (anything, frame uint8 [H, W, 3] RGB).
      height: the network's input height in pixels.
      batch_size: frames a call of `run`; a short batch is filled up.
      stride: input pixels a map cell.

    Yields:
      (anything, frame, people [P, J, 3] in the frame's pixels, scores [P]), best first.
    """
    sized = ((key, frame, network_size(frame, height, stride)) for key, frame in frames)
    for size, group in itertools.groupby(sized, key=lambda item: item[2]):
        group = ((key, frame) for key, frame, _ in group)
        while chunk := list(itertools.islice(group, batch_size)):
            items = [
                letterbox(make_record(frame), size=size, stride=stride, max_people=1)
                for _, frame in chunk
            ]
            images = np.stack([item["image"] for item in items])
            filler = np.zeros((batch_size - len(images), *images.shape[1:]), np.uint8)
            people, scores = run(np.concatenate([images, filler]))
            for n, (key, frame) in enumerate(chunk):
                found = scores[n] > 0
                yield (
                    key,
                    frame,
                    transform_people(people[n][found], items[n]["to_image"]),
                    scores[n][found],
                )


def make_record(frame):
    """A record of a frame of which nothing is known."""
    return {
        "image": frame,
        "people": np.zeros((0, 1, 3), np.float32),
        "boxes": np.zeros((0, 4), np.float32),
        "mask": None,
        "labelled": np.zeros(1, bool),
        "main": -1,
        "name": "",
    }
