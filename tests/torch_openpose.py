"""OpenPose's networks in PyTorch, as public ports name their parts; written for these tests."""

from collections import OrderedDict

import torch
from torch import nn

VGG = (
    ("conv1_1", 3, 64), ("conv1_2", 64, 64), None, ("conv2_1", 64, 128), ("conv2_2", 128, 128),
    None, ("conv3_1", 128, 256), ("conv3_2", 256, 256), ("conv3_3", 256, 256),
    ("conv3_4", 256, 256), None, ("conv4_1", 256, 512), ("conv4_2", 512, 512),
    ("conv4_3_CPM", 512, 256), ("conv4_4_CPM", 256, 128),
)  # fmt: skip


def conv(inputs, outputs, size):
    return nn.Conv2d(inputs, outputs, size, padding=size // 2)


def sequence(parts, named):
    """nn.Sequential of (name, module) pairs, by name or by index."""
    return nn.Sequential(OrderedDict(parts) if named else OrderedDict(enumerate_names(parts)))


def enumerate_names(parts):
    return [(str(i), module) for i, (_, module) in enumerate(parts)]


def scaled(channels, width):
    return max(1, round(channels * width))


def features(named, prelu, width=1):
    parts = []
    for i, item in enumerate(VGG):
        if item is None:
            parts.append((f"pool{i}", nn.MaxPool2d(2)))
            continue
        name, inputs, outputs = item
        inputs, outputs = inputs if inputs == 3 else scaled(inputs, width), scaled(outputs, width)
        parts.append((name, conv(inputs, outputs, 3)))
        if prelu and name in ("conv4_2", "conv4_3_CPM", "conv4_4_CPM"):
            parts.append((name.replace("conv", "prelu"), nn.PReLU(outputs)))
        else:
            parts.append((f"relu_{name}", nn.ReLU()))
    return sequence(parts, named)


class COCO(nn.Module):
    """model0, model1_1 ... model6_2; parts named as in Caffe or numbered."""

    def __init__(self, named=True, stages=6):
        super().__init__()
        self.stages = stages
        self.model0 = features(named, prelu=False)
        for stage in range(1, stages + 1):
            for n, outputs in ((1, 38), (2, 19)):
                if stage == 1:
                    names = [f"conv5_{i}_CPM_L{n}" for i in range(1, 6)]
                    channels, sizes = (128, 128, 128, 128, 512, outputs), (3, 3, 3, 1, 1)
                else:
                    names = [f"Mconv{i}_stage{stage}_L{n}" for i in range(1, 8)]
                    channels, sizes = (185, *(128,) * 6, outputs), (7, 7, 7, 7, 7, 1, 1)
                parts = []
                for i, (name, size) in enumerate(zip(names, sizes, strict=True)):
                    parts.append((name, conv(channels[i], channels[i + 1], size)))
                    parts.append((f"relu_{name}", nn.ReLU()))
                self.add_module(f"model{stage}_{n}", sequence(parts[:-1], named))

    def forward(self, x):
        return self.every_stage(x)[-1]

    def every_stage(self, x):
        maps = []
        first = x = self.model0(x)
        for stage in range(1, self.stages + 1):
            pafs = getattr(self, f"model{stage}_1")(x)
            heatmaps = getattr(self, f"model{stage}_2")(x)
            x = torch.cat([pafs, heatmaps, first], 1)
            maps.append((heatmaps, pafs))
        return maps


class Block(nn.Module):
    """Mconv, Mbn where batch norm is on, MPrelu."""

    def __init__(self, inputs, outputs, size, batch_norm=False):
        super().__init__()
        self.Mconv = conv(inputs, outputs, size)
        self.Mbn = nn.BatchNorm2d(outputs) if batch_norm else nn.Identity()
        self.MPrelu = nn.PReLU(outputs)

    def forward(self, x):
        return self.MPrelu(self.Mbn(self.Mconv(x)))


class Stage(nn.Module):
    """Mconv1_0 ... Mconv5_2, Mconv6, Mconv7; then the output's activation."""

    def __init__(self, inputs, first, outputs, batch_norm=False, activation=None, scale=1):
        super().__init__()
        self.activation = activation or nn.Identity()
        width, hidden = (scaled(n, scale) for n in ((96, 256) if first else (128, 512)))
        for block in range(1, 6):
            for i in range(3):
                source = width if i else (inputs if block == 1 else 3 * width)
                self.add_module(f"Mconv{block}_{i}", Block(source, width, 3, batch_norm))
        self.Mconv6 = Block(3 * width, hidden, 1, batch_norm)
        self.Mconv7 = conv(hidden, outputs, 1)

    def forward(self, x):
        for block in range(1, 6):
            outputs = []
            for i in range(3):
                x = getattr(self, f"Mconv{block}_{i}")(x)
                outputs.append(x)
            x = torch.cat(outputs, 1)
        return self.activation(self.Mconv7(self.Mconv6(x)))


class Body25(nn.Module):
    """feature_extractor, l2_stages (PAFs), l1_stages (heatmaps)."""

    def __init__(
        self,
        pafs=4,
        heatmaps=2,
        batch_norm=False,
        activations=(None, None),
        channels=(52, 26),
        width=1,
    ):
        super().__init__()
        self.feature_extractor = features(named=False, prelu=True, width=width)
        seen, (paf, heatmap), (pc, hc) = scaled(128, width), activations, channels
        self.l2_stages = nn.ModuleList(
            [Stage(seen + pc * (i > 0), i == 0, pc, batch_norm, paf, width) for i in range(pafs)]
        )
        self.l1_stages = nn.ModuleList(
            [
                Stage(seen + pc + hc * (i > 0), i == 0, hc, batch_norm, heatmap, width)
                for i in range(heatmaps)
            ]
        )

    def forward(self, x):
        pafs, heatmaps = self.every_stage(x)
        return heatmaps[-1] if heatmaps else None, pafs[-1]

    def every_stage(self, x):
        pafs, heatmaps = [], []
        first = x = self.feature_extractor(x)
        for stage in self.l2_stages:
            pafs.append(stage(x))
            x = torch.cat([first, pafs[-1]], 1)
        for stage in self.l1_stages:
            heatmaps.append(stage(x))
            x = torch.cat([first, heatmaps[-1], pafs[-1]], 1)
        return pafs, heatmaps


def randomise(network, seed=0):
    """He-scaled weights, small biases and statistics, slopes of 0 to 0.5; returns the network."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            nn.init.uniform_(module.bias, -0.1, 0.1)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0, 0.5)
    return network.eval()
