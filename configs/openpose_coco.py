"""The older OpenPose network (two branches, COCO-18), trained further on dance frames.

python train_openpose.py --config=configs/openpose_coco.py --workdir=runs/coco \
    --config.init_from=checkpoints/openpose_coco          # what convert_weights.py wrote
python train_openpose.py --config=configs/openpose_coco.py:final ...     # the final stage only
"""

from danceflax.configs import openpose_base


def get_config(variant=""):
    config = openpose_base.get_config()
    config.model.name = "openpose_coco"
    config.model.skeleton = "coco18"
    config.model.stages = 6  # stages of each branch
    config.steps = 100_000
    config.batch_size = 20
    groups = config.optimizer.groups
    groups.feature.lr, groups.paf.lr, groups.heatmap.lr = 2e-5, 8e-5, 8e-5
    if variant == "final":
        groups.feature.pattern = r"feature/.*|(paf|heatmap)_stage[1-5]/.*"
        groups.feature.train = False
        groups.paf.pattern, groups.heatmap.pattern = "paf_stage6/.*", "heatmap_stage6/.*"
    elif variant == "demo":
        config.model.stages = 2
        openpose_base.shrink(config)
    elif variant:
        raise ValueError(f"openpose_coco.py has the variants final and demo, not {variant!r}")
    return config
