"""Dance classifiers on keypoint sequences: people followed over time, no pictures.

python train_classifier.py --config=configs/sequence.py --workdir=runs/rhythm      # the default
python train_classifier.py --config=configs/sequence.py:stgcn --workdir=runs/stgcn
python train_classifier.py --config=configs/sequence.py --workdir=runs/folds \
    --config.data.folds=5 --config.data.train_split=clips.csv --config.data.group=recording
python train_classifier.py --config=configs/sequence.py:rhythm,demo --workdir=runs/rhythm
"""

from ml_collections import ConfigDict

from danceflax.configs import classifier_base

NETWORKS = ("rhythm", "stgcn", "transformer", "gru", "posec3d")


def get_config(variant="rhythm"):
    name, size = classifier_base.parse(variant, NETWORKS, "rhythm")
    config = classifier_base.get_config(("people",))
    config.model = ConfigDict()  # `name` and the options of danceflax.create_model
    config.model.name = name  # rhythm, stgcn, transformer, gru, posec3d
    config.model.dropout = 0.3  # rate in front of the last layer
    people = config.streams.people
    people.skeleton = "coco18"  # of the keypoints: coco18, body25, or a .json
    people.max_people = 1  # dancers a window, those seen most; the answer is their mean
    people.longest_gap = 0.5  # seconds over which a joint that is lost is filled in

    config.augment = ConfigDict()  # of training windows, each person apart
    config.augment.flip = 0.5  # probability of mirroring
    config.augment.squeeze = 0.3  # largest log of a horizontal stretch, as if seen from the side
    config.augment.rotation = 5.0  # largest turn, degrees
    config.augment.tempo = 0.2  # largest log of a change of speed
    config.augment.noise = 0.1  # largest deviation of joints, torsos, by OKS sigma; mostly less
    config.augment.lost_joints = 0.1  # largest share of detections lost, and filled in
    config.augment.lost_frames = 0.1  # largest share of frames lost, and filled in
    config.augment.masked_joints = 0.0  # largest share of joints that are never seen
    config.augment.masked_time = 0.0  # largest share of the window, in one piece, that shows nobody

    config.data.threads = 2
    config.loss.class_weights = "balanced"
    config.loss.label_smoothing = 0.1
    config.steps = 1_000
    config.batch_size = 64
    config.eval.batch_size = 64
    config.eval.clips = 2
    config.eval.flip = True  # average with the mirrored window
    config.optimizer.clip_norm = 1.0
    classifier_base.one_network(config)
    network = config.optimizer.groups.network
    network.lr, network.warmup_steps, network.weight_decay = 2e-3, 100, 0.05
    config.log_every, config.eval_every, config.save_every = 100, 500, 500

    if name == "rhythm":
        config.model.span = 32  # frames of a short-time spectrum
        config.model.harmonics = 5  # of each: 0.8 to 3.9 Hz at 25 frames a second
        config.model.channels = (256, 256)  # of the hidden layers of a tower
        config.model.towers = 4  # side by side, each with dropout of its own
        config.model.dropout = 0.15  # rate in front of every layer
        config.augment.noise = 0.25
        config.steps = 2_500
    if name == "stgcn":
        # a network each, the mean of their answers
        config.model.streams = ("joint", "bone", "joint_motion", "bone_motion")
        config.model.width = 64  # channels of the first blocks
        config.batch_size = 16
    if name == "transformer":
        config.model.tokens = "frames"  # frames (all joints), joints (one each)
        config.model.patch = 8  # frames a token
        config.model.width = 128  # channels of a token
        config.model.layers = 4  # encoder blocks
        config.model.heads = 4  # of the attention
        network.lr, config.steps = 1e-3, 800
    if name == "gru":
        config.model.width, config.model.layers = 128, 2  # of the states; recurrent layers
        config.steps = 500
    if name == "posec3d":
        config.model.size = 56  # cells of the volumes' height and width
        config.model.sigma = 0.6  # of a joint's Gaussian, cells
        config.model.width = 32  # channels of the first layer
        config.model.dropout = 0.5
        config.model.dtype = "float32"  # compute type: float32, bfloat16
        config.batch_size = 16
    if size == "demo":
        shrink(config)
    return config


def shrink(config):
    """The demo's size: the synthetic dances, half as long, on two cores."""
    config.data.root = "data/dances"
    config.data.fps = 12.5
    config.clip.frames, config.clip.fps = 32, 12.5
    config.eval.clips = 1
    config.steps = 600
    config.eval_every, config.save_every = 200, 200
    if config.model.name == "rhythm":
        config.model.span = 16
    if config.model.name == "transformer":
        config.model.patch = 4
    if "width" in config.model:
        config.model.width = {"stgcn": 16, "posec3d": 8}.get(config.model.name, 64)
    if config.model.name == "posec3d":
        config.model.size = 32
