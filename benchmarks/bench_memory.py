"""The memory of a training step: what the forward pass keeps for the backward pass, and the peak.

    python benchmarks/bench_memory.py                      # two-stream I3D, rgb+flow, 64x224x224
    python benchmarks/bench_memory.py --network=openpose   # BODY-25, 368x368
    python benchmarks/bench_memory.py --kept_only          # without compiling: seconds

"kept" is counted from the shapes that JAX saves, as the step is written for a GPU or TPU, weights
left out. "peak" is what XLA plans for the compiled step on this device, weights and optimizer
states included. On a CPU neither rematerialisation nor bfloat16 alone lowers it.
"""

import argparse
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from configs import i3d, openpose_body25
from danceflax import skeleton as skeletons
from danceflax.cli.compilation import choose_convolutions
from danceflax.dance import classifiers
from danceflax.dance import loss as losses
from danceflax.dance.inputs import batch_shapes, make_prepare
from danceflax.models import layers
from danceflax.models.initialise import initialise
from danceflax.models.normalisation import on_images
from danceflax.models.openpose import STRIDE
from danceflax.models.registry import create_model
from danceflax.pose.loss import make_loss
from danceflax.training import devices, optimizers
from danceflax.training.step import create_state, make_train_step

VARIANTS = {
    "float32": {},
    "bfloat16": {"model.dtype": "bfloat16"},
    "remat": {"model.remat": True},
    "bfloat16, remat": {"model.dtype": "bfloat16", "model.remat": True},
    "accumulate": {"optimizer.accumulate": 4},
}
I3D_VARIANTS = VARIANTS | {
    "frozen batch norm": {"optimizer.freeze_batchnorm": True},
    "one stream frozen": {"streams.rgb.train": False, "streams.rgb.init_allow_missing": ".*"},
}


def classifier_parts(config):
    """(variables, groups, loss, batch of one clip) of a classifier's config."""
    classifier, variables = classifiers.create(config, [f"dance {k}" for k in range(16)])
    freeze = config.optimizer.freeze_batchnorm
    loss = losses.make_loss(
        make_prepare(classifier),
        losses.make_apply(classifier.model, freeze_batchnorm=freeze),
        16,
        label_smoothing=0.0,
        class_weights=None,
        mixup_alpha=0.0,
    )
    batch = batch_shapes(classifier) | {
        "label": jax.ShapeDtypeStruct((1,), np.int32),
        "weight": jax.ShapeDtypeStruct((1,), np.float32),
    }
    return variables, classifiers.choose_groups(config, classifier), loss, batch


def pose_parts(config):
    """(variables, groups, loss, batch of one image) of a pose config."""
    skeleton = skeletons.load(config.model.skeleton)
    model = create_model(**config.model)
    variables = initialise(model, jnp.zeros((1, STRIDE, STRIDE, 3)), 0)
    apply = on_images(model, config.normalisation.to_dict())
    loss = make_loss(apply, skeleton, stride=STRIDE, **config.targets)
    (height, width), joints = config.augment.size, skeleton.num_joints
    shapes = {
        "image": ((height, width, 3), np.uint8),
        "people": ((config.data.max_people, joints, 3), np.float32),
        "mask": ((height // STRIDE, width // STRIDE), np.uint8),
        "labelled": ((joints,), bool),
        "weight": ((), np.float32),
    }
    batch = {name: jax.ShapeDtypeStruct((1, *s), dtype) for name, (s, dtype) in shapes.items()}
    return variables, config.optimizer.groups, loss, batch


def kept_bytes(state, trained, loss, batch):
    """Bytes of what the backward pass of one batch needs, weights left out."""

    def forward(params, model_state, batch):
        def total(params):
            frozen = jax.lax.stop_gradient
            params = jax.tree.map(lambda x, train: x if train else frozen(x), params, trained)
            return loss(params, model_state, batch, jax.random.key(0))[0]

        return jax.vjp(total, params)[1]

    saved = jax.tree.leaves(jax.eval_shape(forward, state.params, state.model_state, batch))
    weights = {(x.shape, x.dtype) for x in jax.tree.leaves(state.params)}
    return sum(x.size * x.dtype.itemsize for x in saved if (x.shape, x.dtype) not in weights)


def measure(config, parts, batch_size, kept_only):
    """(kept bytes, peak bytes or None) of a step of `batch_size` samples on one device."""
    variables, groups, loss, batch = parts(config)
    labels = optimizers.label_parameters(variables["params"], groups)
    optimizer, _ = optimizers.make_optimizer({"groups": groups, "clip_norm": 0.0}, labels, 100)
    state = jax.eval_shape(lambda: create_state(variables, optimizer))
    trained = optimizers.trained_parameters(labels, groups)
    accumulate = config.optimizer.accumulate

    def grow(size):
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype), batch)

    with layers.portable():
        kept = kept_bytes(state, trained, loss, grow(batch_size // accumulate))
    if kept_only:
        return kept, None
    step = devices.map_step(make_train_step(loss, optimizer, trained, accumulate=accumulate))
    mapped = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), grow(batch_size))
    plan = step.lower(state, mapped).compile().memory_analysis()
    return kept, plan.temp_size_in_bytes + plan.argument_size_in_bytes


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=("i3d", "openpose"), default="i3d")
    parser.add_argument("--batch_size", type=int, default=8, help="samples, a multiple of 4")
    parser.add_argument("--kept_only", action="store_true")
    args = parser.parse_args()
    choose_convolutions()  # as every script does
    table = Table(title=f"{args.network}, {args.batch_size} samples a step, GB")
    for name in ("variant", "kept", "peak"):
        table.add_column(name, justify="left" if name == "variant" else "right")
    is_i3d = args.network == "i3d"
    variants, parts = (I3D_VARIANTS, classifier_parts) if is_i3d else (VARIANTS, pose_parts)
    for name, changes in track(variants.items(), "measuring", transient=True):
        config = i3d.get_config("rgb+flow") if is_i3d else openpose_body25.get_config()
        config.update_from_flattened_dict(changes)
        kept, peak = measure(config, parts, args.batch_size, args.kept_only)
        table.add_row(name, f"{kept / 1e9:.2f}", "" if peak is None else f"{peak / 1e9:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
