"""C3D (Tran et al. 2015), one stream: rgb, flow or pose; clips of 16 frames of 112x112.

python train_classifier.py --config=configs/c3d.py:rgb --workdir=runs/c3d
python train_classifier.py --config=configs/c3d.py:rgb,demo --workdir=runs/c3d    # two cores
"""

from danceflax.configs import classifier_base


def get_config(variant="rgb"):
    stream, size = classifier_base.parse(variant, classifier_base.STREAMS, "rgb")
    config = classifier_base.get_config((stream,))
    config.model.name = "c3d"
    config.model.width = 1.0  # factor of every hidden channel count
    config.clip.frames, config.clip.size, config.clip.stride = 16, 112, 2
    classifier_base.one_network(config)
    if size == "demo":
        classifier_base.shrink(config)
        config.model.width = 0.125
    if stream == "pose":
        config.streams.pose.stride = 1
    return config
