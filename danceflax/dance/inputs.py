"""What a classifier eats: from the records of clips to its streams, on the host and the device.

It is a plain dict, `inputs` of the checkpoint's config:

    streams   list of "rgb", "flow", "pose"; or "people" alone: keypoint sequences
    clip      `config.clip`: length, frame rate, size
    views     clips, crops, crop and flip of `config.eval`: what is averaged over
    flow      `config.streams.flow`, or None
    pose      `config.streams.pose`, or None
    people    `config.streams.people`, or None
    openpose  the checkpoint config of the OpenPose network behind the pose stream, or None; its
              parameters are the classifier's group "openpose"
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from danceflax import skeleton as skeletons
from danceflax.dance.augment import augment_clip, read_views
from danceflax.dance.sequences.augment import augment_people, read_windows
from danceflax.dance.sequences.body import make_body
from danceflax.dance.sequences.people import PeopleSource
from danceflax.data.sources import Fields
from danceflax.errors import UserError
from danceflax.models.normalisation import normalise
from danceflax.models.openpose import STRIDE
from danceflax.models.streams import STREAMS
from danceflax.pose.field import join_pafs
from danceflax.pose.targets import make_targets

PEOPLE = "people"  # the stream of keypoint sequences, which goes alone
OPENPOSE = "openpose"  # parameter group of the network behind the pose stream
POSE_SOURCES = ("keypoints", "network", "features")
POSE_MAPS = ("heatmaps", "both", "field")
VIEWS = ("clips", "crops", "crop", "flip")


class Classifier(NamedTuple):
    """A network and what it eats.

    Attributes:
      model: a flax module.
      inputs: the dict above.
      normalisation: {"mean", "std"} of RGB.
      skeleton: of the pose stream, or None.
      openpose: the OpenPose module behind the pose stream, or None.
    """

    model: Any
    inputs: dict
    normalisation: dict
    skeleton: Any = None
    openpose: Any = None


def reads_sequences(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a checkpoint config is of a classifier of keypoint sequences."""
    return PEOPLE in (checkpoint.get("inputs") or {}).get("streams", ())


