"""Every field of a classifier training, with its unit. The classifier configs change a few of them.

docs/classifiers.md says what each does and which values it takes.
"""

from ml_collections import ConfigDict

from danceflax.configs.openpose_base import group

STREAMS = ("rgb", "flow", "pose")


def parse(variant, known, default):
    """('rgb+flow', 'demo') of 'rgb+flow,demo'; either may be left out."""
    words = [word for word in variant.split(",") if word]
    size = "demo" if "demo" in words else ""
    streams = [word for word in words if word != "demo"] or [default]
    if len(streams) > 1 or streams[0] not in known:
        raise ValueError(f"the variants are {', '.join(known)}, each with ,demo; not {variant!r}")
    return streams[0], size


def get_config(streams=("rgb",)):
    config = ConfigDict()
    config.seed = 0  # of the initial weights, the order and the augmentation
    config.steps = 20_000  # optimizer steps
    config.batch_size = 16  # clips a step, over all devices
    config.init_from = ""  # checkpoint whose weights to start from; "" starts afresh
    config.init_allow_missing = ""  # regex of parameters that init_from may lack or shape otherwise
    config.class_names = ()  # the dances in the order of the outputs; () is the train split's
    config.normalisation = ConfigDict()
    config.normalisation.mean = (127.5, 127.5, 127.5)  # RGB, 0..255
    config.normalisation.std = (127.5, 127.5, 127.5)  # RGB, 0..255

    config.model = ConfigDict()  # `name` and the options of danceflax.create_model
    config.model.name = "streams"  # streams (I3D, one or more), c3d, frames
    config.model.dropout = 0.5  # rate in front of the last layer
    config.model.dtype = "float32"  # compute type: float32, bfloat16; parameters stay float32

    config.streams = ConfigDict()
    for name in streams:
        stream = config.streams[name] = ConfigDict()
        stream.train = True  # False: the stream's weights and statistics stay as they are
        stream.init_from = ""  # I3D checkpoint, or a classifier's with this stream, to start from
        stream.init_allow_missing = ""  # regex of parameters that it may lack or shape otherwise
    if "flow" in streams:
        config.streams.flow.source = "files"  # files (prepare_data.py flow), dis, farneback, tvl1
        config.streams.flow.bound = 20.0  # pixels of the crop that become 1; longer flow is cut
        config.streams.flow.every = 1  # flow of every k-th frame of the clip only
    if "pose" in streams:
        pose = config.streams.pose
        pose.source = "keypoints"  # keypoints (files), network (its maps), features (its 128)
        pose.network = ""  # OpenPose checkpoint, for the sources network and features
        pose.train_network = False  # whether that network trains as well
        pose.stages = 0  # of the older network: cut after so many; 0 uses all
        # heatmaps (a channel a joint), both (and PAFs, two a limb), field (PAFs joined to x and y)
        pose.maps = "both"
        pose.skeleton = "coco18"  # keypoints: coco18, body25, or a .json; else the network's
        pose.stride = 8  # crop pixels a cell of the maps
        pose.sigma = 7.0  # keypoints: the heatmap Gaussian's standard deviation, crop pixels
        pose.max_people = 4  # keypoints: people drawn on a frame, the largest

    config.clip = ConfigDict()
    config.clip.frames = 64  # frames a clip; I3D needs 9
    config.clip.fps = 25.0  # frames a second to resample to; 0 keeps the clips' own
    config.clip.stride = 1  # every stride-th of these
    config.clip.sampling = "contiguous"  # contiguous, uniform (a frame of each equal segment)
    config.clip.size = 224  # height and width of the network's input, pixels

    config.augment = ConfigDict()  # of training clips; all frames of a clip alike
    config.augment.crop = (0.7, 1.0)  # random side of the crop / shorter side of the frame
    config.augment.flip = 0.5  # probability of mirroring
    config.augment.colour = (24.0, 0.25, 0.3)  # largest change of brightness, contrast, ...

    config.data = ConfigDict()
    config.data.source = "folder"  # folder (a Let's Dance root), or package.module:function
    config.data.root = "data/letsdance"  # folder of the data set
    config.data.train_split = "train"  # videos_split/<split>_videos.csv; see data/README.md
    config.data.val_split = "val"  # likewise, for evaluation
    config.data.folds = 0  # cross-validation: the train split is cut into so many; 0 is off
    config.data.fold = -1  # the one to validate on, from 0 on; -1 does all, one after the other
    config.data.fold_seed = 0  # another seed, other folds
    config.data.group = "group"  # the column of clips.csv: what is never in two folds
    config.data.fps = 0.0  # the clips' own frames a second; 0: see clips.csv
    config.data.threads = 8  # threads that read and augment
    config.data.max_bad_fraction = 0.01  # unreadable samples to skip before giving up, of all seen
    config.data.patience = 300.0  # seconds to wait for a data set that has gone, before ending

    config.loss = ConfigDict()
    config.loss.label_smoothing = 0.0  # share of each label spread over all classes
    config.loss.class_weights = "none"  # none, balanced (inverse to the classes' clips)
    config.loss.mixup = 0.0  # alpha of mixup's Beta distribution; 0 is off

    config.cache = ConfigDict()  # of features, where no stream trains
    config.cache.views = 4  # augmented versions of each training clip; 0 is off
    config.cache.folder = ""  # where; "" is WORKDIR/features

    config.optimizer = ConfigDict()
    config.optimizer.clip_norm = 0.0  # global L2 norm of the gradient; 0 is off
    config.optimizer.accumulate = 1  # parts a device's batch is cut into: less memory
    config.optimizer.average_decay = 0.0  # moving average of the weights for evaluation; 0 is off
    config.optimizer.freeze_batchnorm = False  # running statistics in training: for small batches
    config.optimizer.groups = ConfigDict()

    def add_group(name, pattern, **changes):
        options = dict(optimizer="adamw", schedule="cosine", lr=1e-4, weight_decay=1e-4)
        config.optimizer.groups[name] = group(pattern, **(options | changes))

    for name in streams:
        add_group(name, f"stream_{name}/.*")
    add_group("head", "head/.*", lr=1e-3)
    if "pose" in streams:
        add_group("openpose", "openpose/.*")  # of the network behind the pose stream, if any

    config.eval = ConfigDict()
    config.eval.batch_size = 4  # clips a step, over all devices
    config.eval.limit = 0  # clips evaluated during training, evenly drawn; 0 means all
    config.eval.clips = 4  # windows of a clip, averaged
    config.eval.crops = 1  # 1 (the middle), 3 (along the longer side), averaged
    config.eval.crop = 0.875  # side of the crop / shorter side of the frame

    config.report = ConfigDict()  # trackers besides TensorBoard; each needs its extra installed
    config.report.wandb = ""  # project at Weights & Biases; "" is off
    config.report.trackio = ""  # project of trackio; "" is off
    config.log_every = 50  # steps between lines of metrics.jsonl
    config.eval_every = 1_000  # steps between evaluations
    config.save_every = 500  # steps between checkpoints
    config.save_keep = 3  # latest checkpoints that stay, beside the best
    config.save_patience = 3  # checkpoints in a row that may fail before the training ends
    config.lost_after = 60  # seconds without a sign of another process until the others end
    return config


def one_network(config):
    """For networks without parts: one group of all parameters but the OpenPose network's."""
    groups = config.optimizer.groups
    groups.network = groups.head
    groups.network.lr, groups.network.pattern = 1e-4, "(?!openpose/).*"
    for name in ("head", *config.streams):
        del groups[name]


def shrink(config):
    """The demo's size: small clips and networks, for the synthetic dances on two cores."""
    config.data.root = "data/dances"
    config.data.fps = 12.5
    config.data.threads = 2
    config.clip.frames = 32
    config.clip.fps = 12.5
    config.clip.size = 48
    config.augment.crop = (0.85, 1.0)
    config.eval.clips = 1
    config.eval.crop = 1.0
    config.model.width = 0.125
    config.steps = 450
    config.batch_size = 16
    config.eval.batch_size = 16
    if "flow" in config.streams:
        config.streams.flow.bound = 4.0
    if "pose" in config.streams:
        config.streams.pose.maps = "heatmaps"
        config.streams.pose.stride = 6
        config.streams.pose.sigma = 4.0
        config.streams.pose.max_people = 1
    for changed in config.optimizer.groups.values():
        changed.lr = 2e-3
        changed.warmup_steps = 50
    config.log_every, config.eval_every, config.save_every = 50, 150, 150
