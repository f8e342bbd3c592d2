"""The settings of splits and trainings, by how much there is."""

import math
from typing import Any

from danceflax.study.videos import Amount

WINDOW = 64 / 25  # seconds that a classifier looks at: I3D's 64 frames at 25 a second
MIN_FRAMES = 9  # of a window, which I3D needs
MIN_TEST_SOURCES = 10  # of each dance: with fewer there is no test split, and val is all there is
EPOCHS, STEPS = 40, (600, 20_000)  # times each window is seen; least and most optimizer steps
BATCH, I3D_BATCH, LEAST_BATCH = 64, 16, 8
VIEWS = 4  # augmented versions of each clip of which features are kept


def share_out(sources: int) -> tuple[int, int, int]:
    """Percent of train, val and test: without a test split where a dance has few sources."""
    if sources >= MIN_TEST_SOURCES:
        return 70, 15, 15
    val = max(20, math.ceil(100 / sources))
    return 100 - val, val, 0


def count_windows(amount: Amount) -> int:
    """How many windows one clip holds."""
    return max(1, round(amount.clip_seconds / WINDOW))


def shortest_clip(amount: Amount) -> float:
    """Seconds: classifiers cannot read a clip that fills less than half a window."""
    return math.ceil(50 * min(WINDOW, amount.clip_seconds) + 1) / 100


def share_short(amount: Amount) -> float:
    """Share of the clips that are shorter."""
    least = shortest_clip(amount)
    return sum(length < least for length in amount.lengths) / len(amount.lengths)


def count_training(amount: Amount) -> int:
    """How many clips are trained on."""
    return max(1, round(share_out(amount.sources)[0] / 100 * amount.clips))


def clip_fields(amount: Amount) -> dict[str, Any]:
    """Fields of a classifier's config: windows that clips of this length and rate hold."""
    frames = max(MIN_FRAMES, round(min(WINDOW, amount.clip_seconds) * amount.fps))
    return {
        "clip.fps": f"{amount.fps:g}",
        "clip.frames": frames,
        "eval.clips": count_windows(amount),
    }


def sequence_fields(amount: Amount, steps: int = 0) -> dict[str, Any]:
    """Fields of configs/sequence.py; `steps` of 0 are chosen by the amount."""
    samples = count_training(amount) * count_windows(amount)
    fields = clip_fields(amount) | _pace(samples, BATCH, steps)
    return fields | {"optimizer.groups.network.warmup_steps": fields["steps"] // 10}


def i3d_fields(amount: Amount, checkpoint: str, steps: int = 0) -> dict[str, Any]:
    """Fields of configs/i3d.py:rgb, of which the head trains on features of that checkpoint."""
    own = {"streams.rgb.train": False, "streams.rgb.init_from": checkpoint, "cache.views": VIEWS}
    return clip_fields(amount) | _pace(count_training(amount), I3D_BATCH, steps) | own


def _pace(samples, most, steps):
    """Batch size and steps, and how often a training of so many logs, evaluates and saves."""
    batch = max(LEAST_BATCH, min(most, 1 << max(1, samples // 2).bit_length() - 1))
    low, high = STEPS
    steps = steps or min(high, max(low, int(float(f"{EPOCHS * samples / batch:.2g}"))))
    part = max(1, steps // 4)
    often = {"log_every": max(1, steps // 20), "eval_every": part, "save_every": part}
    return {"batch_size": batch, "steps": steps} | often
