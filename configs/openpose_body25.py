"""The newer OpenPose network (PAFs first), from scratch on dance frames.

python train_openpose.py --config=configs/openpose_body25.py --workdir=runs/body25
python train_openpose.py --config=configs/openpose_body25.py:demo --workdir=runs/demo  # two cores
python train_openpose.py --config=configs/openpose_body25.py:photos --workdir=runs/photos \
    --config.init_from=runs/demo    # photographs of sports and COCO's, an hour on two cores
"""

from danceflax.configs import openpose_base


def get_config(variant=""):
    config = openpose_base.get_config()
    config.model.paf_stages = 4  # stages that refine the PAFs
    config.model.heatmap_stages = 2  # stages that refine the heatmaps, after the PAFs; 0: none
    config.model.stop_heatmap_gradient = False  # keep the heatmap loss from moving the PAF stages
    config.model.paf_activation = "none"  # of every PAF stage's output: none, relu, sigmoid, tanh
    config.model.heatmap_activation = "none"  # likewise of the heatmap stages'
    config.model.batch_norm = False  # batch norm in the stages
    config.model.bn_decay = 0.9  # of its running statistics
    if variant == "demo":
        openpose_base.shrink(config)
        config.model.paf_stages, config.model.heatmap_stages = 1, 1
    elif variant == "photos":
        photos(config)
    elif variant:
        raise ValueError(f"openpose_body25.py has the variants demo and photos, not {variant!r}")
    return config


def photos(config):
    """Photographs of acrobats, many upside down, of whom faces are not labelled, with COCO's, whose
    are: the demo's network, so that its weights fit, with batch norm."""
    openpose_base.shrink(config)
    config.model.paf_stages, config.model.heatmap_stages = 1, 1
    config.model.batch_norm = True
    config.init_allow_missing = ".*/bn.*"
    config.targets.sigma, config.targets.limb_width = 10.0, 10.0  # a cell is 8: seen sooner
    config.steps = 12_500
    config.data.source = "coco"
    config.data.max_people = 20
    openpose_base.add_set(
        config, "sports", 0.8, root="data/photos/sports", train_split="train", val_split="test"
    )
    openpose_base.add_set(
        config, "coco", 0.2, root="data/photos/coco", train_split="train2017", val_split="val2017"
    )
    config.augment.scale = (0.6, 1.2)
    config.augment.rotation = 45.0
    config.augment.inverted = 0.15
    config.augment.grey, config.augment.blur = 0.1, 0.1
    config.augment.patches = 2
    config.optimizer.average_decay = 0.999
    # A network this small is never sure: what it half sees is better than nobody.
    config.decode.peak_threshold, config.decode.paf_threshold = 0.02, 0.02
    config.decode.paf_ratio = 0.5
    config.decode.min_joints, config.decode.min_score = 2, 0.05
    config.eval.size = (256, 256)
    config.eval.limit = 100
    config.eval.score = "sports/PCK"
    config.eval_every, config.save_every = 2_500, 500
