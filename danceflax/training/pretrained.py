"""Networks from checkpoints, and weights of checkpoints to start a training from."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from danceflax.errors import UserError
from danceflax.io.console import print_table
from danceflax.models.registry import create_model
from danceflax.skeleton import Skeleton
from danceflax.training.checkpoints import load_model

# The modules whose channels are maps or classes: of OpenPose, C3D, I3D, and the classifiers' heads.
OUTPUTS = r"((.+/)?output|fc8|Logits|(head/)?linear|head/classes)"


def load_checkpoint(
    path: str | os.PathLike,
) -> tuple[nn.Module, dict[str, Any], dict[str, Any]]:
    """Reads any checkpoint of the project: of a training, or from convert_weights.py.

    Args:
      path: a training's workdir (its best step, else its latest), a step's directory in it, or a
        converted model's directory.

    Returns:
      (model, variables, config): the flax module, its variables {"params": ..., ...} as numpy
      arrays, and the config: "model" (name and options), "normalisation", and "skeleton" (a dict)
      or "class_names".

    Raises:
      UserError: there is no checkpoint, or its model is not known.
    """
    variables, config = load_model(path)
    options = dict(config["model"]["options"])
    if "skeleton" in config:
        options["skeleton"] = Skeleton.from_dict(config["skeleton"], where=str(path))
    return create_model(config["model"]["name"], **options), variables, config


def refuse_random(field: str, started: bool, allow_missing: str, where: str = "config") -> None:
    """Raises UserError: weights are frozen that nothing has trained, and nobody says so.

    Args:
      field: what freezes them, for the message.
      started: whether they come from a checkpoint.
      allow_missing: the regex of what may start from scratch; ".*" says that they are meant to be
        random.
      where: the config section of init_from and init_allow_missing.
    """
    if not started and not (allow_missing and re.fullmatch(allow_missing, "any/weights")):
        raise UserError(
            f"{field}=False freezes weights that are random: set {where}.init_from to a checkpoint "
            f"of them, or say that you mean it with {where}.init_allow_missing='.*'"
        )


def start_from(
    path: str | os.PathLike,
    variables: Mapping[str, Any],
    labels: Skeleton | Sequence[str],
    allow_missing: str,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights of a checkpoint put into a fresh network's variables, for `config.init_from`.

    A checkpoint of another skeleton, or of other classes, starts all but its output layers and
    what reads these; a table says which. One with more stages than the network is cut after them.

    Args:
      path: as for `load_checkpoint`.
      variables: the fresh network's.
      labels: the fresh network's skeleton, or a classifier's class names.
      allow_missing: regex of the parameters that may stay fresh; "" for none.

    Returns:
      (variables, the normalisation that these weights want).

    Raises:
      UserError: they do not fit.
    """
    loaded, config = load_model(path)
    new = []
    if _means_something_else(config, labels, path):
        new = output_paths(variables, loaded)
        allow_missing = "|".join([*map(re.escape, new), *filter(None, [allow_missing])])
    loaded = {"/".join(keys): leaf for keys, leaf in flatten_dict(loaded).items()}
    kept = {name: leaf for name, leaf in loaded.items() if _short(name) not in new}
    merged, fresh = merge_variables(variables, unflatten_dict(kept, sep="/"), path, allow_missing)
    print_start(path, merged, loaded, fresh)
    return merged, config["normalisation"]


def _means_something_else(config, labels, path):
    """Whether a checkpoint's outputs are other joints and limbs, or other classes."""
    if not isinstance(labels, Skeleton):
        return list(config.get("class_names", labels)) != list(labels)
    if "skeleton" not in config:
        return False
    other = Skeleton.from_dict(config["skeleton"], where=str(path))
    return (other.joints, other.limbs) != (labels.joints, labels.limbs)


