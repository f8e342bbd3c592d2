"""What values the fields of a config may have: a wrong one ends in one line before anything runs.

Which fields there are, configs/ says; which values fit together, the code that uses them.
"""

import fnmatch
import math
import numbers
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from danceflax.errors import UserError

INFINITY = float("inf")


class Rule(NamedTuple):
    """Whether a value fits, and what to call those that do."""

    fits: Callable[[Any], bool]
    expected: str


def whole(low: int, high: float = INFINITY) -> Rule:
    """A whole number from low to high."""
    return Rule(
        lambda x: isinstance(x, int) and not isinstance(x, bool) and low <= x <= high,
        f"a whole number {_range(low, high)}",
    )


def real(low: float, high: float = INFINITY, above: bool = False, below: bool = False) -> Rule:
    """A number from low to high; with `above` or `below`, without these."""

    def fits(x):
        number = isinstance(x, numbers.Real) and not isinstance(x, bool) and math.isfinite(x)
        return number and (low < x if above else low <= x) and (x < high if below else x <= high)

    return Rule(fits, f"a number {_range(low, high, above, below)}")


def several(rule: Rule, count: int | None = None, least: int = 0) -> Rule:
    """A list of `count` values, or of at least `least`, that each fit a rule."""

    def fits(x):
        listed = isinstance(x, Sequence) and not isinstance(x, str)
        return listed and (len(x) == count if count else len(x) >= least) and all(map(rule.fits, x))

    return Rule(
        fits,
        f"a list of {count or f'{least} or more' if least else 'values'}, each {rule.expected}",
    )


def span(rule: Rule) -> Rule:
    """(low, high) that fit a rule."""
    pair = several(rule, 2)
    return Rule(
        lambda x: pair.fits(x) and x[0] <= x[1], f"(low, high), each {rule.expected}, in that order"
    )


def multiples(of: int, count: int) -> Rule:
    """`count` whole numbers that are multiples of another."""
    listed = several(whole(of), count)
    return Rule(
        lambda x: listed.fits(x) and not any(side % of for side in x),
        f"(height, width) in multiples of {of} pixels",
    )


def either(*names: str, or_text: str = "") -> Rule:
    """One of several words; or, where there is a text for it, any other text."""
    return Rule(
        lambda x: isinstance(x, str) and (x in names or (bool(or_text) and x != "")),
        f"{', '.join(names)}{or_text and f', or {or_text}'}",
    )


def optional(rule: Rule) -> Rule:
    return Rule(lambda x: x is None or rule.fits(x), f"None, or {rule.expected}")


def _range(low, high, above=False, below=False):
    start = f"above {low:g}" if above else f"from {low:g} on"
    if high == INFINITY:
        return start
    return f"{start.removesuffix(' on')} {'to below' if below else 'to'} {high:g}"


def _is_pattern(x):
    try:
        return isinstance(x, str) and re.compile(x) is not None
    except re.error:
        return False


FLAG = Rule(lambda x: isinstance(x, bool), "True or False")
TEXT = Rule(lambda x: isinstance(x, str) and "\0" not in x, "a text")
PATTERN = Rule(_is_pattern, "a regular expression")
SHARE = real(0, 1)
POSITIVE = real(0, above=True)

