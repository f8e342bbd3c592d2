"""Networks by name: how configs and checkpoints call them."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from danceflax import skeleton as skeletons
from danceflax.errors import UserError
from danceflax.external import is_external, load_object
from danceflax.models import c3d, frames, i3d, openpose, streams
from danceflax.models.sequences import gru, posec3d, rhythm, stgcn, transformer
from danceflax.skeleton import Skeleton

MODELS = {
    "openpose_coco": openpose.OpenPoseCOCO,
    "openpose_body25": openpose.OpenPoseBody25,
    "i3d": i3d.I3D,
    "c3d": c3d.C3D,
    "streams": streams.StreamClassifier,
    "frames": frames.FrameClassifier,
    "rhythm": rhythm.RhythmNet,
    "stgcn": stgcn.STGCN,
    "transformer": transformer.SequenceTransformer,
    "gru": gru.SequenceGRU,
    "posec3d": posec3d.PoseC3D,
}
SKELETONS = {"openpose_coco": "coco18", "openpose_body25": "body25"}  # of the published networks


def create_model(name: str, **options: Any) -> nn.Module:
    """Builds a network by name, ready for `init` and `apply`.

    Args:
      name: a key of `MODELS`, or "package.module:Class" for a flax module of one's own.
      **options: the network's attributes. One that has `num_pafs` and `num_heatmaps` also takes
        `skeleton`: a `Skeleton`, its name or the path of its JSON file (the published network's by
        default). `dtype` is "float32" or "bfloat16".

    Raises:
      UserError: the name or an option is not known.
    """
    module, known = _find_module(name), list_options(name)
    if {"num_pafs", "num_heatmaps"} <= known and (name in SKELETONS or "skeleton" in options):
        skeleton = options.pop("skeleton", SKELETONS.get(name))
        if not isinstance(skeleton, Skeleton):
            skeleton = skeletons.load(skeleton)
        options = {"num_pafs": skeleton.num_pafs, "num_heatmaps": skeleton.num_heatmaps} | options
    for key in options:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(known))}"
            raise UserError(f"model {name} has no option {key!r}: {hint}")
    if "dtype" in known:
        options["dtype"] = _parse_dtype(options.get("dtype", "float32"))
    return module(**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})


def list_options(name: str) -> set[str]:
    """What `create_model` takes for that network. Raises UserError: there is none."""
    return {field.name for field in dataclasses.fields(_find_module(name))} - {"parent", "name"}


def describe(
    model: nn.Module,
    labels: Skeleton | Sequence[str],
    normalisation: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    """What a checkpoint says of its model: {"model": {"name", "options"}, "skeleton" or
    "class_names", "normalisation"}; `create_model` builds the same model of it.

    Args:
      model: the flax module.
      labels: the `Skeleton` of a pose network, or a classifier's class names.
      normalisation: {"mean", "std"} of its RGB input, 0..255.
    """
    options = {
        field.name: getattr(model, field.name)
        for field in dataclasses.fields(model)
        if field.name not in ("parent", "name")
    }
    if "dtype" in options:
        options["dtype"] = jnp.dtype(options["dtype"]).name
    kind = type(model)
    outside = f"{kind.__module__}:{kind.__qualname__}"
    name = next((name for name, known in MODELS.items() if kind is known), outside)
    is_pose = isinstance(labels, Skeleton)
    return {
        "model": {"name": name, "options": options},
        **({"skeleton": labels.to_dict()} if is_pose else {"class_names": list(labels)}),
        "normalisation": {key: list(map(float, normalisation[key])) for key in ("mean", "std")},
    }


def _find_module(name):
    if name in MODELS:
        return MODELS[name]
    if is_external(name):
        module = load_object(name, "config.model.name")
        if isinstance(module, type) and issubclass(module, nn.Module):
            return module
        raise UserError(f"config.model.name={name!r} is no flax.linen.Module")
    raise UserError(
        f"model {name!r} is not known; choose one of {', '.join(MODELS)}, or name "
        "package.module:Class"
    )


def _parse_dtype(name):
    known = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
    for text, dtype in known.items():
        if name in (text, dtype):
            return jnp.dtype(dtype)
    raise UserError(f"dtype {name!r}; choose {' or '.join(known)}")


def describe_network(model: nn.Module, variables: Mapping[str, Any]) -> str:
    """What a network is called, and how large it is: "OpenPoseBody25, 1,234,567 parameters"."""
    count = sum(leaf.size for leaf in jax.tree.leaves(variables.get("params", {})))
    return f"{type(model).__name__}, {count:,} parameters"