def make_inputs(
    streams: Fields, clip: Fields, views: Fields, openpose: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The `inputs` dict of a training config's `streams`, `clip` and `eval`, and of the checkpoint
    config of its OpenPose network."""
    streams = {name: dict(streams[name]) for name in (*STREAMS, PEOPLE) if name in streams}
    if PEOPLE in streams and len(streams) > 1:
        raise UserError("config.streams.people goes alone; train each by itself, then --fuse them")
    views = {key: views[key] for key in VIEWS if key in views}
    inputs = {"streams": list(streams), "clip": dict(clip), "views": views}
    inputs |= {name: streams.get(name) for name in ("flow", "pose", PEOPLE)}
    pose = inputs["pose"]
    if pose:
        for key, known in (("source", POSE_SOURCES), ("maps", POSE_MAPS)):
            if pose[key] not in known:
                raise UserError(
                    f"config.streams.pose.{key}={pose[key]!r}; choose {' or '.join(known)}"
                )
        if (pose["source"] != "keypoints") != bool(openpose):
            raise UserError(
                f"config.streams.pose.source={pose['source']!r}: the sources network and features "
                "need an OpenPose checkpoint in config.streams.pose.network, keypoints none"
            )
    return inputs | {"openpose": openpose}


def check_pose_grid(inputs: Mapping[str, Any]) -> None:
    """Raises UserError: the crop is no whole number of the pose stream's cells."""
    pose, size = inputs["pose"], inputs["clip"]["size"]
    stride = pose and (pose["stride"] if pose["source"] == "keypoints" else STRIDE)
    if pose and size % stride:
        raise UserError(f"config.clip.size={size} is no multiple of the pose stride {stride}")


def needed(inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """Which of "rgb", "flow", "people" are read from disk."""
    pose = inputs["pose"]
    people = bool(pose) and pose["source"] == "keypoints"
    rgb = "rgb" in inputs["streams"] or (pose and not people)
    people = people or PEOPLE in inputs["streams"]
    names = [("rgb", rgb), ("flow", "flow" in inputs["streams"]), ("people", people)]
    return tuple(name for name, wanted in names if wanted)


def make_augment(classifier: Classifier, augment: Fields) -> Callable:
    """The transform (record, rng) -> item of training, by `config.augment`."""
    if PEOPLE in classifier.inputs["streams"]:
        return functools.partial(augment_people, augment=augment, **_reading_people(classifier))
    return functools.partial(augment_clip, augment=augment, **_reading(classifier))


def make_view(classifier: Classifier) -> Callable:
    """The transform record -> item of evaluation, with the classifier's views."""
    views = classifier.inputs["views"]
    if PEOPLE in classifier.inputs["streams"]:
        return functools.partial(read_windows, views=views, **_reading_people(classifier))
    return functools.partial(read_views, views=views, **_reading(classifier))


def open_people(source: Any, streams: Fields) -> Any:
    """A source of clips with their people, if `config.streams`, or the `inputs` of a checkpoint,
    have a stream of them."""
    people = streams.get(PEOPLE)
    return PeopleSource(source, skeletons.load(people["skeleton"])) if people else source


def _reading_people(classifier):
    inputs = classifier.inputs
    return dict(clip=inputs["clip"], people=inputs["people"], body=make_body(classifier.skeleton))


def _reading(classifier):
    inputs = classifier.inputs
    pose = inputs["pose"] and {
        "skeleton": classifier.skeleton,
        "max_people": inputs["pose"]["max_people"],
    }
    return dict(needs=needed(inputs), clip=inputs["clip"], flow=inputs["flow"], pose=pose)


def batch_shapes(classifier: Classifier) -> dict[str, jax.ShapeDtypeStruct]:
    """The arrays that one clip brings."""
    inputs, skeleton = classifier.inputs, classifier.skeleton
    frames, size = inputs["clip"]["frames"], inputs["clip"]["size"]
    every = inputs["flow"]["every"] if inputs["flow"] else 1
    pose = inputs["pose"] or inputs.get("people")
    people = (pose["max_people"], skeleton.num_joints) if pose else ()
    shapes = {
        "rgb": ((frames, size, size, 3), np.uint8),
        "flow": ((-(-frames // every), size, size, 2), np.uint8),
        "people": ((frames, *people, 3), np.float32),
    }
    return {
        name: jax.ShapeDtypeStruct((1, *shape), dtype)
        for name, (shape, dtype) in shapes.items()
        if name in needed(inputs)
    }


def make_prepare(classifier: Classifier, features: bool = False) -> Callable:
    """Builds prepare(params, batch) -> {stream: float32 [B, T, ...]}, on the device.

    With `features` the batch holds the streams' features, computed before, and nothing is left to
    do.
    """
    inputs = classifier.inputs
    if features:
        return lambda params, batch: {"features": batch["features"]}

    def prepare(params: Any, batch: Mapping[str, Array]) -> dict[str, Float[Array, "B T ..."]]:
        clips = {}
        if "rgb" in inputs["streams"]:
            clips["rgb"] = normalise(batch["rgb"], classifier.normalisation)
        if "flow" in inputs["streams"]:
            clips["flow"] = batch["flow"].astype(jnp.float32) / 127.5 - 1.0
        if "pose" in inputs["streams"]:
            clips["pose"] = _pose_clip(classifier, params, batch)
        if PEOPLE in inputs["streams"]:
            clips["people"] = batch["people"]
        return clips

    return prepare


def make_mirror(classifier: Classifier) -> Callable | None:
    """Builds mirror(what `make_prepare`'s function returns) -> the same mirrored; None where an
    answer is not the mean with that of the mirrored clip (`config.eval.flip`)."""
    if not classifier.inputs["views"].get("flip"):
        return None
    flip = jnp.asarray(make_body(classifier.skeleton).flip)

    def mirror(clips: Mapping[str, Array]) -> dict[str, Float[Array, "B T P J 3"]]:
        turned = clips[PEOPLE][..., flip, :]
        return {PEOPLE: turned * jnp.array([-1.0, 1.0, 1.0], turned.dtype)}

    return mirror


def _pose_clip(classifier, params, batch):
    """[B, T, h, w, C]: drawn from keypoints, or what the OpenPose network says of the frames.

    Drawn maps are the network's targets, so that both hold the same channels.
    """
    pose, skeleton = classifier.inputs["pose"], classifier.skeleton
    source = batch["people" if pose["source"] == "keypoints" else "rgb"]
    frames = source.reshape(-1, *source.shape[2:])
    cells = classifier.inputs["clip"]["size"] // pose["stride"]
    if pose["source"] == "keypoints":
        heatmaps, pafs = make_targets(
            frames, skeleton, (cells, cells), pose["stride"], pose["sigma"]
        )
    else:
        images = normalise(frames, classifier.inputs["openpose"]["normalisation"])
        maps = classifier.openpose.apply({"params": params[OPENPOSE]}, images)
        heatmaps, pafs = (maps.heatmaps or [None])[-1], maps.pafs[-1]
    if pose["source"] == "features":
        maps = maps.features.astype(jnp.float32)
    elif pose["maps"] == "field":
        maps = join_pafs(pafs)
    elif pose["maps"] == "both":
        maps = jnp.concatenate([heatmaps[..., :-1], pafs], -1)
    else:
        maps = heatmaps[..., :-1]
    if maps.shape[1] != cells:
        maps = jax.image.resize(maps, (maps.shape[0], cells, cells, maps.shape[-1]), "linear")
    return maps.reshape(*source.shape[:2], *maps.shape[1:])
