"""Parameter groups: each has a pattern, an optimizer, a schedule, and may be frozen."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from danceflax.errors import UserError
from danceflax.io.console import print_table
from danceflax.training.schedules import make_momentum, make_schedule

OPTIMIZERS = ("adamw", "adam", "sgd")


def parameter_paths(params: Any) -> Any:
    """A tree like `params` whose leaves are their paths, "paf_stage0/output/kernel"."""
    return jax.tree.map_with_path(
        lambda path, _: "/".join(str(getattr(key, "key", key)) for key in path), params
    )


def label_parameters(params: Any, groups: Mapping | ConfigDict) -> Any:
    """Names the group of every parameter.

    Args:
      params: a tree of arrays.
      groups: {name: {"pattern": regex, ...}}; a pattern must match the whole path.

    Returns:
      A tree like `params` of group names.

    Raises:
      UserError: a parameter matches no group or several, or a group matches none.
    """
    patterns = {}
    for name, group in groups.items():
        try:
            patterns[name] = re.compile(group["pattern"])
        except re.error as error:
            raise UserError(
                f"optimizer.groups.{name}.pattern {group['pattern']!r}: {error}"
            ) from None
    problems, used = [], set()

    def label(path):
        matches = [name for name, pattern in patterns.items() if pattern.fullmatch(path)]
        if len(matches) != 1:
            problems.append(f"{path} matches {' and '.join(matches) if matches else 'no group'}")
        used.update(matches)
        return matches[0] if matches else ""

    paths = parameter_paths(params)
    labels = jax.tree.map(label, paths)
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise UserError(
            "optimizer.groups: every parameter must match exactly one pattern, but "
            + "; ".join(problems[:3]) + more
        )  # fmt: skip
    for name, pattern in patterns.items():
        if name not in used:
            tops = sorted({path.split("/")[0] for path in jax.tree.leaves(paths)})
            raise UserError(
                f"optimizer.groups.{name}.pattern {pattern.pattern!r} matches no parameter; "
                f"their paths begin with {', '.join(tops)}"
            )
    return labels


def _is_bias(params):
    return jax.tree.map(lambda path: path.endswith("/bias"), parameter_paths(params))


def _decays(params):
    """Biases, PReLU slopes and normalisation scales are not decayed."""
    return jax.tree.map(lambda x: x.ndim > 1, params)


def _group_transform(group, schedule, momentum, where):
    kind = group["optimizer"]
    mask = None if group["decay_biases"] else _decays
    decay = optax.add_decayed_weights(group["weight_decay"], mask)
    # What follows a schedule of its own reads it from the optimizer's state.
    moving = optax.inject_hyperparams if callable(momentum) else lambda transform: transform
    if kind in ("adamw", "adam"):
        adam = moving(optax.scale_by_adam)(momentum, group["b2"], group["eps"])
        chain = [adam, decay] if kind == "adamw" else [decay, adam]  # L2 in the gradient, as Caffe
    elif kind == "sgd":
        chain = [decay, moving(optax.trace)(momentum, group["nesterov"])]
    else:
        raise UserError(
            f"optimizer.groups.{where}.optimizer {kind!r}; choose {', '.join(OPTIMIZERS)}"
        )
    bias = optax.identity()
    if group["bias_lr_mult"] != 1.0:
        bias = optax.masked(optax.scale(group["bias_lr_mult"]), _is_bias)
    return optax.chain(*chain, bias, optax.scale_by_learning_rate(schedule))


def make_optimizer(
    config: Mapping[str, Any], labels: Any, steps: int
) -> tuple[optax.GradientTransformation, dict[str, optax.Schedule]]:
    """One optimizer out of a group each.

    Args:
      config: `groups` as in configs/openpose_base.py, `clip_norm` (global L2 norm of the trained
        gradients, 0 switches it off).
      labels: from `label_parameters`.
      steps: optimizer steps of the whole training.

    Returns:
      The optimizer, and the learning-rate schedules of the groups that train.
    """
    schedules, transforms = {}, {}
    for name, group in config["groups"].items():
        if group["train"]:
            schedules[name] = make_schedule(group, steps, name)
            momentum = make_momentum(group, steps, name)
            transforms[name] = _group_transform(group, schedules[name], momentum, name)
        else:
            transforms[name] = optax.set_to_zero()
    if not schedules:
        raise UserError("optimizer.groups: every group is frozen; set train=True in at least one")
    # The state has the same shape with and without clipping: a training may change its mind.
    clip = optax.clip_by_global_norm(norm) if (norm := config["clip_norm"]) else optax.identity()
    return optax.chain(clip, optax.multi_transform(transforms, labels)), schedules


def trained_parameters(labels: Any, groups: Mapping | ConfigDict) -> Any:
    """A tree of bool like `labels`: does the parameter's group train?"""
    return jax.tree.map(lambda label: bool(groups[label]["train"]), labels)


def print_groups(params: Any, labels: Any, groups: Mapping | ConfigDict) -> None:
    """Prints which group trains what, and how."""
    rows = []
    sizes = list(zip(jax.tree.leaves(labels), jax.tree.leaves(params), strict=True))
    for name, group in groups.items():
        own = [x.size for label, x in sizes if label == name]
        if group["train"]:
            how = (group["optimizer"], f"{group['lr']:g}", f"{group['weight_decay']:g}")
        else:
            how = ("frozen", "-", "-")
        rows.append((name, *how, f"{len(own):,}", f"{sum(own):,}"))
    header = ("group", "optimizer", "learning rate", "weight decay", "arrays", "parameters")
    print_table("parameter groups", header, rows)
