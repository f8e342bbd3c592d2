"""Measures a trained model on a split: COCO AP and AR (pycocotools), PCK.

python evaluate.py --checkpoint=runs/a --split=val
python evaluate.py --checkpoint=runs/a --split=val --flip --scales=0.5,1,1.5,2
python evaluate.py --checkpoint=weights/openpose_coco --source=coco --root=data/coco --split=val2017

Prints a table and writes it, with every setting, to OUTPUT (default: evaluation_<split>.json in the
checkpoint's directory).
"""

import functools
import pathlib

import jax
from absl import flags
from ml_collections import ConfigDict

from configs import openpose_base
from danceflax import api, cli
from danceflax.data.loader import make_loader
from danceflax.data.sources import Subset, open_source
from danceflax.models.openpose import STRIDE
from danceflax.normalisation import normalise
from danceflax.pose import validation
from danceflax.pose.augment import letterbox
from danceflax.pose.decode import make_decoder
from danceflax.pose.evaluation import table_rows
from danceflax.pose.inference import make_estimator
from danceflax.pose.objective import make_loss
from danceflax.skeleton import Skeleton
from danceflax.training import parallel
from danceflax.training.report import console, print_table, write_json

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a workdir, a step in it, or converted weights"
)
SPLIT = flags.DEFINE_string("split", "val", "the split to measure on")
OUTPUT = flags.DEFINE_string("output", None, "JSON file to write")
SOURCE = flags.DEFINE_enum(
    "source", None, ["folder", "coco"], "kind of data set, if not trained on"
)
ROOT = flags.DEFINE_string("root", None, "folder of the data set, if not the one trained on")
SIZE = flags.DEFINE_list("size", None, "height,width that images are fitted into, multiples of 8")
FLIP = flags.DEFINE_bool("flip", False, "average with the mirrored image")
SCALES = flags.DEFINE_list("scales", ["1"], "average over these sizes")
RULE = flags.DEFINE_enum("rule", None, ["global", "tree"], "assembly of people")
REFINE = flags.DEFINE_enum("refine", None, ["grid", "upsample"], "how peaks are refined")
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "images a step, over all devices")
LIMIT = flags.DEFINE_integer("limit", 0, "at most so many images, evenly drawn; 0 means all")
cli.require("checkpoint")


def main(_):
    model, variables, checkpoint = api.load_checkpoint(CHECKPOINT.value)
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
    parallel.check_batch_size(config.eval.batch_size, where="eval.batch_size")

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

    def apply(variables, images):
        return model.apply(variables, normalise(images, checkpoint["normalisation"]))

    decode = make_decoder(skeleton, stride=STRIDE, **config.decode)
    estimate = make_estimator(
        apply, skeleton, decode, stride=STRIDE, flip=FLIP.value, scales=scales
    )
    loss = make_loss(apply, skeleton, stride=STRIDE, **config.targets)
    eval_step = parallel.map_inference(validation.make_eval_step(estimate, loss))
    metrics, _ = validation.evaluate_batches(
        eval_step, parallel.replicate(variables), batches, skeleton, source.annotations
    )
    title = f"{CHECKPOINT.value} on {SPLIT.value} ({len(source):,} images)"
    print_table(title, ("figure", "value"), table_rows(metrics))
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
    output = OUTPUT.value or pathlib.Path(CHECKPOINT.value) / f"evaluation_{SPLIT.value}.json"
    write_json(output, {"metrics": metrics, "settings": settings})
    console.print(f"written to {output}")


if __name__ == "__main__":
    cli.run(main, __doc__)
