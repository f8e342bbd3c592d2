"""The training of a dance classifier, as `training/train.py` takes it."""

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from danceflax.dance import classifiers
from danceflax.dance.evaluate import evaluate_batches, make_classify
from danceflax.dance.features import all_versions, cache_features, is_cacheable, pick_version
from danceflax.dance.inputs import (
    make_augment,
    make_mirror,
    make_prepare,
    make_view,
    open_people,
)
from danceflax.dance.loss import choose_class_weights, make_apply, make_loss
from danceflax.data.sources import Subset, open_training_clips
from danceflax.errors import UserError
from danceflax.training import devices
from danceflax.training.task import Read, Task, Work

SHOWN = ("top1", "mean_class_accuracy", "loss")


def make_task(config: ConfigDict, sources: Sequence[Any] = ()) -> Task:
    """The `Task` of a classifier's config (configs/classifier_base.py).

    Where no stream trains, their features are computed once, and the head alone is trained on them.

    Args:
      config: of the training.
      sources: the clips to train on and those to validate on, of `open_people`, if they are open.

    Raises:
      UserError: something that the config names is missing or does not fit.
    """
    if "clip" not in config:
        raise UserError("this is a pose network's config; train it by train_openpose.py")
    if not sources:
        opened = open_training_clips(config.data, config.class_names)
        sources = [open_people(source, config.streams) for source in opened]
    train_source, val_source = sources
    class_names = train_source.class_names
    class_weights = choose_class_weights(
        config.loss.class_weights, train_source.labels, len(class_names)
    )
    val_source = Subset(val_source, config.eval.limit)
    classifier, variables = classifiers.create(config, class_names)
    groups = classifiers.choose_groups(config, classifier)

    def begin(variables: Any, read: Read, workdir: str) -> Work:
        if is_cacheable(config, classifier, groups):
            sources = cache_features(
                config, classifier, variables, (train_source, val_source), read, workdir
            )
            return work_on(*sources, pick_version, all_versions, read, features=True)
        augment = make_augment(classifier, config.augment)
        return work_on(train_source, val_source, augment, make_view(classifier), read)

    def work_on(train_source, val_source, transform, view, read, features=False):
        prepare = make_prepare(classifier, features)
        apply = make_apply(classifier.model, features, config.optimizer.freeze_batchnorm)
        loss = make_loss(
            prepare,
            apply,
            len(class_names),
            label_smoothing=config.loss.label_smoothing,
            class_weights=class_weights,
            mixup_alpha=config.loss.mixup,
        )
        mirror = make_mirror(classifier)
        classify = devices.map_inference(make_classify(prepare, apply, mirror))

        def evaluate(variables: Any) -> tuple[dict[str, float], None]:
            batches = read(val_source, view, config.eval.batch_size, training=False)
            metrics, _ = evaluate_batches(
                classify, variables, batches, devices.gather_from_processes
            )
            return metrics, None

        return Work(train_source, transform, loss, evaluate)

    description = classifiers.describe(classifier, class_names)
    return Task("clips", SHOWN, variables, groups, description, begin)
