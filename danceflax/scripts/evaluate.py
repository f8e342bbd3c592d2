"""Measures a trained model on a split: COCO AP and AR (pycocotools), PCK; or a dance classifier.

python evaluate.py --checkpoint=runs/a --split=val
python evaluate.py --checkpoint=runs/a --split=val --flip --scales=0.5,1,1.5,2
python evaluate.py --checkpoint=runs/a --split=val --rotations=0,90,180,270   # upside down as well
python evaluate.py --checkpoint=checkpoints/coco --source=coco --root=data/coco --split=val2017
python evaluate.py --checkpoint=runs/b --split=val --clips=10 --crops=3              # a classifier
python evaluate.py --checkpoint=runs/rgb --split=val --fuse=runs/flow       # late fusion of two
python evaluate.py --checkpoint=runs/a --split=val --report=a.html                    # as a page
python evaluate.py --checkpoint=runs/a --split=val --report=ab.html --compare=runs/b

Prints a table and writes it, with every setting, to OUTPUT (default: evaluation_<split>.json in the
checkpoint's directory). Of a classifier the confusion matrix goes beside it, as .csv and .png. What
is there already is replaced only with --overwrite.
"""

import pathlib

from absl import flags

from danceflax import cli
from danceflax.errors import UserError
from danceflax.io.console import console, print_table
from danceflax.io.files import require_free, write_json

FLAGS = flags.FLAGS
flags.DEFINE_string("checkpoint", None, "a workdir, a step in it, or converted weights")
flags.DEFINE_string("split", "val", "the split to measure on")
flags.DEFINE_string("output", None, "JSON file to write")
flags.DEFINE_bool("overwrite", False, "replace what an earlier run wrote")
flags.DEFINE_string("source", None, "kind of data set (config.data.source), if not trained on")
flags.DEFINE_string("root", None, "folder of the data set, if not the one trained on")
flags.DEFINE_integer("batch_size", None, "samples a step, over all devices", lower_bound=1)
flags.DEFINE_integer("limit", 0, "at most so many, evenly drawn; 0 means all", lower_bound=0)
flags.DEFINE_string("report", None, "HTML file: figures, curves, errors, pictures, a model card")
flags.DEFINE_string("compare", None, "another run, measured likewise, beside this one in --report")
POSE = cli.group_flags(
    "pose networks",
    flags.DEFINE_string("set", None, "of several sets trained on, the one to measure on"),
    flags.DEFINE_list("size", None, "height,width images are fitted into, multiples of 8"),
    flags.DEFINE_bool("flip", False, "average with the mirrored image"),
    flags.DEFINE_list("scales", ["1"], "average over these sizes"),
    flags.DEFINE_list("rotations", ["0"], "look at the image turned so as well, e.g. 0,90,180,270"),
    flags.DEFINE_enum("rule", None, ["global", "tree"], "assembly of people"),
    flags.DEFINE_enum("refine", None, ["grid", "upsample"], "how peaks are refined"),
    flags.DEFINE_integer("draw", 0, "draw so many of the images, labelled and found people"),
)
DANCE = cli.group_flags(
    "classifiers",
    flags.DEFINE_integer("clips", None, "windows of a video to average over", lower_bound=1),
    flags.DEFINE_integer("crops", None, "crops to average over, 1 or 3"),
    flags.DEFINE_list("fuse", [], "other checkpoints, whose probabilities are averaged in"),
)
cli.require("checkpoint")


def main(_):
    from danceflax.training.pretrained import load_checkpoint  # with it JAX

    loaded = load_checkpoint(FLAGS.checkpoint)
    if FLAGS.set and not FLAGS["split"].present:
        FLAGS.split = find_set(loaded[2])["val_split"]
    name = pathlib.Path(FLAGS.split).stem  # of a split, or of a split file
    output = pathlib.Path(FLAGS.output or f"{FLAGS.checkpoint}/evaluation_{name}.json")
    is_classifier = "class_names" in loaded[2]
    cli.refuse_flags(POSE if is_classifier else DANCE, FLAGS.checkpoint)
    written = [output]
    if is_classifier:
        written += [output.with_name(f"confusion_{name}{end}") for end in (".csv", ".png")]
    elif FLAGS.draw:
        written.append(output.with_suffix(".png"))
    check_report(is_classifier)
    if FLAGS.report:
        written.append(pathlib.Path(FLAGS.report))
    require_free(written, FLAGS.overwrite)
    evaluate = evaluate_classifier if is_classifier else evaluate_pose
    figures = evaluate(*loaded, output)
    write_json(output, figures)
    console.print(f"written to {output}")


