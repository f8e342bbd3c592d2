"""What a report is about: one run, or two that were measured on the same samples."""

import itertools
import pathlib
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from danceflax.data.clip_table import group_of, read_clip_table
from danceflax.data.splits import CLIP_LISTS, find_split, list_clips
from danceflax.errors import UserError
from danceflax.report import charts
from danceflax.report.page import Section
from danceflax.training.curves import find_metrics, read_curves

FUSED = " + "  # between the paths of a run's name
LIBRARIES = ("danceflax", "jax", "flax", "optax", "numpy", "opencv-python-headless")


class Run(NamedTuple):
    """A run and what was measured of it.

    Attributes:
      name: what it is: the path of the checkpoint, or several, fused.
      path: of the checkpoint.
      loaded: (model, variables, checkpoint config) of `load_checkpoint`.
      config: it was measured with.
      result: `pose.evaluate.Evaluation`, or (metrics, `dance.evaluate.Answers`).
    """

    name: str
    path: str
    loaded: tuple[Any, Mapping[str, Any], Mapping[str, Any]]
    config: ConfigDict
    result: Any

    def __repr__(self) -> str:
        return f"Run({self.name!r}: {self.result!r})"


def learning_curves(runs: Sequence[Run], shown: Sequence[str]) -> Section:
    """Losses, figures in validation and learning rates over the steps."""
    panels = {"loss": [], "validation": [], "learning rate": []}
    logs = list(dict.fromkeys(filter(None, (find_metrics(run.path) for run in runs))))
    for number, path in enumerate(logs):
        for (split, name), (steps, values) in read_curves(path).items():
            if name == "loss":
                panel, label = "loss", f"{split} loss"
            elif name.startswith("lr/"):
                panel, label = "learning rate", name[3:]
            elif split != "train" and name.rpartition("/")[2] in shown:
                panel, label = "validation", name
            else:
                continue
            label += f" ({path.parent.name})" if len(logs) > 1 else ""
            panels[panel].append((label, steps, values, charts.DASHES[number]))
    drawn = []
    for panel, curves in panels.items():
        coloured = [
            (label, steps, values, charts.choose_colour(k % max(1, len(curves) // len(logs))), dash)
            for k, (label, steps, values, dash) in enumerate(curves)
        ]
        scale = {} if panel == "validation" else {"y_axis_type": "log"}
        if coloured:
            drawn.append((panel, charts.draw_lines(coloured, ("step", panel), height=260, **scale)))
    text = "" if drawn else "No metrics.jsonl lies with the checkpoint."
    return Section("Learning curves", text, drawn)


def model_card(runs: Sequence[Run], settings: Mapping[str, Any], split: str) -> list[Section]:
    """What was measured, on what, how; and every field of the training's config."""
    about = [("command", shlex.join(sys.orig_argv)), *_flatten(settings)]
    versions = [("python", platform.python_version())]
    versions += [(name, _version(name)) for name in LIBRARIES]
    device = jax.devices()[0]
    versions.append(("device", f"{jax.device_count()} x {device.device_kind} ({device.platform})"))
    tables = [("evaluation", (), about)]
    for name, run in zip(name_runs(runs), runs, strict=True):
        _, variables, checkpoint = run.loaded
        modules = {name: _count(tree) for name, tree in variables["params"].items()}
        rows = [("checkpoint", run.name), ("model", checkpoint["model"]["name"])]
        rows += [("parameters", f"{sum(modules.values()):,}")]
        rows += [(f"of {module}", f"{count:,}") for module, count in modules.items()]
        rows.append(("shared with the training split", describe_leaks(run.config, split)))
        tables.append((f"model {name}", (), rows))
    tables.append(("versions", (), versions))
    training = [
        Section(
            f"Training of {name}",
            tables=[("", ("field", "value"), _flatten(run.loaded[2].get("training", {})))],
            folded=True,
        )
        for name, run in zip(name_runs(runs), runs, strict=True)
    ]
    return [Section("Model card", tables=tables), *training]


def describe_leaks(config: ConfigDict, split: str) -> str:
    """How many sources (videos, or the groups of clips.csv) the split shares with that which the
    config trains on, in words."""
    data = config.data
    if data.source != "folder":
        return "not known for this kind of data set"
    table = read_clip_table(data.root)
    try:
        train, own = (
            {group_of(clip, table) for clip in list_clips(find_split(data.root, name, CLIP_LISTS))}
            for name in (data.train_split, split)
        )
    except UserError as error:
        return f"not known: {error}"
    shared = sorted(train & own)
    named = f": {', '.join(shared[:8])}{', ...' if len(shared) > 8 else ''}" if shared else ""
    return (
        f"{len(shared)} of {len(own)} videos or groups of {split} are in {data.train_split}{named}"
    )


def _flatten(fields):
    flat = flatten_dict(dict(fields), sep=".", keep_empty_nodes=False)
    return [(key, _show(value)) for key, value in flat.items()]


def _show(value):
    is_list = isinstance(value, list | tuple)
    return (", ".join(map(str, value)) or "none") if is_list else str(value)


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def _count(tree):
    return int(sum(np.size(leaf) for leaf in jax.tree.leaves(tree)))


def name_runs(runs: Sequence[Run]) -> list[str]:
    """What the report calls the runs: of each path, as much of its end as tells all apart."""
    paths = [[_split_path(path) for path in run.name.split(FUSED)] for run in runs]
    together = set(itertools.chain.from_iterable(paths))
    for count in range(1, max(map(len, together)) + 1):
        if len({own[-count:] for own in together}) == len(together):
            break
    names = [FUSED.join("/".join(own[-count:]) for own in run) for run in paths]
    if len(set(names)) < len(names):  # a run beside itself
        return [f"{name} ({number})" for number, name in enumerate(names, 1)]
    return names


def _split_path(path):
    """The parts of a path; of a step, runs/a/checkpoints/9, with "a step 9" as the last."""
    parts = pathlib.Path(path).parts
    if len(parts) > 2 and parts[-2] == "checkpoints" and parts[-1].isdigit():
        return (*parts[:-3], f"{parts[-3]} step {parts[-1]}")
    return parts
