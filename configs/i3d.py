"""I3D dance classifiers of one stream or several: any of rgb, flow and pose, joined by +.

python train_classifier.py --config=configs/i3d.py:rgb --workdir=runs/rgb \
    --config.streams.rgb.init_from=checkpoints/i3d_rgb       # what convert_weights.py wrote
python train_classifier.py --config=configs/i3d.py:rgb+flow --workdir=runs/b
python train_classifier.py --config=configs/i3d.py:flow+pose,demo --workdir=runs/dances  # two cores
"""

from danceflax.configs import classifier_base

KNOWN = ("rgb", "flow", "pose", "rgb+flow", "rgb+pose", "flow+pose", "rgb+flow+pose")


def get_config(variant="rgb"):
    streams, size = classifier_base.parse(variant, KNOWN, "rgb")
    streams = streams.split("+")
    config = classifier_base.get_config(streams)
    config.model.width = 1.0  # factor of the streams' channel counts
    config.model.last = "Mixed_5c"  # the streams' last block; earlier ones make smaller networks
    config.model.pose_entry = "grid"  # where pose maps enter: grid (Mixed_3b), full (the stem)
    config.model.join = "channels"  # how streams are concatenated: channels, time
    config.model.head_kind = "mean"  # over time (after a convolution), time (linear over it)
    config.model.head_channels = 512 if len(streams) > 1 else 0  # of mean's convolution; 0: none
    config.model.head_kernel = (3, 3, 3)  # its time, height and width
    config.model.bn_decay = 0.99  # of the running statistics; 0.999 for long trainings
    config.model.remat = False  # recompute blocks in the backward pass: less memory, more work
    if size == "demo":
        classifier_base.shrink(config)
        config.model.head_channels = 64 if len(streams) > 1 else 0
        config.model.bn_decay = 0.9
        config.model.last = "Mixed_4c"
    return config
