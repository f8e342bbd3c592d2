"""Measures a trained model on a split: COCO AP and AR (pycocotools), PCK; or a dance classifier.

python evaluate.py --checkpoint=runs/a --split=val
python evaluate.py --checkpoint=runs/a --split=val --flip --scales=0.5,1,1.5,2
python evaluate.py --checkpoint=weights/openpose_coco --source=coco --root=data/coco --split=val2017
python evaluate.py --checkpoint=runs/b --split=val --clips=10 --crops=3              # a classifier
python evaluate.py --checkpoint=runs/rgb --split=val --fuse=runs/flow       # late fusion of two

Prints a table and writes it, with every setting, to OUTPUT (default: evaluation_<split>.json in the
checkpoint's directory). Of a classifier the confusion matrix goes beside it, as .csv and .png.
"""

import functools
import pathlib

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from configs import classifier_base, openpose_base
from danceflax import api, cli
from danceflax.dance import classifiers
from danceflax.dance import loss as losses
from danceflax.dance.evaluate import (
    confusion_matrix,
    measure,
    per_class,
    per_class_rows,
    write_confusion,
)
from danceflax.dance.inputs import make_prepare, make_transforms
from danceflax.data.clips import ClipSource
from danceflax.data.loader import make_loader
from danceflax.data.sources import Subset, open_source
from danceflax.errors import UserError
from danceflax.io.console import console, print_table
from danceflax.io.files import write_json
from danceflax.models.normalisation import on_images
from danceflax.models.openpose import STRIDE
from danceflax.pose import evaluate as validation
from danceflax.pose.augment import letterbox
from danceflax.pose.decode import make_decoder
from danceflax.pose.inference import make_estimator
from danceflax.pose.metrics import table_rows
from danceflax.pose.objective import make_loss
from danceflax.skeleton import Skeleton
from danceflax.training import devices

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a workdir, a step in it, or converted weights"
)
SPLIT = flags.DEFINE_string("split", "val", "the split to measure on")
OUTPUT = flags.DEFINE_string("output", None, "JSON file to write")
SOURCE = flags.DEFINE_enum(
    "source", None, ["folder", "tfds", "coco"], "kind of data set, if not trained on"
)
ROOT = flags.DEFINE_string("root", None, "folder of the data set, if not the one trained on")
SIZE = flags.DEFINE_list("size", None, "height,width that images are fitted into, multiples of 8")
FLIP = flags.DEFINE_bool("flip", False, "average with the mirrored image")
SCALES = flags.DEFINE_list("scales", ["1"], "average over these sizes")
RULE = flags.DEFINE_enum("rule", None, ["global", "tree"], "assembly of people")
REFINE = flags.DEFINE_enum("refine", None, ["grid", "upsample"], "how peaks are refined")
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "images a step, over all devices")
LIMIT = flags.DEFINE_integer("limit", 0, "at most so many images, evenly drawn; 0 means all")
DRAW = flags.DEFINE_integer("draw", 0, "draw so many of the images, labelled and found people")
CLIPS = flags.DEFINE_integer("clips", None, "classifiers: windows of a video to average over")
FUSE = flags.DEFINE_list(
    "fuse", [], "classifiers: other checkpoints, whose probabilities are averaged in (late fusion)"
)
CROPS = flags.DEFINE_integer("crops", None, "classifiers: crops to average over, 1 or 3")
cli.require("checkpoint")


def main(_):
    loaded = api.load_checkpoint(CHECKPOINT.value)
    output = OUTPUT.value or pathlib.Path(CHECKPOINT.value) / f"evaluation_{SPLIT.value}.json"
    evaluate = evaluate_classifier if "class_names" in loaded[2] else evaluate_pose
    write_json(output, evaluate(*loaded, pathlib.Path(output)))
    console.print(f"written to {output}")


def evaluate_classifier(model, variables, checkpoint, output):
    """Top-k, class means, the per-class table; {"metrics", "classes", "settings"}.

    With --fuse the probabilities of several classifiers are averaged: late fusion.
    """
    names = checkpoint["class_names"]
    probabilities, labels, settings = classify_split(model, variables, checkpoint)
    for path in FUSE.value:
        other = api.load_checkpoint(path)
        if other[2].get("class_names") != names:
            raise UserError(f"--fuse={path}: has other classes than {CHECKPOINT.value}")
        added, same, _ = classify_split(*other)
        if not np.array_equal(same, labels):
            raise UserError(f"--fuse={path}: cannot read the same clips as {CHECKPOINT.value}")
        probabilities = probabilities + added
    probabilities = probabilities / (1 + len(FUSE.value))
    metrics, confusion = measure(probabilities, labels), confusion_matrix(probabilities, labels)
    title = (
        f"{' + '.join([CHECKPOINT.value, *FUSE.value])} on {SPLIT.value} ({len(labels):,} clips)"
    )
    rows = [(name, f"{value:.4f}") for name, value in metrics.items() if name != "clips"]
    print_table(title, ("figure", "value"), rows)
    header = ("class", "clips", "precision", "recall", "F1", "most taken for")
    print_table("classes", header, per_class_rows(confusion, names))
    table, picture = write_confusion(output.with_name(f"confusion_{SPLIT.value}"), confusion, names)
    console.print(f"written to {table} and {picture}")
    classes = {key: value.tolist() for key, value in per_class(confusion).items()}
    settings |= dict(checkpoint=CHECKPOINT.value, fuse=FUSE.value, split=SPLIT.value)
    return {"metrics": metrics, "classes": {"names": names} | classes, "settings": settings}


