"""Trains OpenPose: the newer network (PAFs first) or the older one, on dance frames or COCO.

python train_openpose.py --config=configs/openpose_body25.py --workdir=runs/a
python train_openpose.py --config=configs/openpose_body25.py --workdir=runs/a \
    --config.optimizer.groups.paf.lr=1e-4
python train_openpose.py --config=configs/openpose_body25.py:demo --workdir=runs/demo

The same command goes on with a training that was stopped. WORKDIR gets checkpoints/, metrics.jsonl,
curves.png and tensorboard/.
"""

from danceflax import cli

FLAGS = cli.define_training()


def main(_):
    from danceflax.pose.task import make_task  # with it JAX, which --help does without
    from danceflax.training.train import replay_step, test_rates, train

    if FLAGS.replay:
        replay_step(FLAGS.config, FLAGS.replay, make_task)
    else:
        run = test_rates if FLAGS.lr_test else train
        run(FLAGS.config, FLAGS.workdir, make_task)


def run() -> None:
    """Does what the process's arguments say."""
    cli.run(main, __doc__)
