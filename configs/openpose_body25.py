"""The newer OpenPose network (PAFs first), from scratch on dance frames.

python train_openpose.py --config=configs/openpose_body25.py --workdir=runs/body25
python train_openpose.py --config=configs/openpose_body25.py:demo --workdir=runs/demo  # two cores
"""

from configs import openpose_base


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
    elif variant:
        raise ValueError(f"openpose_body25.py has the variant demo, not {variant!r}")
    return config