# By field, * for a name that configs choose; the first that fits holds.
RULES = {
    "seed": whole(0, 2**32 - 1),
    "steps": whole(1),
    "batch_size": whole(1),
    "init_from": TEXT,
    "init_allow_missing": PATTERN,
    "class_names": several(TEXT),
    "*_every": whole(0),
    "save_keep": whole(1),
    "save_patience": whole(0),
    "lost_after": whole(1),
    "normalisation.mean": several(real(-INFINITY), least=1),
    "normalisation.std": several(POSITIVE, least=1),
    # The network.
    "model.name": TEXT,
    "model.skeleton": TEXT,
    "model.dtype": either("float32", "bfloat16"),
    "model.width": POSITIVE,
    "model.stages": whole(1, 6),
    "model.paf_stages": whole(1),
    "model.heatmap_stages": whole(0),
    "model.dropout": real(0, 1, below=True),
    "model.bn_decay": real(0, 1, below=True),
    "model.head_channels": whole(0),
    "model.head_kernel": several(whole(1), 3),
    "model.channels": several(whole(1), least=1),
    "model.span": whole(4),
    "model.harmonics": whole(1),
    "model.remat": FLAG,
    "model.batch_norm": FLAG,
    "model.stop_heatmap_gradient": FLAG,
    **dict.fromkeys(
        [f"model.{x}" for x in ("towers", "patch", "layers", "heads", "size")], whole(1)
    ),
    "model.tokens": either("frames", "joints"),
    "model.streams": several(TEXT, least=1),
    "model.sigma": POSITIVE,
    "model.last": TEXT,
    "model.temporal": either("mean", "conv", "gru"),
    "model.head_kind": either("mean", "time"),
    "model.join": either("channels", "time"),
    "model.pose_entry": either("grid", "full"),
    "model.*_activation": either("none", "relu", "sigmoid", "tanh"),
    # Data.
    "data.sets.*.weight": SHARE,
    "data.max_people": whole(1),
    "data.threads": whole(0),
    "data.max_bad_fraction": SHARE,
    "data.patience": real(0),
    "data.fps": real(0, 1000),
    "data.min_confidence": SHARE,
    "data.folds": whole(0),
    "data.fold": whole(-1),
    "data.fold_seed": whole(0, 2**32 - 1),
    "data.group": TEXT,
    **dict.fromkeys(
        [
            f"data.{prefix}{name}"
            for prefix in ("", "sets.*.")
            for name in ("source", "root", "train_split", "val_split", "images", "annotations")
        ],
        TEXT,
    ),
    # Samples.
    "augment.size": multiples(8, 2),
    "augment.scale": span(POSITIVE),
    "augment.size_by": either("longer", "height"),
    "augment.target_scale": POSITIVE,
    "augment.rotation": real(0, 180),
    "augment.jitter": real(0),
    "augment.colour": several(real(0), least=3),
    "augment.patches": whole(0),
    "augment.crop": span(real(0, 1, above=True)),
    **dict.fromkeys([f"augment.{name}" for name in ("flip", "inverted", "grey", "blur")], SHARE),
    "augment.patch_size": SHARE,
    **dict.fromkeys([f"augment.{name}" for name in ("squeeze", "tempo", "noise")], real(0)),
    "augment.lost_*": SHARE,
    "augment.masked_*": SHARE,
    "clip.frames": whole(1),
    "clip.fps": real(0, 1000),
    "clip.stride": whole(1),
    "clip.sampling": either("contiguous", "uniform"),
    "clip.size": whole(8),
    "targets.mode": either("paper", "caffe"),
    "targets.sigma": POSITIVE,
    "targets.limb_width": POSITIVE,
    # Streams of classifiers.
    "streams.*.train": FLAG,
    "streams.*.train_network": FLAG,
    "streams.*.init_allow_missing": PATTERN,
    "streams.flow.source": either("files", "dis", "farneback", "tvl1"),
    "streams.flow.bound": POSITIVE,
    "streams.flow.every": whole(1),
    "streams.pose.source": either("keypoints", "network", "features"),
    "streams.pose.maps": either("heatmaps", "both", "field"),
    "streams.pose.stages": whole(0, 6),
    "streams.pose.stride": whole(1),
    "streams.pose.sigma": POSITIVE,
    "streams.*.max_people": whole(1),
    "streams.people.longest_gap": real(0),
    "streams.*.init_from": TEXT,
    "streams.pose.network": TEXT,
    "streams.*.skeleton": TEXT,
    "loss.label_smoothing": real(0, 1, below=True),
    "loss.class_weights": either("none", "balanced"),
    "loss.mixup": real(0),
    "cache.views": whole(0),
    "cache.folder": TEXT,
    # Optimization.
    "optimizer.clip_norm": real(0),
    "optimizer.accumulate": whole(1),
    "optimizer.average_decay": real(0, 1, below=True),
    "optimizer.freeze_batchnorm": FLAG,
    "optimizer.groups.*.pattern": PATTERN,
    "optimizer.groups.*.train": FLAG,
    "optimizer.groups.*.optimizer": either("adamw", "adam", "sgd"),
    "optimizer.groups.*.schedule": either(
        "constant", "cosine", "restarts", "multistep", "step", "cyclic", "one_cycle"
    ),
    "optimizer.groups.*.warmup_steps": whole(0),
    "optimizer.groups.*.milestones": several(SHARE),
    "optimizer.groups.*.cycle_steps": whole(1),
    "optimizer.groups.*.cycle_growth": real(1),
    "optimizer.groups.*.rise": real(0, 1, above=True, below=True),
    "optimizer.groups.*.cycle_momentum": several(real(0, 1, below=True)),
    "optimizer.groups.*.decay_biases": FLAG,
    "optimizer.groups.*.nesterov": FLAG,
    "optimizer.groups.*.b[12]": real(0, 1, below=True),
    "optimizer.groups.*.momentum": real(0, 1, below=True),
    "optimizer.groups.*.eps": POSITIVE,
    "optimizer.groups.*.*lr*": real(0),
    "optimizer.groups.*.gamma": real(0),
    "optimizer.groups.*.weight_decay": real(0),
    # Decoding and evaluation.
    "decode.rule": either("global", "tree"),
    "decode.refine": either("grid", "upsample"),
    "decode.max_*": whole(1),
    "decode.min_joints": optional(whole(1)),
    "decode.min_score": real(0),
    "decode.p*": optional(SHARE),
    "eval.batch_size": whole(1),
    "eval.size": multiples(8, 2),
    "eval.limit": whole(0),
    "eval.score": TEXT,
    "eval.flip": FLAG,
    "eval.scales": several(POSITIVE, least=1),
    "eval.rotations": several(real(-360, 360), least=1),
    "eval.pictures": whole(0),
    "eval.clips": whole(1),
    "eval.crops": Rule(lambda x: x in (1, 3) and not isinstance(x, bool), "1 or 3"),
    "eval.crop": real(0, 1, above=True),
    "report.*": TEXT,
}


def check_config(config: ConfigDict | dict) -> None:
    """Looks at every field of a config for which there is a rule.

    Raises:
      UserError: a value does not fit; the message names the field, the value and what would fit.
    """
    for field, value in walk(config):
        rule = find_rule(field)
        if rule and not rule.fits(value):
            raise UserError(f"config.{field}={value!r}: expected {rule.expected}")


def find_rule(field: str) -> Rule | None:
    """The rule of a field, "optimizer.groups.paf.lr"; None if there is none."""
    return next((RULES[name] for name in RULES if fnmatch.fnmatchcase(field, name)), None)


def walk(config: ConfigDict | dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(field, value) of every field of a nested config."""
    for key, value in config.items():
        if hasattr(value, "items"):
            yield from walk(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
