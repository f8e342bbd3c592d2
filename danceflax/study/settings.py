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


def share_short(amount: Amount) -> float:
    """Share of the clips that fill less than half a window: classifiers leave them out."""
    least = min(WINDOW, amount.clip_seconds) / 2
    return sum(length < least for length in amount.lengths) / len(amount.lengths)


def count_training(amount: Amount) -> int:
    """How many clips are trained on."""
    return max(1, round(share_out(amount.sources)[0] / 100 * amount.clips))


def clip_fields(amount: Amount) -> dict[str, Any]:
    """Fields of a classifier's config: windows that clips of this length and rate hold."""
    frames = max(MIN_FRAMES, round(min(WINDOW, amount.clip_seconds) * amount.fps))
    fields = {
        "clip.fps": f"{amount.fps:g}",
        "clip.frames": frames,
        "eval.clips": count_windows(amount),
    }
    if short := share_short(amount):  # a split may have more than its share of them
        fields["data.max_bad_fraction"] = round(min(0.5, 2 * short + 0.1), 2)
    return fields


def sequence_fields(amount: Amount) -> dict[str, Any]:
    """Fields of configs/sequence.py."""
    fields = clip_fields(amount) | _pace(count_training(amount) * count_windows(amount), BATCH)
    return fields | {"optimizer.groups.network.warmup_steps": fields["steps"] // 10}


def i3d_fields(amount: Amount, checkpoint: str) -> dict[str, Any]:
    """Fields of configs/i3d.py:rgb, of which the head trains on features of that checkpoint."""
    own = {"streams.rgb.train": False, "streams.rgb.init_from": checkpoint, "cache.views": VIEWS}
    return clip_fields(amount) | _pace(count_training(amount), I3D_BATCH) | own


def _pace(samples, most):
    """Batch size and steps, and how often a training of so many logs, evaluates and saves."""
    batch = max(LEAST_BATCH, min(most, 1 << max(1, samples // 2).bit_length() - 1))
    low, high = STEPS
    steps = min(high, max(low, int(float(f"{EPOCHS * samples / batch:.2g}"))))
    often = {"log_every": steps // 20, "eval_every": steps // 4, "save_every": steps // 4}
    return {"batch_size": batch, "steps": steps} | often
