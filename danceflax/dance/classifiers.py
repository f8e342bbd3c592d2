"""Makes classifiers: from a training config, or from a checkpoint."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from danceflax import skeleton as skeletons
from danceflax.dance.inputs import (
    OPENPOSE,
    PEOPLE,
    Classifier,
    batch_shapes,
    check_pose_grid,
    make_inputs,
    make_prepare,
)
from danceflax.dance.sequences.body import make_body
from danceflax.errors import UserError
from danceflax.io.console import console
from danceflax.models import registry
from danceflax.models.initialise import initialise
from danceflax.models.normalisation import SYMMETRIC
from danceflax.models.registry import create_model
from danceflax.models.streams import STREAMS, StreamClassifier
from danceflax.skeleton import Skeleton
from danceflax.training.checkpoints import load_model
from danceflax.training.pretrained import (
    load_checkpoint,
    merge_variables,
    refuse_random,
    start_from,
)

# How Kinetics I3D was trained and tested: 25 frames a second, the middle 224 of a short side 256.
PUBLISHED_CLIP = dict(frames=64, fps=25.0, stride=1, sampling="contiguous", size=224)
PUBLISHED_VIEWS = dict(clips=4, crops=1, crop=0.875)
PUBLISHED_FLOW = dict(source="dis", bound=20.0, every=1)


def create(config: ConfigDict, class_names: Sequence[str]) -> tuple[Classifier, dict[str, Any]]:
    """A classifier and its start variables, by a training config (configs/classifier_base.py).

    Raises:
      UserError: options do not fit together, or a checkpoint to start from does not fit.
    """
    pose, name = config.streams.get("pose"), config.model.name
    openpose_config = openpose_variables = None
    if pose and pose.network:
        openpose_variables, openpose_config = load_openpose(pose)
        if pose.train_network and not _trains(config, "pose"):
            raise UserError(
                "config.streams.pose.train_network=True does nothing behind a frozen stream; set "
                "config.streams.pose.train=True"
            )
    options = dict(config.model, num_classes=len(class_names))
    frozen = [stream for stream in config.streams if not _trains(config, stream)]
    if name == "streams":
        streams = [stream for stream in STREAMS if stream in config.streams]
        options |= {"streams": streams, "frozen": frozen}
    elif frozen:
        raise UserError(
            f"config.streams.{frozen[0]}.train=False: only the model streams has a head apart; "
            f"{name} trains whole"
        )
    if PEOPLE in config.streams:
        body = make_body(skeletons.load(config.streams.people.skeleton))._asdict()
        options |= {key: body[key] for key in body if key in registry.list_options(name)}
    inputs = make_inputs(config.streams, config.clip, config.eval, openpose_config)
    normalisation = config.normalisation.to_dict()
    model = create_model(**options)
    classifier = assemble(model, {"normalisation": normalisation, "inputs": inputs})
    check_pose_grid(inputs)

    shapes = jax.eval_shape(
        make_prepare(classifier),
        {OPENPOSE: openpose_variables and openpose_variables["params"]},
        batch_shapes(classifier),
    )
    if not isinstance(model, StreamClassifier):
        (shapes,) = shapes.values()
    variables = initialise(model, shapes, config.seed)
    for stream in config.streams:
        if path := config.streams[stream].init_from:
            if name != "streams":
                raise UserError(f"config.streams.{stream}.init_from is not for {name}: init_from")
            missing = config.streams[stream].init_allow_missing
            variables, found = start_stream(path, variables, stream, missing)
            normalisation = found if stream == "rgb" else normalisation
    if openpose_variables:
        variables["params"][OPENPOSE] = openpose_variables["params"]
    for stream in frozen:
        started, own = bool(config.init_from), config.streams[stream]
        where = f"config.streams.{stream}"
        refuse_random(
            f"{where}.train", started or bool(own.init_from), own.init_allow_missing, where
        )
    if config.init_from:
        variables, normalisation = start_from(
            config.init_from, variables, class_names, config.init_allow_missing
        )
    return classifier._replace(normalisation=normalisation), variables


def load_openpose(pose: ConfigDict) -> tuple[dict[str, Any], dict[str, Any]]:
    """(variables, checkpoint config) of the network behind a pose stream, cut after its stages.

    Raises:
      UserError: the checkpoint is of no pose network, has no such stages or not the maps wanted, or
        has batch norm.
    """
    path, stages = pose["network"], pose.get("stages", 0)
    _, variables, config = load_checkpoint(path)
    if "skeleton" not in config:
        raise UserError(f"config.streams.pose.network={path} holds no pose network")
    config = {key: config[key] for key in ("model", "skeleton", "normalisation")}
    options = config["model"]["options"]
    if variables.get("batch_stats"):
        raise UserError(
            f"config.streams.pose.network={path} has batch norm, which the pose stream does not "
            "take; train it with config.model.batch_norm=False"
        )
    if options.get("heatmap_stages", 1) == 0 and pose["maps"] in ("heatmaps", "both"):
        raise UserError(
            f"config.streams.pose.maps={pose['maps']!r}: {path} has no heatmaps; choose field"
        )
    if stages:
        full = options.get("stages", 6)
        if config["model"]["name"] != "openpose_coco" or not 1 <= stages <= full:
            raise UserError(
                f"config.streams.pose.stages={stages}: {path} is {config['model']['name']} with "
                f"{full} stages; only openpose_coco can be cut, after 1 to all of its stages"
            )
        kept = re.compile(rf"feature|.*_stage({'|'.join(map(str, range(1, stages + 1)))})")
        params = {name: x for name, x in variables["params"].items() if kept.fullmatch(name)}
        variables = variables | {"params": params}
        config["model"] = config["model"] | {"options": options | {"stages": stages}}
    return variables, config


def choose_groups(config: ConfigDict, classifier: Classifier) -> dict[str, dict[str, Any]]:
    """The config's parameter groups, with what the streams' flags freeze."""
    groups = config.optimizer.groups.to_dict()
    for stream in config.streams:
        if stream in groups:
            groups[stream]["train"] = _trains(config, stream)
    if OPENPOSE in groups:
        groups[OPENPOSE]["train"] &= config.streams.pose.train_network
        if not classifier.openpose:
            del groups[OPENPOSE]
    return groups


def _trains(config, stream):
    """Whether neither the stream's flag nor its group's freezes it."""
    group = config.optimizer.groups.get(stream)
    return config.streams[stream].train and (group is None or group.train)


def start_stream(
    path: str, variables: dict[str, Any], stream: str, allow_missing: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights of an I3D, or of another classifier's stream, put into a stream's fresh variables.

    Args:
      path: as for `load_checkpoint`.
      variables: of a `StreamClassifier`.
      stream: "rgb", "flow" or "pose".
      allow_missing: regex of the stream's parameters that may stay fresh; "" for none.

    Returns:
      (the variables with that stream's replaced, the normalisation that these weights want).

    Raises:
      UserError: they do not fit.
    """
    loaded, config = load_model(path)
    key, name = f"stream_{stream}", config["model"]["name"]
    if name == "streams" and key in loaded["params"]:
        loaded = {kind: tree[key] for kind, tree in loaded.items()}
    elif name != "i3d":
        raise UserError(f"{path} holds {name} without a stream {stream}; name an I3D checkpoint")
    fresh = {kind: tree[key] for kind, tree in variables.items()}
    merged, kept = merge_variables(fresh, loaded, path, allow_missing)
    console.print(f"stream {stream} from {path}; from scratch: {', '.join(kept) or 'none'}")
    variables = {kind: tree | {key: merged[kind]} for kind, tree in variables.items()}
    return variables, config["normalisation"]


