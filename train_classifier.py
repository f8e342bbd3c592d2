"""Trains a dance classifier on clips: I3D with one stream or several, C3D, or frame by frame.

python train_classifier.py --config=configs/i3d.py:rgb+flow --workdir=runs/b
python train_classifier.py --config=configs/i3d.py:rgb+flow --workdir=runs/b \
    --config.streams.rgb.init_from=weights/i3d_rgb --config.streams.rgb.train=False
python train_classifier.py --config=configs/i3d.py:flow+pose,demo --workdir=runs/demo

The same command goes on with a training that was stopped. WORKDIR gets checkpoints/, metrics.jsonl
and tensorboard/. Where no stream trains, their features are computed once, into WORKDIR/features.
"""

import functools

import jax
from absl import flags

from danceflax import cli
from danceflax.dance import classifiers, features
from danceflax.dance import loss as losses
from danceflax.dance.cache import cache_features, is_cacheable
from danceflax.dance.evaluate import choose_class_weights, measure
from danceflax.dance.inputs import make_prepare, make_transforms
from danceflax.data.clips import ClipSource, check_classes
from danceflax.data.loader import make_loader
from danceflax.data.sources import Subset
from danceflax.io.console import console
from danceflax.training import checkpoints, devices, optimizers
from danceflax.training.loop import fit
from danceflax.training.step import create_state, make_train_step

CONFIG = cli.define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "where checkpoints and reports go")
cli.require("config", "workdir")
SHOWN = ("top1", "mean_class_accuracy", "loss")  # on the screen; the first says which is best


def main(_):
    devices.join_processes()
    console.quiet = jax.process_index() > 0
    config, workdir = CONFIG.value, WORKDIR.value
    devices.check_batch_size(config.batch_size, config.optimizer.accumulate)
    devices.check_batch_size(config.eval.batch_size, where="config.eval.batch_size")
    data = config.data
    train_source = ClipSource(data.root, data.train_split, config.class_names, data.fps)
    class_names = train_source.class_names
    val_source = ClipSource(data.root, data.val_split, class_names, data.fps)
    check_classes(train_source, val_source)
    class_weights = choose_class_weights(
        config.loss.class_weights, train_source.labels, len(class_names)
    )

    # The network, its weights, and who trains them.
    classifier, variables = classifiers.create(config, class_names)
    groups = classifiers.choose_groups(config, classifier)
    labels = optimizers.label_parameters(variables["params"], groups)
    optimizer, schedules = optimizers.make_optimizer(
        {"groups": groups, "clip_norm": config.optimizer.clip_norm}, labels, config.steps
    )
    state = create_state(variables, optimizer, average=config.optimizer.average_decay > 0)
    optimizers.print_groups(variables["params"], labels, groups)

    description = classifiers.describe(classifier, class_names) | {"training": config.to_dict()}
    manager, state = checkpoints.resume(workdir, state, description)

    # What it reads: clips, or the features of streams that do not train.
    read = functools.partial(
        make_loader,
        threads=data.threads,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        max_bad_fraction=data.max_bad_fraction,
    )
    augment, view = make_transforms(classifier)
    prepare, cached = make_prepare(classifier), is_cacheable(config, classifier, groups)
    val_source = Subset(val_source, config.eval.limit)
    if cached:
        sources, folder = (train_source, val_source), f"{workdir}/features"
        train_source, val_source = cache_features(
            config, classifier, state.variables, sources, read, folder
        )
        augment, view = features.pick_version, features.all_versions
        prepare = lambda params, batch: {"features": batch["features"]}  # noqa: E731

    freeze = config.optimizer.freeze_batchnorm
    apply = losses.make_apply(classifier.model, features=cached, freeze_batchnorm=freeze)
    loss = losses.make_loss(
        prepare,
        apply,
        len(class_names),
        label_smoothing=config.loss.label_smoothing,
        class_weights=class_weights,
        mixup_alpha=config.loss.mixup,
    )
    train_step = devices.map_step(
        make_train_step(
            loss,
            optimizer,
            optimizers.trained_parameters(labels, groups),
            seed=config.seed,
            accumulate=config.optimizer.accumulate,
            average_decay=config.optimizer.average_decay,
            schedules=schedules,
        )
    )
    classify = devices.map_inference(losses.make_classify(prepare, apply))

    def evaluate(state):
        found, truth, _ = losses.classify_batches(
            classify,
            state.variables,
            read(val_source, view, config.eval.batch_size, training=False),
            devices.gather_from_processes,
        )
        return measure(found, truth), None

    batches = read(train_source, augment, config.batch_size, config.seed, int(state.step))
    fit(
        workdir,
        state,
        train_step,
        batches,
        config,
        evaluate=evaluate,
        shown=SHOWN,
        manager=manager,
        description=description,
        samples="clips",
    )


if __name__ == "__main__":
    cli.run(main, __doc__)
