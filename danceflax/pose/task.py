"""The training of a pose network, as `training/train.py` takes it."""

import functools

import jax.numpy as jnp
from ml_collections import ConfigDict

from danceflax import skeleton as skeletons
from danceflax.data.sources import Subset, open_source
from danceflax.models.initialise import initialise
from danceflax.models.normalisation import on_images
from danceflax.models.openpose import STRIDE
from danceflax.models.registry import create_model, describe
from danceflax.pose.augment import augment, letterbox
from danceflax.pose.decode import make_decoder
from danceflax.pose.draw import make_panel
from danceflax.pose.evaluate import evaluate_batches, make_eval_step
from danceflax.pose.loss import make_loss
from danceflax.pose.predict import make_estimator
from danceflax.training import devices
from danceflax.training.pretrained import start_from
from danceflax.training.task import Task, Work

SHOWN = ("AP", "AP50", "PCK", "loss")


def make_task(config: ConfigDict) -> Task:
    """The `Task` of a pose config (configs/openpose_base.py).

    Raises:
      UserError: something that the config names is missing or does not fit.
    """
    data, skeleton = config.data, skeletons.load(config.model.skeleton)
    train_source = open_source(data, data.train_split, skeleton, training=True)
    val_source = Subset(open_source(data, data.val_split, skeleton), config.eval.limit)
    model = create_model(**config.model)
    variables = initialise(model, jnp.zeros((1, STRIDE, STRIDE, 3)), config.seed)
    normalisation = config.normalisation.to_dict()
    if config.init_from:
        variables, normalisation = start_from(
            config.init_from, variables, skeleton, config.init_allow_missing
        )
    apply = on_images(model, normalisation)
    targets = dict(stride=STRIDE, **config.targets)
    loss = make_loss(apply, skeleton, **targets)
    shape = dict(stride=STRIDE, max_people=data.max_people)
    crop = functools.partial(augment, skeleton=skeleton, **shape, **config.augment)
    whole = functools.partial(letterbox, size=config.eval.size, **shape)

    def begin(variables, read, workdir):
        del variables, workdir  # nothing is computed ahead
        decode = make_decoder(skeleton, stride=STRIDE, **config.decode)
        estimate = make_estimator(
            apply, skeleton, decode, stride=STRIDE, flip=config.eval.flip, scales=config.eval.scales
        )
        eval_step = devices.map_inference(make_eval_step(estimate, loss))
        draw = make_panel(apply, decode, skeleton, config.eval.pictures, **targets)

        def evaluate(variables):
            batches = read(val_source, whole, config.eval.batch_size, training=False)
            batches, picture = draw(variables, batches)
            metrics, _ = evaluate_batches(
                eval_step,
                variables,
                batches,
                skeleton,
                val_source.annotations,
                devices.gather_from_processes,
            )
            return metrics, picture

        return Work(train_source, crop, loss, evaluate)

    groups, description = config.optimizer.groups, describe(model, skeleton, normalisation)
    return Task("images", SHOWN, variables, groups, description, begin)
