"""Trains a dance classifier on clips: I3D with one stream or several, C3D, frame by frame, or
keypoint sequences.

python train_classifier.py --config=configs/i3d.py:rgb+flow --workdir=runs/b
python train_classifier.py --config=configs/i3d.py:rgb+flow --workdir=runs/b \
    --config.streams.rgb.init_from=checkpoints/i3d_rgb --config.streams.rgb.train=False
python train_classifier.py --config=configs/i3d.py:flow+pose,demo --workdir=runs/dances
python train_classifier.py --config=configs/sequence.py --workdir=runs/c               # keypoints
python train_classifier.py --config=configs/sequence.py --workdir=runs/d --config.data.folds=5

The same command goes on with a training that was stopped. WORKDIR gets checkpoints/, metrics.jsonl,
curves.png and tensorboard/. Where no stream trains, their features are computed once, into
config.cache.folder. With config.data.folds, and no fold named, each fold has its turn: WORKDIR gets
fold<k>/, folds.json and the confusion matrix of all.
"""

from danceflax import cli

FLAGS = cli.define_training()


def main(_):
    from danceflax.dance.task import make_task  # with it JAX, which --help does without
    from danceflax.training.train import replay_step, test_rates, train

    config = FLAGS.config
    if FLAGS.replay:
        replay_step(config, FLAGS.replay, make_task)
    elif config.data.get("folds") and config.data.fold < 0 and not FLAGS.lr_test:
        from danceflax.dance.crossvalidate import crossvalidate

        crossvalidate(config, FLAGS.workdir)
    else:
        run = test_rates if FLAGS.lr_test else train
        run(config, FLAGS.workdir, make_task)


def run() -> None:
    """Does what the process's arguments say."""
    cli.run(main, __doc__)
