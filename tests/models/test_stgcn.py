"""ST-GCN++'s blocks against PyTorch, as published: N C T V."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, max_pool2d

from danceflax.models.sequences import stgcn

PARENTS = (1, 1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15)  # coco18


def tensor(x):
    return torch.tensor(np.asarray(x))


class Block:
    """A block of ours on random input with random values, and its layers in PyTorch."""

    def __init__(self, module, channels):
        rng = np.random.default_rng(0)
        self.x = jnp.asarray(rng.normal(size=(2, 9, 18, channels)), jnp.float32)
        there = jnp.ones(2)
        shapes = jax.eval_shape(module.init, jax.random.key(0), self.x, there)
        variables = jax.tree.map(lambda v: rng.uniform(0.3, 1, v.shape).astype("f") - 0.2, shapes)
        self.params, self.stats = variables["params"], variables["batch_stats"]
        self.found = module.apply(variables, self.x, there)
        self.input = tensor(self.x).permute(0, 3, 1, 2)

    def norm(self, y, name):
        p, s = self.params[name]["norm"], self.stats[name]["norm"]
        arguments = (s["mean"], s["var"], p["scale"], p["bias"])
        return batch_norm(y, *map(tensor, arguments), eps=1e-5)

    def conv(self, y, name, **options):
        kernel = tensor(self.params[name]["kernel"])
        kernel = kernel[None, None] if kernel.ndim == 2 else kernel
        return conv2d(y, kernel.permute(3, 2, 0, 1), tensor(self.params[name]["bias"]), **options)

    def check(self, wanted):
        np.testing.assert_allclose(self.found, wanted.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


def test_graph_convolution_agrees_with_torch():
    block = Block(stgcn.GraphConv(12, PARENTS, train=False), 8)
    # Three subsets: each joint itself, from its children and from its parent.
    edges = tensor(stgcn.make_adjacency(PARENTS)) + tensor(block.params["bias"])
    z = block.conv(block.input, "conv").view(2, 3, 12, 9, 18)
    z = block.norm(torch.einsum("nkctv,kvw->nctw", z, edges), "norm")
    block.check(torch.relu(z + block.norm(block.conv(block.input, "down"), "down_norm")))


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_over_time_agrees_with_torch(stride):
    block = Block(stgcn.TimeConv(16, stride, train=False), 16)
    # Six branches of 2 channels, the first of what is left: 3 frames 1 to 4 apart, their maximum,
    # and the frame itself.
    entered = torch.relu(block.norm(block.conv(block.input, "enter"), "enter_norm"))
    *entered, last = entered.split([6, 2, 2, 2, 2], 1)
    found = [
        block.conv(y, f"conv{d}", stride=(stride, 1), padding=(d, 0), dilation=(d, 1))
        for d, y in enumerate(entered, 1)
    ]
    found.append(max_pool2d(last, (3, 1), (stride, 1), (1, 0)))
    found.append(block.conv(block.input, "point", stride=(stride, 1)))
    y = torch.relu(block.norm(torch.cat(found, 1), "join_norm"))
    block.check(block.norm(block.conv(y, "join"), "norm"))


def test_adjacency_is_normalised_by_column():
    subsets = stgcn.make_adjacency((0, 0, 0, 1))
    np.testing.assert_array_equal(subsets[0], np.eye(4))
    np.testing.assert_array_equal(subsets[1][:, 0], [0, 0.5, 0.5, 0])  # the root's two children
    np.testing.assert_array_equal(subsets[2][:, 3], [0, 1, 0, 0])  # joint 3 hangs on joint 1
