"""The training of a pose network, as `training/train.py` takes it."""

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from danceflax import skeleton as skeletons
from danceflax.data.sources import Subset, most_people, open_sets
from danceflax.errors import UserError
from danceflax.models.initialise import initialise
from danceflax.models.normalisation import on_images
from danceflax.models.openpose import STRIDE
from danceflax.models.registry import create_model, describe
from danceflax.pose.augment import augment, letterbox
from danceflax.pose.evaluate import (
    evaluate_batches,
    evaluate_loss,
    make_evaluation,
    make_loss_step,
)
from danceflax.pose.loss import make_loss
from danceflax.pose.panels import make_panel
from danceflax.training import devices
from danceflax.training.optimizers import label_parameters, trained_parameters
from danceflax.training.pretrained import refuse_random, start_from
from danceflax.training.task import Read, Task, Work

SHOWN = ("AP", "AP50", "PCK", "loss")


def make_task(config: ConfigDict) -> Task:
    """The `Task` of a pose config (configs/openpose_base.py).

    Raises:
      UserError: something that the config names is missing or does not fit.
    """
    if "clip" in config:
        raise UserError("this is a classifier's config; train it by train_classifier.py")
    data, skeleton = config.data, skeletons.load(config.model.skeleton)
    train_source, validation = open_sets(data, skeleton)
    validation = {name: Subset(source, config.eval.limit) for name, source in validation.items()}
    model = create_model(**config.model)
    variables = initialise(model, jnp.zeros((1, STRIDE, STRIDE, 3)), config.seed)
    normalisation = config.normalisation.to_dict()
    if config.init_from:
        variables, normalisation = start_from(
            config.init_from, variables, skeleton, config.init_allow_missing
        )
    groups = config.optimizer.groups.to_dict()
    finds_people = getattr(model, "heatmap_stages", 1) > 0
    if not finds_people:
        groups.pop("heatmap", None)
    for name, group in groups.items():
        if not group["train"]:
            field = f"config.optimizer.groups.{name}.train"
            refuse_random(field, bool(config.init_from), config.init_allow_missing)
    apply = on_images(model, normalisation)
    targets = dict(stride=STRIDE, **config.targets)
    labels = label_parameters(variables["params"], groups)
    parts = trained_parameters(labels, groups)
    trained = [name for name, part in parts.items() if any(jax.tree.leaves(part))]
    loss = make_loss(apply, skeleton, **targets, train=trained)
    shape = dict(stride=STRIDE, max_people=data.max_people)
    crop = functools.partial(augment, skeleton=skeleton, **shape, **config.augment)
    most = {name: most_people(source, data.threads) for name, source in validation.items()}
    whole = functools.partial(letterbox, size=config.eval.size, stride=STRIDE)
    shown = choose_shown(config, validation, finds_people)

    def begin(variables: Any, read: Read, workdir: str) -> Work:
        del variables, workdir  # nothing is computed ahead
        validate = make_validate()

        def evaluate(variables):
            metrics, pictures = {}, []
            for name, source in validation.items():
                transform = functools.partial(whole, max_people=most[name])
                batches = read(source, transform, config.eval.batch_size, training=False)
                found, picture = validate(variables, batches, source.annotations)
                metrics |= {f"{name}/{key}" if name else key: found[key] for key in found}
                pictures.append(picture)
            if missing := [name for name in shown if name not in metrics]:
                raise UserError(
                    f"validation gives no figure {missing[0]!r} (config.eval.score); it gives "
                    f"{', '.join(metrics)}"
                )
            return metrics, pictures[0]

        return Work(train_source, crop, loss, evaluate)

    def make_validate():
        """validate(variables, batches, annotations) -> (figures, picture)."""
        running_loss = make_loss(apply, skeleton, **targets)
        gather = devices.gather_from_processes
        if not finds_people:
            step = devices.map_inference(make_loss_step(running_loss))
            return lambda variables, batches, _: (
                evaluate_loss(step, variables, batches, gather),
                None,
            )
        step, decode = make_evaluation(apply, skeleton, config, running_loss)
        draw = make_panel(apply, decode, skeleton, config.eval.pictures, **targets)

        def validate(variables, batches, annotations):
            batches, picture = draw(variables, batches)
            found = evaluate_batches(step, variables, batches, skeleton, annotations, gather)
            return found.metrics, picture

        return validate

    description = describe(model, skeleton, normalisation)
    return Task("images", shown, variables, groups, description, begin)


def choose_shown(config: ConfigDict, sets: Iterable[str], finds_people: bool) -> tuple[str, ...]:
    """The figures on the screen, the score first: `config.eval.score`, else AP of the first set.

    Args:
      sets: names of what is validated on.
      finds_people: False for a network that gives PAFs alone, of which only the loss is known.

    Raises:
      UserError: the score is of no set.
    """
    names = SHOWN if finds_people else ("score", "loss")
    shown = [f"{name}/{figure}" if name else figure for name in sets for figure in names]
    score = config.eval.get("score") or shown[0]
    if not any(score.startswith(f"{name}/" if name else "") for name in sets):
        raise UserError(
            f"config.eval.score={score!r} is of none of the sets {', '.join(sets)}; for example "
            f"{shown[0]}"
        )
    return tuple(dict.fromkeys([score, *shown]))
