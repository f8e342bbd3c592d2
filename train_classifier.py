"""Trains a dance classifier on clips: I3D with one stream or several, C3D, or frame by frame.

python train_classifier.py --config=configs/i3d.py:rgb+flow --workdir=runs/b
python train_classifier.py --config=configs/i3d.py:rgb+flow --workdir=runs/b \
    --config.streams.rgb.init_from=checkpoints/i3d_rgb --config.streams.rgb.train=False
python train_classifier.py --config=configs/i3d.py:flow+pose,demo --workdir=runs/demo

The same command goes on with a training that was stopped. WORKDIR gets checkpoints/, metrics.jsonl
and tensorboard/. Where no stream trains, their features are computed once, into
config.cache.folder.
"""

from danceflax import cli

FLAGS = cli.define_training()


def main(_):
    from danceflax.dance.task import make_task  # with it JAX, which --help does without
    from danceflax.training.train import test_rates, train

    run = test_rates if FLAGS.lr_test else train
    run(FLAGS.config, FLAGS.workdir, make_task)


if __name__ == "__main__":
    cli.run(main, __doc__)
