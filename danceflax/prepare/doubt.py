"""How doubtful the people of frames are: where a person's look at them is worth most."""

import collections
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from danceflax.data.keypoint_edits import KeypointFile
from danceflax.errors import BadSampleError, UserError
from danceflax.io.console import console, track
from danceflax.io.images import read_image
from danceflax.people import UNKNOWN, keypoint_boxes
from danceflax.prepare.annotated import Frame

APART = 12  # frame numbers between frames that are picked, where there is a choice
CANDIDATES = 4  # times as many are looked at mirrored as are picked
JUMP = 0.1  # of a person's size, off the middle of before and after: half as doubtful as can be

Annotated = tuple[Frame, KeypointFile]


def judge_frames(files: Sequence[Annotated]) -> Float[np.ndarray, " N"]:
    """Doubt of each frame: how unsure its joints are, 0 to 1, plus how far off their way, 0 to 1.

    A frame that shows nobody is doubtful by 1. Formats without confidences have the second part
    only, people without numbers the first.
    """
    doubts = np.zeros(len(files))
    clips = collections.defaultdict(dict)
    for n, (frame, file) in enumerate(files):
        scores = file.scores()
        if not len(file.people):
            doubts[n] = 1.0
        elif scores is not None:
            doubts[n] = 1 - np.ma.masked_equal(scores, 0).mean(1).filled(0).min().clip(0, 1)
        clip, number = split_name(frame.name)
        clips[clip][number] = n
    for numbers in clips.values():
        for number, n in numbers.items():
            beside = [numbers.get(number + step) for step in (-1, 1)]
            if None not in beside:
                doubts[n] += measure_jump(*(files[i][1] for i in (beside[0], n, beside[1])))
    return doubts


def measure_jump(before: KeypointFile, now: KeypointFile, after: KeypointFile) -> float:
    """x / (1 + x), where x is the largest distance of a joint from the middle of where it is a
    frame before and after, in JUMPs of its person's size. Only people with numbers are followed."""
    worst = 0.0
    for person, number in enumerate(now.ids.tolist()):
        others = [np.flatnonzero(file.ids == number) for file in (before, after)]
        if number == UNKNOWN or not all(map(len, others)):
            continue
        three = [before.people[others[0][0]], now.people[person], after.people[others[1][0]]]
        if len({len(points) for points in three}) > 1:
            continue
        known = np.all([points[:, 2] > 0 for points in three], 0)
        if known.any():
            xy = np.stack(three)[:, known, :2]
            off = np.linalg.norm(xy[1] - (xy[0] + xy[2]) / 2, axis=-1).max()
            worst = max(worst, float(off) / (JUMP * _size(now.people[person])))
    return worst / (1 + worst)


def pick_worst(
    files: Sequence[Annotated],
    doubts: Float[np.ndarray, " N"],
    count: int,
    checkpoint: str = "",
) -> list[Annotated]:
    """The most doubtful frames, in their order; of frames close in time one, where there is a
    choice.

    Args:
      files, doubts: of all frames.
      count: how many.
      checkpoint: of a pose network; to the doubt of the likeliest frames it adds how much what it
        finds in them differs from what it finds in their mirror images, 0 to 1.
    """
    if checkpoint:
        likely = spread_out(files, doubts, CANDIDATES * count)
        doubts = np.where(likely, doubts, -1.0)
        doubts[likely] += compare_mirrored(
            [files[n][0] for n in np.flatnonzero(likely)], checkpoint
        )
    picked = spread_out(files, doubts, count)
    console.print(f"doubt of the {picked.sum()} frames: {doubts[picked].min():.2f} and more")
    return [files[n] for n in np.flatnonzero(picked)]


def spread_out(
    files: Sequence[Annotated], doubts: Float[np.ndarray, " N"], count: int
) -> Bool[np.ndarray, " N"]:
    """Which frames to take: the most doubtful ones, first of all such as are APART."""
    picked, taken = np.zeros(len(files), bool), collections.defaultdict(list)
    order = np.argsort(-doubts, kind="stable")
    for n in order.tolist():
        clip, number = split_name(files[n][0].name)
        if picked.sum() < count and all(abs(number - other) >= APART for other in taken[clip]):
            picked[n] = True
            taken[clip].append(number)
    rest = order[~picked[order]]
    picked[rest[: max(0, count - picked.sum())]] = True
    return picked


def compare_mirrored(frames: Sequence[Frame], checkpoint: str) -> Float[np.ndarray, " N"]:
    """1 less the likeness (OKS) of the people that a network finds in each image and its mirror
    image: the mean over people; one who is found in one of them only has none."""
    from danceflax.api import load_predictor  # with it JAX

    predictor = load_predictor(checkpoint)
    if not hasattr(predictor, "skeleton"):
        raise UserError(f"--checkpoint={checkpoint}: is no pose network")
    skeleton, doubts = predictor.skeleton, []
    for frame in track(frames, len(frames), "mirroring", "frames"):
        try:
            image = read_image(frame.image)
        except BadSampleError:
            doubts.append(0.0)
            continue
        found, other = (predictor(picture)[0] for picture in (image, image[:, ::-1].copy()))
        back = other[:, skeleton.flip].copy()
        back[..., 0] = np.where(back[..., 2] > 0, image.shape[1] - 1 - back[..., 0], 0)
        doubts.append(1 - _likeness(found, back, np.array(skeleton.sigmas)))
    return np.array(doubts)


def _likeness(people, others, sigmas):
    """OKS of two lists of the same people, each with the other who is most alike; its mean."""
    if not len(people) and not len(others):
        return 1.0
    if not len(people) or not len(others):
        return 0.0
    areas = np.array([max(_size(person), 1.0) for person in people]) ** 2 / 2
    squared = ((people[:, None, :, :2] - others[None, :, :, :2]) ** 2).sum(-1)
    both = (people[:, None, :, 2] > 0) & (others[None, :, :, 2] > 0)
    any_of = (people[:, None, :, 2] > 0) | (others[None, :, :, 2] > 0)
    close = np.exp(-squared / (2 * areas[:, None, None] * (2 * sigmas) ** 2)) * both
    oks = close.sum(-1) / np.maximum(any_of.sum(-1), 1)
    return (oks.max(1).sum() + oks.max(0).sum()) / (len(people) + len(others))


def _size(points):
    """The longer side of the box around a person's joints, pixels; at least 1."""
    return max(float(keypoint_boxes(points[None])[0, 2:].max()), 1.0)


def split_name(name: str) -> tuple[str, int]:
    """('tango/abc_033', 7) of 'tango/abc_033_0007.jpg'; a name without a number is its own clip."""
    clip, _, number = name.rpartition(".")[0].rpartition("_")
    return (clip, int(number)) if clip and number.isdigit() else (name, 0)