def check_report(is_classifier):
    """Raises UserError: no report can be made as --report and --compare say."""
    from danceflax.training.pretrained import load_checkpoint

    if FLAGS.compare and not FLAGS.report:
        raise UserError(f"--compare={FLAGS.compare}: goes with --report=FILE.html")
    if not FLAGS.report:
        return
    if pathlib.Path(FLAGS.report).suffix not in (".html", ".htm"):
        raise UserError(f"--report={FLAGS.report}: is written as HTML; name it FILE.html")
    try:
        import bokeh  # noqa: F401
    except ImportError:
        raise UserError('--report needs bokeh; run `pip install "danceflax[report]"`') from None
    if FLAGS.compare and ("class_names" in load_checkpoint(FLAGS.compare)[2]) != is_classifier:
        raise UserError(f"--compare={FLAGS.compare}: is not of the kind of {FLAGS.checkpoint}")


def find_set(checkpoint):
    """The fields of config.data in which the set that --set names differs."""
    data = checkpoint.get("training", {}).get("data", {})
    if FLAGS.set not in (sets := data.get("sets", {})):
        known = f"the sets {', '.join(sets)}" if sets else "one set; leave it out"
        raise UserError(f"--set={FLAGS.set}: {FLAGS.checkpoint} was trained on {known}")
    own = {key: data[key] for key in ("val_split",) if key in data} | sets[FLAGS.set]
    return {key: value for key, value in own.items() if key != "weight"}


def find_config(checkpoint, base, beside=None):
    """The config that a checkpoint was trained with, with this script's flags. A converted one
    has the base's, but for the data and the evaluation of the run it is measured `beside`."""
    config = base.get_config()
    if beside is not None:
        config.update(data=beside.data, eval=beside.eval)
    own = {f"data.{key}": x for key, x in find_set(checkpoint).items()} if FLAGS.set else {}
    given = {"data.source": FLAGS.source, "data.root": FLAGS.root}
    given |= {"eval.batch_size": FLAGS.batch_size}
    given = own | {key: value for key, value in given.items() if value is not None}
    with config.unlocked():
        config.update(checkpoint.get("training", {}))  # which may lack fields that are newer
        config.update_from_flattened_dict(given)
    return config


def evaluate_classifier(model, variables, checkpoint, output):
    """Top-k, class means, the per-class table; {"metrics", "classes", "settings"}.

    With --fuse the probabilities of several classifiers are averaged: late fusion.
    """
    import jax
    import numpy as np

    from danceflax.configs import classifier_base
    from danceflax.dance import evaluate as dance
    from danceflax.training.pretrained import load_checkpoint

    views = {key: FLAGS[key].value for key in ("clips", "crops") if FLAGS[key].value}

    def classify(model, variables, checkpoint):
        config = find_config(checkpoint, classifier_base)
        return config, *dance.evaluate_split(
            model, variables, checkpoint, config, FLAGS.split, FLAGS.limit, **views
        )

    names = checkpoint["class_names"]
    config, metrics, answers, source = classify(model, variables, checkpoint)
    probabilities, labels = answers.probabilities, answers.labels
    for path in FLAGS.fuse:
        other = load_checkpoint(path)
        if other[2].get("class_names") != names:
            raise UserError(f"--fuse={path}: has other classes than {FLAGS.checkpoint}")
        _, _, added, _ = classify(*other)
        if not np.array_equal(added.labels, labels):
            raise UserError(f"--fuse={path}: cannot read the same clips as {FLAGS.checkpoint}")
        probabilities = probabilities + added.probabilities
    if FLAGS.fuse:
        probabilities = probabilities / (1 + len(FLAGS.fuse))
        metrics = dance.measure(probabilities, labels)
    confusion = dance.confusion_matrix(probabilities, labels)
    together = " + ".join([FLAGS.checkpoint, *FLAGS.fuse])
    rows = [(name, f"{value:.4f}") for name, value in metrics.items() if name != "clips"]
    print_table(f"{together} on {FLAGS.split} ({len(labels):,} clips)", ("figure", "value"), rows)
    header = ("class", "clips", "precision", "recall", "F1", "most taken for")
    print_table("classes", header, dance.per_class_rows(confusion, names))
    stem = output.with_name(f"confusion_{pathlib.Path(FLAGS.split).stem}")
    table, picture = dance.write_confusion(stem, confusion, names)
    console.print(f"written to {table} and {picture}")
    classes = {key: value.tolist() for key, value in dance.per_class(confusion).items()}
    settings = dict(
        checkpoint=FLAGS.checkpoint,
        fuse=FLAGS.fuse,
        split=FLAGS.split,
        source=str(source),
        views=views,
        devices=jax.device_count(),
    )
    if FLAGS.report:
        from danceflax.report.dance import Run, write_report

        result = metrics, answers._replace(probabilities=probabilities)
        runs = [Run(together, FLAGS.checkpoint, (model, variables, checkpoint), config, result)]
        if FLAGS.compare:
            other = load_checkpoint(FLAGS.compare)
            config, metrics_there, found, _ = classify(*other)
            runs.append(Run(FLAGS.compare, FLAGS.compare, other, config, (metrics_there, found)))
        write_report(FLAGS.report, runs, source, settings)
    return {"metrics": metrics, "classes": {"names": names} | classes, "settings": settings}


