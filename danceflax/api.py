"""The public way to a model: by name, or from a checkpoint that knows what it is."""

import dataclasses
import difflib

import jax.numpy as jnp

from danceflax import skeleton as skeletons
from danceflax.errors import UserError
from danceflax.models import openpose
from danceflax.training import checkpoints
from danceflax.training.report import console

MODELS = {
    "openpose_coco": (openpose.OpenPoseCOCO, "coco18"),
    "openpose_body25": (openpose.OpenPoseBody25, "body25"),
}


def create_model(name, **options):
    """Builds a network by name.

    Args:
      name: a key of `MODELS`.
      **options: the network's attributes; for an OpenPose network also `skeleton`, a `Skeleton`,
        its name or the path of its JSON file (the published network's by default). `dtype` is
        "float32" or "bfloat16".

    Returns:
      A flax module, ready for `init` and `apply`.

    Raises:
      UserError: the name or an option is not known.
    """
    if name not in MODELS:
        raise UserError(f"model {name!r} is not known; choose one of {', '.join(MODELS)}")
    module, default_skeleton = MODELS[name]
    known = {field.name for field in dataclasses.fields(module)} - {"parent", "name"}
    skeleton = options.pop("skeleton", default_skeleton)
    if not isinstance(skeleton, skeletons.Skeleton):
        skeleton = skeletons.load(skeleton)
    options = {"num_pafs": skeleton.num_pafs, "num_heatmaps": skeleton.num_heatmaps} | options
    for key in options:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(known))}"
            raise UserError(f"model {name} has no option {key!r}: {hint}")
    options["dtype"] = jnp.dtype(options.get("dtype", "float32"))
    return module(**options)


def load_checkpoint(path):
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
    variables, config = checkpoints.load_model(path)
    options = dict(config["model"]["options"])
    if "skeleton" in config:
        options["skeleton"] = skeletons.Skeleton.from_dict(config["skeleton"], where=str(path))
    return create_model(config["model"]["name"], **options), variables, config


def describe(model, skeleton, normalisation):
    """The checkpoint config of a pose model: the inverse of what `load_checkpoint` does."""
    name = next(name for name, (module, _) in MODELS.items() if isinstance(model, module))
    options = {
        field.name: getattr(model, field.name)
        for field in dataclasses.fields(model)
        if field.name not in ("parent", "name")
    }
    options["dtype"] = jnp.dtype(options["dtype"]).name
    return {
        "model": {"name": name, "options": options},
        "skeleton": skeleton.to_dict(),
        "normalisation": {key: list(map(float, normalisation[key])) for key in ("mean", "std")},
    }


def start_from(path, variables, skeleton, allow_missing):
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
    loaded, config = checkpoints.load_model(path)
    other = config.get("skeleton")
    if skeleton and other and not allow_missing:
        other = skeletons.Skeleton.from_dict(other, where=str(path))
        if (other.joints, other.limbs) != (skeleton.joints, skeleton.limbs):
            raise UserError(
                f"{path} was trained on the skeleton {other.name}, the config has {skeleton.name}; "
                f"set config.model.skeleton={other.name}, or config.init_allow_missing to a regex "
                "of the layers to start from scratch"
            )
    variables, fresh = checkpoints.merge_variables(variables, loaded, path, allow_missing)
    console.print(f"weights from {path}; from scratch: {', '.join(fresh) if fresh else 'none'}")
    return variables, config["normalisation"]
