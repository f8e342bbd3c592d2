"""Makes classifiers: from a training config, or from a checkpoint."""

import jax

from danceflax import api
from danceflax import skeleton as skeletons
from danceflax.dance.inputs import (
    NETWORK,
    Classifier,
    batch_shapes,
    check_pose_grid,
    make_inputs,
    make_prepare,
)
from danceflax.errors import UserError
from danceflax.models.initialise import initialise
from danceflax.models.normalisation import SYMMETRIC
from danceflax.models.streams import STREAMS, StreamClassifier

# How Kinetics I3D was trained and tested: 25 frames a second, the middle 224 of a short side 256.
PUBLISHED_CLIP = dict(
    frames=64, fps=25.0, stride=1, sampling="contiguous", size=224, crop=(0.875, 0.875), flip=0.0,
    colour=(0.0, 0.0, 0.0), eval_clips=4, eval_crops=1, eval_crop=0.875,
)  # fmt: skip
PUBLISHED_FLOW = dict(source="dis", bound=20.0, every=1)


def create(config, class_names):
    """A `Classifier` and its start variables, by a training config (configs/classifier_base.py).

    Raises:
      UserError: options do not fit together, or a checkpoint to start from does not fit.
    """
    pose, name = config.streams.get("pose"), config.model.name
    network_config = network_variables = None
    if pose and pose.network:
        _, network_variables, network_config = api.load_checkpoint(pose.network)
        if "skeleton" not in network_config:
            raise UserError(f"config.streams.pose.network={pose.network} holds no pose network")
        keys = ("model", "skeleton", "normalisation")
        network_config = {key: network_config[key] for key in keys}
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
    inputs = make_inputs(config.streams, config.clip, network_config)
    normalisation = config.normalisation.to_dict()
    model = api.create_model(**options)
    classifier = assemble(model, {"normalisation": normalisation, "inputs": inputs})
    check_pose_grid(inputs)

    shapes = jax.eval_shape(
        make_prepare(classifier),
        {NETWORK: network_variables and network_variables["params"]},
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
            variables = api.start_stream(path, variables, stream, missing)
    if network_variables:
        variables["params"][NETWORK] = network_variables["params"]
    if config.init_from:
        variables, _ = api.start_from(config.init_from, variables, None, config.init_allow_missing)
    return classifier, variables


def choose_groups(config, classifier):
    """The config's parameter groups, with what the streams' flags freeze."""
    groups = config.optimizer.groups.to_dict()
    for stream in config.streams:
        if stream in groups:
            groups[stream]["train"] = _trains(config, stream)
    if NETWORK in groups:
        groups[NETWORK]["train"] &= config.streams.pose.train_network
        if not classifier.network:
            del groups[NETWORK]
    return groups


def _trains(config, stream):
    """Whether neither the stream's flag nor its group's freezes it."""
    group = config.optimizer.groups.get(stream)
    return config.streams[stream].train and (group is None or group.train)


def describe(classifier, class_names):
    """The checkpoint config of a classifier."""
    description = api.describe(classifier.model, class_names, classifier.normalisation)
    return description | {"inputs": classifier.inputs}


def load(path):
    """(`Classifier`, variables, checkpoint config) of a classifier's checkpoint.

    An I3D from convert_weights.py is used as it was published; its channels tell RGB from flow.
    """
    model, variables, config = api.load_checkpoint(path)
    if "class_names" not in config:
        raise UserError(f"{path} holds {config['model']['name']}, which is no classifier")
    return assemble(model, config), variables, config


def assemble(model, config):
    """The `Classifier` of a module and its checkpoint config."""
    normalisation, inputs = config["normalisation"], config.get("inputs")
    if inputs is None:
        is_flow = len(normalisation["mean"]) == 2
        inputs = {"streams": ["flow" if is_flow else "rgb"], "clip": PUBLISHED_CLIP}
        inputs |= {"flow": PUBLISHED_FLOW if is_flow else None, "pose": None, "network": None}
        normalisation = SYMMETRIC
    skeleton = network = None
    if other := inputs["network"]:
        skeleton = skeletons.Skeleton.from_dict(other["skeleton"])
        options = other["model"]["options"] | {"skeleton": skeleton}
        network = api.create_model(other["model"]["name"], **options)
    elif inputs["pose"]:
        skeleton = skeletons.load(inputs["pose"]["skeleton"])
    return Classifier(model, inputs, normalisation, skeleton, network)
