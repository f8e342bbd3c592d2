"""Single-frame classifiers: RGB, or the features of a frozen OpenPose network ("openpose").

python train_classifier.py --config=configs/frames.py:openpose --workdir=runs/frames \
    --config.streams.pose.network=runs/a               # a pose training's workdir
python train_classifier.py --config=configs/frames.py:rgb,demo --workdir=runs/frames
"""

from danceflax.configs import classifier_base


def get_config(variant="openpose"):
    kind, size = classifier_base.parse(variant, ("openpose", "rgb"), "openpose")
    config = classifier_base.get_config(("pose" if kind == "openpose" else "rgb",))
    config.model.name = "frames"
    config.model.channels = (128, 256)  # of each 3x3 convolution of stride 2
    config.model.temporal = "mean"  # mean, conv, gru: how frames are joined
    config.clip.frames, config.clip.sampling = 8, "uniform"
    if kind == "openpose":
        config.streams.pose.source = "features"
    else:
        config.model.channels = (32, 64, 128, 256, 256)
    classifier_base.one_network(config)
    if size == "demo":  # one frame: it can see the picture, and no motion
        classifier_base.shrink(config)
        del config.model["width"]
        config.model.channels = (16, 32, 64, 128)
        config.clip.frames = 1
        if kind == "openpose":
            config.streams.pose.stride = 8
    return config