def output_paths(fresh: Mapping[str, Any], loaded: Mapping[str, Any]) -> list[str]:
    """The parameters that depend on what the outputs mean: the output layers, and the kernels that
    differ in nothing but the number of maps they read."""
    shapes = {_short("/".join(keys)): leaf.shape for keys, leaf in flatten_dict(loaded).items()}

    def depends(path, shape):
        other = shapes.get(path, shape)
        reads = path.endswith("/kernel") and shape != other
        reads = reads and (shape[:-2], shape[-1]) == (other[:-2], other[-1])
        return reads or re.fullmatch(OUTPUTS, path.rpartition("/")[0]) is not None

    paths = {_short("/".join(keys)): leaf.shape for keys, leaf in flatten_dict(fresh).items()}
    return [path for path, shape in paths.items() if depends(path, shape)]


def print_start(
    path: str | os.PathLike,
    variables: Mapping[str, Any],
    loaded: Mapping[str, Any],
    fresh: Sequence[str],
) -> None:
    """A table of a network's modules: how many arrays each has from a checkpoint, and which layers
    start from scratch.

    Args:
      path: of the checkpoint.
      variables: of the network, merged.
      loaded: {path: array} of the checkpoint.
      fresh: the paths that start from scratch.
    """
    names = [_short("/".join(keys)) for keys in flatten_dict(variables)]
    rows = []
    for module in sorted({_module(name) for name in [*names, *map(_short, loaded)]}):
        own = [name for name in names if _module(name) == module]
        new = [name for name in fresh if _module(name) == module]
        layers = {name.rpartition("/")[0].partition("/")[2] or module for name in new}
        scratch = ", ".join(sorted(layers)) if own else "not in the network"
        rows.append((module, len(own) - len(new), scratch))
    print_table(f"weights from {path}", ("module", "arrays", "from scratch"), rows)


def merge_variables(
    fresh: Mapping[str, Any],
    loaded: Mapping[str, Any],
    source: str | os.PathLike,
    allow_missing: str = "",
) -> tuple[dict[str, Any], list[str]]:
    """Fresh variables with every array that `loaded` has put in.

    Args:
      fresh, loaded: trees {"params": ..., ...}.
      source: what `loaded` came from, for messages.
      allow_missing: a regex; a path it matches wholly may keep its fresh value where `loaded` lacks
        it or has another shape.

    Returns:
      (variables, paths that stayed fresh).

    Raises:
      UserError: an array is missing or has another shape, or one is left over in a module that the
        network has, and is not excused; or nothing fits.
    """
    paths = jax.tree.map_with_path(lambda path, _: _short("/".join(k.key for k in path)), fresh)
    have = {_short("/".join(keys)): leaf for keys, leaf in flatten_dict(loaded).items()}
    excused = re.compile(allow_missing or "(?!)")
    names = set(jax.tree.leaves(paths))
    modules = {_module(name) for name in names}
    problems = [
        f"{name} is not in it"
        for name in have
        if name not in names and _module(name) in modules and not excused.fullmatch(name)
    ]
    kept = []

    def pick(path, value):
        found = have.get(path)
        if found is not None and found.shape == value.shape:
            return np.asarray(found, value.dtype)
        if not excused.fullmatch(path):
            why = "is missing" if found is None else f"is {found.shape}, expected {value.shape}"
            problems.append(f"{path} {why}")
        kept.append(path)
        return value

    merged = jax.tree.map(pick, paths, fresh)
    if problems:
        more = f" (and {len(problems) - 4} more)" if len(problems) > 4 else ""
        raise UserError(
            f"{source} does not fit the network: {'; '.join(problems[:4])}{more}; to start these "
            "from scratch set config.init_allow_missing to a regex of their paths"
        )
    if len(kept) == len(jax.tree.leaves(fresh)):
        raise UserError(f"{source} has no array that fits the network")
    return merged, kept


def _short(path):
    """A path without its collection, where that is the parameters."""
    return path.removeprefix("params/")


def _module(path):
    """The network's module that a path lies in."""
    return path.removeprefix("batch_stats/").partition("/")[0]
