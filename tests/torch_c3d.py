"""C3D in PyTorch, written from the paper's table and the names of its published weights."""

import torch
import torch.nn.functional as F
from torch import nn

CONVS = (  # name, inputs, outputs; None is a pool
    ("conv1", 3, 64), None, ("conv2", 64, 128), None, ("conv3a", 128, 256), ("conv3b", 256, 256),
    None, ("conv4a", 256, 512), ("conv4b", 512, 512), None, ("conv5a", 512, 512),
    ("conv5b", 512, 512), None,
)  # fmt: skip


class TorchC3D(nn.Module):
    """[B, 3, 16, 112, 112] -> logits; `width` divides the hidden channels."""

    def __init__(self, classes=487, width=1):
        super().__init__()
        for conv in filter(None, CONVS):
            name, inputs, outputs = conv
            inputs = inputs if inputs == 3 else inputs // width
            self.add_module(name, nn.Conv3d(inputs, outputs // width, 3, padding=1))
        self.fc6 = nn.Linear(512 // width * 16, 4096 // width)
        self.fc7 = nn.Linear(4096 // width, 4096 // width)
        self.fc8 = nn.Linear(4096 // width, classes)

    def forward(self, x):
        pools = 0
        for conv in CONVS:
            if conv:
                x = F.relu(getattr(self, conv[0])(x))
                continue
            pools += 1
            window = (1, 2, 2) if pools == 1 else (2, 2, 2)
            x = F.max_pool3d(x, window, window, padding=(0, 1, 1) if pools == 5 else 0)
        x = F.relu(self.fc6(x.flatten(1)))
        return self.fc8(F.relu(self.fc7(x)))

    @torch.no_grad()
    def logits(self, clips):
        """Of numpy clips [B, T, H, W, C]."""
        return self(torch.from_numpy(clips.transpose(0, 4, 1, 2, 3).copy())).numpy()
