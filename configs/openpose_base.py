"""Every field of a pose training, with its unit. The other pose configs change a few of them.

configs/README.md says what each does and which values it takes.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def group(pattern, **changes):
    """A parameter group: which parameters, and how they are trained."""
    config = ConfigDict()
    config.pattern = pattern  # regex that matches the whole path of the group's parameters
    config.train = True  # False freezes the group: no gradient, no optimizer state
    config.optimizer = "adamw"  # adamw, adam (L2 in the gradient, as in Caffe), sgd
    config.lr = 1e-4  # peak learning rate
    # constant, cosine, restarts (cosines), multistep, step, cyclic (triangles), one_cycle
    config.schedule = "multistep"
    config.warmup_steps = 0  # steps of linear warm-up, before any schedule
    config.milestones = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875)  # multistep: fractions of steps
    config.gamma = 0.5  # multistep, step: factor at each drop
    config.cycle_steps = 10_000  # cyclic, restarts: steps of the first cycle; step: between drops
    config.cycle_growth = 1  # restarts: each cycle's length / the last one's
    config.rise = 0.3  # cyclic, one_cycle: share of a cycle in which the learning rate rises
    config.start_lr_ratio = 0.04  # cyclic, one_cycle: first (cyclic: lowest) learning rate / peak
    config.final_lr_ratio = 0.0  # cosine, restarts, one_cycle: last learning rate / peak
    # cyclic, one_cycle: momentum or b1 at the peak rate and at the lowest; () leaves it still.
    config.cycle_momentum = (0.85, 0.95)
    config.weight_decay = 5e-4  # adamw: decoupled, times the learning rate; adam and sgd: L2
    config.decay_biases = False  # decay biases, PReLU slopes and normalisation scales as well
    config.bias_lr_mult = 1.0  # learning-rate factor of the biases
    config.b1 = 0.9  # adamw, adam: decay of the first moment
    config.b2 = 0.999  # adamw, adam: decay of the second moment
    config.eps = 1e-8  # adamw, adam: added to the root of the second moment
    config.momentum = 0.9  # sgd
    config.nesterov = False  # sgd
    config.update(changes)
    return config


def add_set(config, name, weight, **fields):
    """Names one of several sets to train and validate on.

    Args:
      weight: its share of the samples trained on; all shares sum to 1, 0 is for validation alone.
      **fields: those of config.data in which it differs (source, root, train_split, val_split,
        images, annotations); val_split="" leaves it out of validation.
    """
    if name in config.data.sets:
        raise ValueError(f"config.data.sets has two sets called {name!r}; give each its own name")
    own = config.data.sets[name] = ConfigDict()
    own.weight = weight  # share of the samples trained on
    for key, value in fields.items():
        setattr(own, key, value)  # of this set, instead of config.data's


def get_config():
    config = ConfigDict()
    config.seed = 0  # of the initial weights, the order and the augmentation
    config.steps = 600_000  # optimizer steps
    config.batch_size = 40  # images a step, over all devices
    config.init_from = ""  # checkpoint whose weights to start from; "" starts afresh
    config.init_allow_missing = ""  # regex of parameters that init_from may lack or shape otherwise
    config.normalisation = ConfigDict()
    config.normalisation.mean = (128.0, 128.0, 128.0)  # RGB, 0..255
    config.normalisation.std = (256.0, 256.0, 256.0)  # RGB, 0..255

    config.model = ConfigDict()  # `name` and the options of danceflax.create_model
    config.model.name = "openpose_body25"  # openpose_body25, openpose_coco
    config.model.skeleton = "body25"  # body25, coco18, or the path of a skeleton's .json
    config.model.width = 1.0  # factor of every hidden channel count
    config.model.dtype = "float32"  # compute type: float32, bfloat16; parameters stay float32
    config.model.remat = False  # recompute stages in the backward pass: less memory, more work

    config.data = ConfigDict()
    config.data.source = "folder"  # folder (a Let's Dance root), tfds, coco, mpii
    config.data.root = "data/letsdance"  # folder of the data set
    config.data.train_split = "train"  # folder: pose_training_split/<split>.csv; see data/README.md
    config.data.val_split = "val"  # likewise, for evaluation
    config.data.images = ""  # coco, mpii: folder of the images, "{}" stands for the split
    config.data.annotations = ""  # coco, mpii: annotation file, "{}" stands for the split
    config.data.min_confidence = 0.0  # folder: joints of JSON less sure than this do not count
    config.data.sets = ConfigDict()  # several sets instead of one: see `add_set`
    config.data.max_people = 20  # people of a training crop, the largest; the others are masked
    config.data.threads = 8  # threads that read and augment
    config.data.max_bad_fraction = 0.01  # unreadable samples to skip before giving up, of all seen
    config.data.patience = 300.0  # seconds to wait for a data set that has gone, before ending

    config.augment = ConfigDict()
    config.augment.size = (368, 368)  # height and width of the crop, pixels, multiples of 8
    config.augment.scale = (0.5, 1.1)  # random factor of the main person's size
    config.augment.size_by = "longer"  # a person's size: longer (side of the box), height (its)
    config.augment.target_scale = 0.6  # the main person's size / crop's, before `scale`
    config.augment.rotation = 40.0  # largest rotation either way, degrees; 180 is any
    config.augment.inverted = 0.0  # probability of half a turn more: people upside down
    config.augment.jitter = 40.0  # largest shift either way, pixels of a crop 368 high
    config.augment.flip = 0.5  # probability of mirroring
    # Largest changes of brightness (grey levels), contrast, saturation (factors), hue (degrees).
    config.augment.colour = (24.0, 0.25, 0.3, 10.0)
    config.augment.grey = 0.0  # probability of a crop without colours
    config.augment.blur = 0.0  # probability of a Gaussian blur of 3 or 5 pixels
    config.augment.patches = 0  # most rectangles laid over a crop; joints below count as occluded
    config.augment.patch_size = 0.3  # longest side of one / crop's

    config.targets = ConfigDict()
    config.targets.sigma = 7.0  # heatmap Gaussian's standard deviation, input pixels
    config.targets.limb_width = 8.0  # half-width of a limb's field, input pixels
    config.targets.mode = "paper"  # paper (max, average) or caffe (sum, overwrite; parity)

    config.optimizer = ConfigDict()
    config.optimizer.clip_norm = 0.0  # global L2 norm of the gradient; 0 is off
    config.optimizer.accumulate = 1  # parts a device's batch is cut into: less memory, same update
    config.optimizer.average_decay = (
        0.0  # moving average of the weights, used for evaluation; 0 off
    )
    config.optimizer.groups = ConfigDict()
    config.optimizer.groups.feature = group("feature/.*", lr=1e-4, bias_lr_mult=2.0)
    config.optimizer.groups.paf = group("paf_stage.*", lr=4e-4, bias_lr_mult=2.0)
    config.optimizer.groups.heatmap = group("heatmap_stage.*", lr=4e-4, bias_lr_mult=2.0)

    config.decode = ConfigDict()
    config.decode.rule = "global"  # global (all limbs sorted), tree (limb by limb)
    config.decode.refine = "grid"  # grid (fast), upsample (x8 bicubic, as published)
    config.decode.max_people = 20  # people returned an image
    config.decode.max_peaks = 32  # candidates a joint
    # None: what the rule's authors use; see make_decoder.
    config.decode.peak_threshold = placeholder(float)  # least heatmap value of a joint
    config.decode.paf_threshold = placeholder(float)  # least agreement of a point with its limb
    config.decode.paf_ratio = placeholder(float)  # share of a limb's points that must agree
    config.decode.min_joints = placeholder(int)  # joints a person must have
    config.decode.min_score = 0.4  # least score of a person, for each joint

    config.eval = ConfigDict()
    config.eval.batch_size = 8  # images a step, over all devices
    config.eval.size = (368, 368)  # height and width images are fitted into, multiples of 8
    config.eval.limit = 0  # images evaluated during training, evenly drawn; 0 means all
    config.eval.score = ""  # figure that says which checkpoint is best; "": AP of the first set
    config.eval.flip = False  # average with the mirrored image
    config.eval.scales = (1.0,)  # average over these sizes
    config.eval.rotations = (0.0,)  # find people on the image turned so, multiples of 90 degrees
    config.eval.pictures = 4  # validation images drawn to TensorBoard

    config.report = ConfigDict()  # trackers besides TensorBoard; each needs its extra installed
    config.report.wandb = ""  # project at Weights & Biases; "" is off
    config.report.trackio = ""  # project of trackio; "" is off
    config.log_every = 100  # steps between lines of metrics.jsonl
    config.eval_every = 5_000  # steps between evaluations
    config.save_every = 1_000  # steps between checkpoints
    config.save_keep = 3  # latest checkpoints that stay, beside the best
    config.save_patience = 3  # checkpoints in a row that may fail before the training ends
    config.lost_after = 60  # seconds without a sign of another process until the others end
    return config


def shrink(config):
    """The demo's size: a narrow network that learns the synthetic dancers on two cores."""
    config.data.root = "data/synthetic"
    config.data.threads = 2
    config.data.max_people = 4
    config.model.skeleton = "coco18"
    config.model.width = 0.25
    config.steps = 1500
    config.batch_size = 8
    config.augment.size = (128, 128)
    config.augment.target_scale = 0.85
    config.augment.scale = (0.75, 1.15)
    config.augment.rotation = 8.0
    config.eval.size = (192, 192)
    config.eval.limit = 48
    config.optimizer.average_decay = 0.99
    for group in config.optimizer.groups.values():
        group.lr = 1.2e-3
        group.schedule = "cosine"
        group.warmup_steps = 50
    config.log_every, config.eval_every, config.save_every = 50, 750, 250
