"""Trains OpenPose: the newer network (PAFs first) or the older one, on dance frames or COCO.

python train_openpose.py --config=configs/openpose_body25.py --workdir=runs/a
python train_openpose.py --config=configs/openpose_body25.py --workdir=runs/a \
    --config.optimizer.groups.paf.lr=1e-4
python train_openpose.py --config=configs/openpose_body25.py:demo --workdir=runs/demo

The same command goes on with a training that was stopped. WORKDIR gets checkpoints/, metrics.jsonl
and tensorboard/.
"""

import functools

import jax
import jax.numpy as jnp
from absl import flags

from danceflax import api, cli
from danceflax import skeleton as skeletons
from danceflax.data.loader import make_loader
from danceflax.data.sources import Subset, open_source
from danceflax.io.console import console
from danceflax.models.initialise import initialise
from danceflax.models.normalisation import on_images
from danceflax.models.openpose import STRIDE
from danceflax.pose import evaluate as validation
from danceflax.pose.augment import augment, letterbox
from danceflax.pose.decode import make_decoder
from danceflax.pose.inference import make_estimator
from danceflax.pose.objective import make_loss
from danceflax.training import checkpoints, devices, optimizers
from danceflax.training.loop import fit
from danceflax.training.step import create_state, make_train_step

CONFIG = cli.define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "where checkpoints and reports go")
cli.require("config", "workdir")
SHOWN = ("AP", "AP50", "PCK", "loss")  # figures on the screen; the first says which step is best


def main(_):
    devices.join_processes()
    console.quiet = jax.process_index() > 0
    config, workdir = CONFIG.value, WORKDIR.value
    devices.check_batch_size(config.batch_size, config.optimizer.accumulate)
    devices.check_batch_size(config.eval.batch_size, where="config.eval.batch_size")
    skeleton = skeletons.load(config.model.skeleton)
    train_source = open_source(config.data, config.data.train_split, skeleton, training=True)
    val_source = Subset(
        open_source(config.data, config.data.val_split, skeleton), config.eval.limit
    )

    # The network, its weights, and who trains them.
    model = api.create_model(**config.model)
    variables = initialise(model, jnp.zeros((1, STRIDE, STRIDE, 3)), config.seed)
    normalisation = config.normalisation.to_dict()
    if config.init_from:
        variables, normalisation = api.start_from(
            config.init_from, variables, skeleton, config.init_allow_missing
        )
    groups = config.optimizer.groups
    labels = optimizers.label_parameters(variables["params"], groups)
    optimizer, schedules = optimizers.make_optimizer(config.optimizer, labels, config.steps)
    state = create_state(variables, optimizer, average=config.optimizer.average_decay > 0)
    optimizers.print_groups(variables["params"], labels, groups)

    description = api.describe(model, skeleton, normalisation) | {"training": config.to_dict()}
    manager, state = checkpoints.resume(workdir, state, description)

    apply = on_images(model, normalisation)
    targets = dict(stride=STRIDE, **config.targets)
    loss = make_loss(apply, skeleton, **targets)
    trained = optimizers.trained_parameters(labels, groups)
    train_step = devices.map_step(
        make_train_step(
            loss,
            optimizer,
            trained,
            seed=config.seed,
            accumulate=config.optimizer.accumulate,
            average_decay=config.optimizer.average_decay,
            schedules=schedules,
        )
    )
    decode = make_decoder(skeleton, stride=STRIDE, **config.decode)
    estimate = make_estimator(
        apply, skeleton, decode, stride=STRIDE, flip=config.eval.flip, scales=config.eval.scales
    )
    eval_step = devices.map_inference(validation.make_eval_step(estimate, loss))
    draw = validation.make_panel(apply, decode, skeleton, **targets)

    shape = dict(stride=STRIDE, max_people=config.data.max_people)
    crop = functools.partial(augment, skeleton=skeleton, **shape, **config.augment)
    whole = functools.partial(letterbox, size=config.eval.size, **shape)
    read = functools.partial(
        make_loader,
        threads=config.data.threads,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        max_bad_fraction=config.data.max_bad_fraction,
    )

    def read_val():
        return read(val_source, whole, config.eval.batch_size, training=False)

    sample = {key: value[: config.eval.pictures] for key, value in next(read_val())[0].items()}

    def evaluate(state):
        metrics, _ = validation.evaluate_batches(
            eval_step,
            state.variables,
            read_val(),
            skeleton,
            val_source.annotations,
            devices.gather_from_processes,
        )
        return metrics, draw(state.variables, sample) if config.eval.pictures else None

    batches = read(train_source, crop, config.batch_size, config.seed, int(state.step))
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
    )


if __name__ == "__main__":
    cli.run(main, __doc__)
