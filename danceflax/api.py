"""The public way to a model: by name, or from a checkpoint that knows what it is."""

import dataclasses
import difflib

import jax.numpy as jnp

from danceflax import skeleton as skeletons
from danceflax.errors import UserError
from danceflax.io.console import console
from danceflax.models import (
    c3d,
    frames,
    i3d,
    openpose,
    streams,
)
from danceflax.pose.predict import PosePredictor
from danceflax.training import checkpoints

MODELS = {  # the module, and the skeleton of the published network
    "openpose_coco": (openpose.OpenPoseCOCO, "coco18"),
    "openpose_body25": (openpose.OpenPoseBody25, "body25"),
    "i3d": (i3d.I3D, None),
    "c3d": (c3d.C3D, None),
    "streams": (streams.StreamClassifier, None),
    "frames": (frames.FrameClassifier, None),
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
    if default_skeleton:
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
    return module(**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})


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


def load_predictor(path, **options):
    """The `PosePredictor` of a pose checkpoint: predictor(image) -> (people, scores).

    Args:
      path: as for `load_checkpoint`.
      **options: of `PosePredictor`: height, batch_size, flip, scales, and options of the decoder.

    Raises:
      UserError: there is no checkpoint, it is a classifier's, or an option is out of range.
    """
    model, variables, config = load_checkpoint(path)
    if "skeleton" not in config:
        name = config["model"]["name"]
        raise UserError(f"{path} holds {name}, a classifier; name a pose checkpoint")
    return PosePredictor(model, variables, config, **options)


def describe(model, labels, normalisation):
    """The checkpoint config of a model: the inverse of what `load_checkpoint` does.

    Args:
      model: the flax module.
      labels: the `Skeleton` of a pose network, or the list of a classifier's class names.
      normalisation: {"mean", "std"} of its RGB input.
    """
    name = next(name for name, (module, _) in MODELS.items() if isinstance(model, module))
    options = {
        field.name: getattr(model, field.name)
        for field in dataclasses.fields(model)
        if field.name not in ("parent", "name")
    }
    options["dtype"] = jnp.dtype(options["dtype"]).name
    is_pose = isinstance(labels, skeletons.Skeleton)
    return {
        "model": {"name": name, "options": options},
        **({"skeleton": labels.to_dict()} if is_pose else {"class_names": list(labels)}),
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


def start_stream(path, variables, stream, allow_missing):
    """Weights of an I3D, or of another classifier's stream, put into a stream's fresh variables.

    Args:
      path: as for `load_checkpoint`.
      variables: of a `StreamClassifier`.
      stream: "rgb", "flow" or "pose".
      allow_missing: regex of the stream's parameters that may stay fresh; "" for none.

    Returns:
      The variables with that stream's replaced.

    Raises:
      UserError: they do not fit.
    """
    loaded, config = checkpoints.load_model(path)
    key, name = f"stream_{stream}", config["model"]["name"]
    if name == "streams" and key in loaded["params"]:
        loaded = {kind: tree[key] for kind, tree in loaded.items()}
    elif name != "i3d":
        raise UserError(f"{path} holds {name} without a stream {stream}; name an I3D checkpoint")
    fresh = {kind: tree[key] for kind, tree in variables.items()}
    merged, kept = checkpoints.merge_variables(fresh, loaded, path, allow_missing)
    console.print(f"stream {stream} from {path}; from scratch: {', '.join(kept) or 'none'}")
    return {kind: tree | {key: merged[kind]} for kind, tree in variables.items()}