def evaluate_pose(model, variables, checkpoint, output):
    """AP, AR and PCK; {"metrics", "settings"}."""
    import jax

    from danceflax.configs import openpose_base
    from danceflax.data.sources import Subset
    from danceflax.pose.decode import fill_options
    from danceflax.pose.evaluate import evaluate_split
    from danceflax.pose.metrics import table_rows
    from danceflax.pose.panels import write_comparison
    from danceflax.skeleton import Skeleton

    def measure(model, variables, checkpoint, beside=None):
        config = find_config(checkpoint, openpose_base, beside)
        config.eval.flip = FLAGS.flip
        config.eval.scales = cli.parse_numbers("scales", FLAGS.scales)
        config.eval.rotations = cli.parse_numbers("rotations", FLAGS.rotations)
        if FLAGS.size:
            config.eval.size = cli.parse_size("size", FLAGS.size)
        for key in ("rule", "refine"):
            config.decode[key] = FLAGS[key].value or config.decode[key]
        return config, *evaluate_split(
            model, variables, checkpoint, config, FLAGS.split, FLAGS.limit
        )

    config, found, source = measure(model, variables, checkpoint)
    metrics = found.metrics
    title = f"{FLAGS.checkpoint} on {FLAGS.split} ({len(source):,} images)"
    print_table(title, ("figure", "value"), table_rows(metrics))
    if FLAGS.draw:
        picture, shown = output.with_suffix(".png"), Subset(found.images, FLAGS.draw)
        skeleton = Skeleton.from_dict(checkpoint["skeleton"])
        write_comparison(picture, source, shown, skeleton)
        console.print(f"{len(shown)} of the images, people labelled and found: {picture}")
    settings = dict(
        checkpoint=FLAGS.checkpoint,
        split=FLAGS.split,
        images=len(source),
        size=config.eval.size,
        flip=config.eval.flip,
        scales=config.eval.scales,
        rotations=config.eval.rotations,
        decode=fill_options(config.decode),
        data={key: config.data[key] for key in ("source", "root")},
        devices=jax.device_count(),
    )
    if FLAGS.report:
        from danceflax.report.pose import Run, write_report
        from danceflax.training.pretrained import load_checkpoint

        runs = [
            Run(FLAGS.checkpoint, FLAGS.checkpoint, (model, variables, checkpoint), config, found)
        ]
        if FLAGS.compare:
            other = load_checkpoint(FLAGS.compare)
            runs.append(Run(FLAGS.compare, FLAGS.compare, other, *measure(*other, config)[:2]))
        write_report(FLAGS.report, runs, source, settings)
    return {"metrics": metrics, "settings": settings}


def run() -> None:
    """Does what the process's arguments say."""
    cli.run(main, __doc__)
