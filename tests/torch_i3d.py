"""I3D in PyTorch, written from the paper's table alone: the oracle of `test_i3d.py`."""

import torch
import torch.nn.functional as F
from torch import nn

from danceflax.weights import keys

BLOCKS = [  # name, branch 0, branch 1, branch 2, branch 3
    ("Mixed_3b", 64, (96, 128), (16, 32), 32),
    ("Mixed_3c", 128, (128, 192), (32, 96), 64),
    ("pool", (3, 3, 3), (2, 2, 2)),
    ("Mixed_4b", 192, (96, 208), (16, 48), 64),
    ("Mixed_4c", 160, (112, 224), (24, 64), 64),
    ("Mixed_4d", 128, (128, 256), (24, 64), 64),
    ("Mixed_4e", 112, (144, 288), (32, 64), 64),
    ("Mixed_4f", 256, (160, 320), (32, 128), 128),
    ("pool", (2, 2, 2), (2, 2, 2)),
    ("Mixed_5b", 256, (160, 320), (32, 128), 128),
    ("Mixed_5c", 384, (192, 384), (48, 128), 128),
]


def pad_same(x, window, stride):
    """TensorFlow's SAME padding of [B, C, T, H, W]; zeros do for pools too: inputs are >= 0."""
    pads = []
    for n, k, s in reversed(list(zip(x.shape[2:], window, stride, strict=True))):
        total = max(k - (s if n % s == 0 else n % s), 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def max_pool(x, window, stride):
    return F.max_pool3d(pad_same(x, window, stride), window, stride)


class Unit(nn.Module):
    def __init__(self, inputs, outputs, size, stride=(1, 1, 1)):
        super().__init__()
        self.size, self.stride = (size,) * 3, stride
        self.conv = nn.Conv3d(inputs, outputs, size, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3, momentum=1e-3)
        self.bn.weight.requires_grad_(False)

    def forward(self, x):
        x = self.conv(pad_same(x, self.size, self.stride))
        self.cells = x.numel() // x.shape[1]  # what the batch statistics average over
        return F.relu(self.bn(x))


class Block(nn.Module):
    def __init__(self, inputs, b0, b1, b2, b3):
        super().__init__()
        names = "Conv3d_0a_1x1", "Conv3d_0b_3x3", "Conv3d_0b_1x1"
        self.Branch_0 = nn.ModuleDict({names[0]: Unit(inputs, b0, 1)})
        for i, (a, b) in ((1, b1), (2, b2)):
            branch = {names[0]: Unit(inputs, a, 1), names[1]: Unit(a, b, 3)}
            setattr(self, f"Branch_{i}", nn.ModuleDict(branch))
        self.Branch_3 = nn.ModuleDict({names[2]: Unit(inputs, b3, 1)})

    def forward(self, x):
        pooled = max_pool(x, (3, 3, 3), (1, 1, 1))
        outs = []
        for i in range(4):
            y = pooled if i == 3 else x
            for unit in getattr(self, f"Branch_{i}").values():
                y = unit(y)
            outs.append(y)
        return torch.cat(outs, 1)


class TorchI3D(nn.Module):
    """[B, C, T, H, W] -> logits [B, classes]; no dropout."""

    def __init__(self, classes=400, inputs=3):
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(inputs, 64, 7, (2, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        channels = 192
        for name, *rest in BLOCKS:
            if name != "pool":
                self.add_module(name, Block(channels, *rest))
                channels = rest[0] + rest[1][1] + rest[2][1] + rest[3]
        self.Logits = nn.Conv3d(channels, classes, 1)

    def forward(self, x):
        x = max_pool(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))
        x = max_pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        for name, *rest in BLOCKS:
            x = max_pool(x, *rest) if name == "pool" else getattr(self, name)(x)
        x = F.avg_pool3d(x, (2, *x.shape[3:]), 1)
        return self.Logits(x).mean((2, 3, 4))


def load_flax(model, params, stats):
    """Copies flax parameters and statistics (nested dicts of arrays) into the torch model."""

    def fill(tree, prefix=""):
        for key, value in tree.items():
            if hasattr(value, "items"):
                fill(value, f"{prefix}{key}.")
                continue
            name = {"kernel": "weight", "mean": "running_mean", "var": "running_var"}.get(key, key)
            array = torch.tensor(value)
            target = state[prefix + name]
            target.copy_(array.permute(4, 3, 0, 1, 2) if array.ndim == 5 else array)

    state = model.state_dict()
    with torch.no_grad():
        fill(params)
        fill(stats)
    return model


def published_names(network):
    """A `TorchI3D`'s tensors under pytorch-i3d's names."""
    units = {path.replace("/", "."): name for name, path in keys.I3D_UNITS.items()}
    state = {}
    for name, tensor in network.state_dict().items():
        unit, part, leaf = name.rpartition(".")[0].rpartition(".")[0], *name.split(".")[-2:]
        new = f"{units[unit]}.{part.replace('conv', 'conv3d')}.{leaf}" if unit else ""
        state[new or f"logits.conv3d.{leaf}"] = tensor.numpy()
    return state
