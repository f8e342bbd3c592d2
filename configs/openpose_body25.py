"""The newer OpenPose network (PAFs first), from scratch on dance frames.

python train_openpose.py --config=configs/openpose_body25.py --workdir=runs/body25
python train_openpose.py --config=configs/openpose_body25.py:demo --workdir=runs/demo  # two cores
"""

from configs import openpose_base


def get_config(variant=""):
    config = openpose_base.get_config()
    config.model.paf_stages = 4  # stages that refine the PAFs
    config.model.heatmap_stages = 2  # stages that refine the heatmaps, after the PAFs
    config.model.stop_heatmap_gradient = False  # keep the heatmap loss from moving the PAF stages
    if variant == "demo":
        openpose_base.shrink(config)
        config.model.paf_stages, config.model.heatmap_stages = 1, 1
    elif variant:
        raise ValueError(f"openpose_body25.py has the variant demo, not {variant!r}")
    return config