def describe(classifier: Classifier, class_names: Sequence[str]) -> dict[str, Any]:
    """The checkpoint config of a classifier."""
    description = registry.describe(classifier.model, class_names, classifier.normalisation)
    return description | {"inputs": classifier.inputs}


def load(path: str | os.PathLike) -> tuple[Classifier, dict[str, Any], dict[str, Any]]:
    """(classifier, variables, checkpoint config) of a classifier's checkpoint.

    An I3D from convert_weights.py is used as it was published; its channels tell RGB from flow.
    """
    model, variables, config = load_checkpoint(path)
    if "class_names" not in config:
        raise UserError(f"{path} holds {config['model']['name']}, which is no classifier")
    return assemble(model, config), variables, config


def assemble(model: nn.Module, config: Mapping[str, Any]) -> Classifier:
    """The classifier of a module and its checkpoint config."""
    normalisation, inputs = config["normalisation"], config.get("inputs")
    if inputs is None:
        is_flow = len(normalisation["mean"]) == 2
        inputs = {"streams": ["flow" if is_flow else "rgb"], "clip": PUBLISHED_CLIP}
        inputs |= {"flow": PUBLISHED_FLOW if is_flow else None, "pose": None, "openpose": None}
        inputs |= {"views": PUBLISHED_VIEWS}
        normalisation = SYMMETRIC
    inputs = _upgrade(inputs)
    skeleton = openpose = None
    if other := inputs["openpose"]:
        skeleton = Skeleton.from_dict(other["skeleton"])
        options = other["model"]["options"] | {"skeleton": skeleton}
        openpose = create_model(other["model"]["name"], **options)
    elif eaten := inputs["pose"] or inputs.get("people"):
        skeleton = skeletons.load(eaten["skeleton"])
    return Classifier(model, inputs, normalisation, skeleton, openpose)


def _upgrade(inputs):
    """The `inputs` of a checkpoint before version 0.2, which held views and augmentation in "clip"
    and called the OpenPose network "network", as they are now."""
    if "views" in inputs:
        return inputs
    clip = inputs["clip"]
    return {
        **{key: inputs[key] for key in ("streams", "flow", "pose")},
        "clip": {key: clip[key] for key in PUBLISHED_CLIP},
        "views": {key: clip[f"eval_{key}"] for key in PUBLISHED_VIEWS},
        "openpose": inputs["network"],
    }