def classify_split(model, variables, checkpoint):
    """(probabilities [N, C], labels [N], settings) of a classifier on the split."""
    classifier = classifiers.assemble(model, checkpoint)
    config = ConfigDict(checkpoint.get("training") or classifier_base.get_config())
    clip = dict(classifier.inputs["clip"])
    clip |= {"eval_clips": CLIPS.value} if CLIPS.value else {}
    clip |= {"eval_crops": CROPS.value} if CROPS.value else {}
    classifier = classifier._replace(inputs=classifier.inputs | {"clip": clip})
    batch_size = BATCH_SIZE.value or config.eval.batch_size
    devices.check_batch_size(batch_size, where="--batch_size")
    root = ROOT.value or config.data.root
    source = ClipSource(root, SPLIT.value, checkpoint["class_names"], config.data.fps)
    batches = make_loader(
        Subset(source, LIMIT.value),
        make_transforms(classifier)[1],
        batch_size,
        training=False,
        threads=config.data.threads,
        max_bad_fraction=config.data.max_bad_fraction,
    )
    classify = losses.make_classify(make_prepare(classifier), losses.make_apply(model))
    classify, variables = devices.map_inference(classify), devices.replicate(variables)
    probabilities, labels, _ = losses.classify_batches(classify, variables, batches)
    return probabilities, labels, dict(root=root, clip=clip, devices=jax.device_count())


def evaluate_pose(model, variables, checkpoint, output):
    """AP, AR and PCK; {"metrics", "settings"}."""
    skeleton = Skeleton.from_dict(checkpoint["skeleton"])
    config = ConfigDict(checkpoint.get("training") or openpose_base.get_config())
    for section, key, flag in (
        ("data", "source", SOURCE),
        ("data", "root", ROOT),
        ("eval", "batch_size", BATCH_SIZE),
        ("decode", "rule", RULE),
        ("decode", "refine", REFINE),
    ):
        if flag.value is not None:
            config[section][key] = flag.value
    size = cli.parse_size("size", SIZE.value) if SIZE.value else tuple(config.eval.size)
    scales = cli.parse_numbers("scales", SCALES.value)
    devices.check_batch_size(config.eval.batch_size, where="--batch_size")

    data = config.data
    source = Subset(open_source(data, SPLIT.value, skeleton), LIMIT.value)
    transform = functools.partial(letterbox, size=size, stride=STRIDE, max_people=data.max_people)
    batches = make_loader(
        source,
        transform,
        config.eval.batch_size,
        training=False,
        threads=data.threads,
        max_bad_fraction=data.max_bad_fraction,
    )

    apply = on_images(model, checkpoint["normalisation"])
    decode = make_decoder(skeleton, stride=STRIDE, **config.decode)
    estimate = make_estimator(
        apply, skeleton, decode, stride=STRIDE, flip=FLIP.value, scales=scales
    )
    loss = make_loss(apply, skeleton, stride=STRIDE, **config.targets)
    eval_step = devices.map_inference(validation.make_eval_step(estimate, loss))
    metrics, found = validation.evaluate_batches(
        eval_step, devices.replicate(variables), batches, skeleton, source.annotations
    )
    title = f"{CHECKPOINT.value} on {SPLIT.value} ({len(source):,} images)"
    print_table(title, ("figure", "value"), table_rows(metrics))
    if DRAW.value:
        picture = output.with_suffix(".png")
        shown = Subset(found, DRAW.value)
        validation.write_comparison(picture, source, shown, skeleton)
        console.print(f"{len(shown)} of the images, people labelled and found: {picture}")
    settings = dict(
        checkpoint=CHECKPOINT.value,
        split=SPLIT.value,
        images=len(source),
        size=size,
        flip=FLIP.value,
        scales=scales,
        decode=config.decode.to_dict(),
        data={key: data[key] for key in ("source", "root")},
        devices=jax.device_count(),
    )
    return {"metrics": metrics, "settings": settings}


if __name__ == "__main__":
    cli.run(main, __doc__)
