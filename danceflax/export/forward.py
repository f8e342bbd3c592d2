"""What leaves of a checkpoint: one function from pixels to the network's answer, weights inside."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.export
import numpy as np

from danceflax.dance.classifiers import assemble
from danceflax.dance.inputs import batch_shapes, make_prepare
from danceflax.dance.loss import make_apply
from danceflax.models.layers import portable
from danceflax.models.normalisation import on_images
from danceflax.models.openpose import STRIDE
from danceflax.pose.decode import fill_options

# What `plain_decoder` asks for.
DECODING = (
    "rule peak_threshold paf_threshold paf_ratio min_joints min_score max_people max_peaks samples"
).split()


class Forward(NamedTuple):
    """A network to be exported.

    Attributes:
      function: arrays in the order of `inputs` -> a tuple in the order of `outputs`.
      inputs: {name: (shape, dtype)}; a shape's texts, such as "8*h", may be any size.
      outputs: names.
      about: JSON-like: what a user of the file has to know.
    """

    function: Callable
    inputs: dict[str, tuple[tuple[int | str, ...], Any]]
    outputs: tuple[str, ...]
    about: dict[str, Any]

    def specs(self) -> list[jax.ShapeDtypeStruct]:
        """The inputs, with sizes as symbols."""
        scope = jax.export.SymbolicScope()
        return [
            jax.ShapeDtypeStruct(
                jax.export.symbolic_shape(",".join(map(str, shape)), scope=scope), dtype
            )
            for shape, dtype in self.inputs.values()
        ]

    def trace(self) -> jax.stages.Traced:
        """The function, traced in operations that every platform has."""
        with portable():
            return jax.jit(self.function).trace(*self.specs())

    def describe(self) -> str:
        """`about` as JSON."""
        return json.dumps(self.about)


def make_forward(model: nn.Module, variables: Any, config: Mapping[str, Any]) -> Forward:
    """The forward pass of a checkpoint; arguments are `load_checkpoint`'s.

    A pose network takes `image`, uint8 RGB, and gives `heatmaps` and `pafs`; a classifier takes its
    streams (`rgb` uint8, `flow` uint8, `people` float32), a clip each, and gives `probabilities`.
    """
    if hasattr(model, "dtype"):
        model = model.clone(dtype=np.dtype("float32"))
    about = {key: config[key] for key in ("model", "normalisation")}
    make = _classify if "class_names" in config else _find_maps
    function, inputs, outputs, more = make(model, variables, config)
    inputs = {name: tuple(spec) for name, spec in inputs.items()}
    about["inputs"] = {n: [str(np.dtype(dtype)), *shape] for n, (shape, dtype) in inputs.items()}
    return Forward(function, inputs, outputs, about | more)


def _find_maps(model, variables, config):
    apply = on_images(model, config["normalisation"])
    outputs = ("heatmaps", "pafs") if getattr(model, "heatmap_stages", 1) else ("pafs",)

    def function(image):
        maps = apply(variables, image)
        return tuple(getattr(maps, name)[-1] for name in outputs)

    image = (("b", f"{STRIDE}*h", f"{STRIDE}*w", 3), np.uint8)
    decode = fill_options(config.get("training", {}).get("decode", {}))
    decode = {key: decode[key] for key in DECODING}
    more = {"skeleton": config["skeleton"], "stride": STRIDE, "decode": decode}
    return function, {"image": image}, outputs, more


def _classify(model, variables, config):
    classifier = assemble(model, config)
    prepare, apply = make_prepare(classifier), make_apply(classifier.model)
    shapes = batch_shapes(classifier)

    def function(*clips):
        clips = prepare(variables["params"], dict(zip(shapes, clips, strict=True)))
        return (jax.nn.softmax(apply(variables, clips)[0]),)

    inputs = {name: (("b", *spec.shape[1:]), spec.dtype) for name, spec in shapes.items()}
    more = {"class_names": list(config["class_names"]), "clip": dict(classifier.inputs["clip"])}
    return function, inputs, ("probabilities",), more
