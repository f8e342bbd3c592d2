"""Networks from checkpoints, and weights of checkpoints to start a training from."""

import os
import re
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from danceflax.errors import UserError
from danceflax.io.console import console
from danceflax.models.registry import create_model
from danceflax.skeleton import Skeleton
from danceflax.training.checkpoints import load_model


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


def start_from(
    path: str | os.PathLike,
    variables: Mapping[str, Any],
    skeleton: Skeleton | None,
    allow_missing: str,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights of a checkpoint put into a fresh network's variables, for `config.init_from`.

    Args:
      path: as for `load_checkpoint`.
      variables: the fresh network's.
      skeleton: the fresh network's; None for a classifier.
      allow_missing: regex of the parameters that may stay fresh; "" for none.

    Returns:
      (variables, the normalisation that these weights want).

    Raises:
      UserError: they do not fit.
    """
    loaded, config = load_model(path)
    other = config.get("skeleton")
    if skeleton and other and not allow_missing:
        other = Skeleton.from_dict(other, where=str(path))
        if (other.joints, other.limbs) != (skeleton.joints, skeleton.limbs):
            raise UserError(
                f"{path} was trained on the skeleton {other.name}, the config has {skeleton.name}; "
                f"set config.model.skeleton={other.name}, or config.init_allow_missing to a regex "
                "of the layers to start from scratch"
            )
    variables, fresh = merge_variables(variables, loaded, path, allow_missing)
    console.print(f"weights from {path}; from scratch: {', '.join(fresh) if fresh else 'none'}")
    return variables, config["normalisation"]


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
      UserError: an array is missing or has another shape and is not excused, or nothing fits.
    """
    paths = jax.tree.map_with_path(_path, fresh)
    have = dict(
        zip(
            jax.tree.leaves(jax.tree.map_with_path(_path, loaded)),
            jax.tree.leaves(loaded),
            strict=True,
        )
    )
    kept, problems = [], []

    def pick(path, value):
        found = have.get(path)
        if found is not None and found.shape == value.shape:
            return np.asarray(found, value.dtype)
        if not re.fullmatch(allow_missing or "(?!)", path):
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


def _path(path, _):
    keys = [str(getattr(key, "key", key)) for key in path]
    return "/".join(keys[1:] if keys[0] == "params" else keys)
