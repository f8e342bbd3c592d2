"""The public way to a model: by name, or from a checkpoint that knows what it is."""

import dataclasses
import difflib

import jax.numpy as jnp

from danceflax import skeleton as skeletons
from danceflax.errors import UserError
from danceflax.models import openpose

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
