"""ST-GCN++ (Duan et al., PYSKL, ACM MM 2022): graph convolutions over joints, multi-scale
convolutions over time, one network for each stream and late fusion."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from danceflax.errors import UserError
from danceflax.models.sequences.layers import (
    SeenNorm,
    dense,
    find_bones,
    find_motion,
    join_people,
    split_people,
)

STREAMS = ("joint", "bone", "joint_motion", "bone_motion")
STAGES = (1, 1, 1, 1, 2, 2, 2, 4, 4, 4)  # each block's channels over the first one's
DILATIONS = (1, 2, 3, 4)  # of the temporal branches of 3 frames


def make_adjacency(parents: Sequence[int]) -> Float[np.ndarray, "3 J J"]:
    """The three subsets of a skeleton's edges, their columns' sums 1: each joint itself, from its
    children, from its parent."""
    parents, joints = np.array(parents), np.arange(len(parents))
    inward = np.zeros((len(parents), len(parents)), np.float32)
    child = parents != joints
    inward[joints[child], parents[child]] = 1.0
    subsets = np.stack([np.eye(len(parents), dtype=np.float32), inward, inward.T])
    return subsets / np.maximum(subsets.sum(1, keepdims=True), 1.0)


class GraphConv(nn.Module):
    """A convolution over a graph whose edges' weights are learned."""

    features: int
    parents: tuple
    train: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "N T J C"], there: Float[Array, " N"]
    ) -> Float[Array, "N T J {self.features}"]:
        edges = make_adjacency(self.parents)
        edges = edges + self.param("bias", nn.initializers.zeros, edges.shape, jnp.float32)
        y = dense(3 * self.features, name="conv")(x)
        # A small product a frame, [J, 3 J] by [3 J, C], for which XLA need not move anything.
        batch, frames, joints, _ = x.shape
        edges = edges.transpose(2, 1, 0).reshape(joints, -1)
        y = y.reshape(batch, frames, -1, self.features)
        y = jnp.broadcast_to(edges, (batch, frames, *edges.shape)) @ y
        if x.shape[-1] != self.features:
            x = dense(self.features, name="down")(x)
            x = SeenNorm(self.train, name="down_norm")(x, there)
        return nn.relu(SeenNorm(self.train, name="norm")(y, there) + x)


class TimeConv(nn.Module):
    """Convolutions over time at several scales."""

    features: int
    stride: int
    train: bool
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "N T J C"], there: Float[Array, " N"]
    ) -> Float[Array, "N -(-T//{self.stride}) J {self.features}"]:
        width = self.features // (len(DILATIONS) + 2)
        widths = [self.features - width * (len(DILATIONS) + 1), *[width] * len(DILATIONS)]
        # All branches but the last begin with a linear layer and a norm: one of each does for all.
        y = dense(sum(widths), name="enter")(x)
        y = nn.relu(SeenNorm(self.train, name="enter_norm")(y, there))
        *entered, pooled = jnp.split(y, np.cumsum(widths)[:-1], -1)
        found = []
        for channels, dilation, y in zip(widths, DILATIONS, entered, strict=False):
            conv = nn.Conv(
                channels,
                (3, 1),
                strides=(self.stride, 1),
                padding=((dilation, dilation), (0, 0)),
                kernel_dilation=(dilation, 1),
                name=f"conv{dilation}",
            )
            found.append(conv(y))
        window, stride = (3, 1), (self.stride, 1)
        found.append(nn.max_pool(pooled, window, stride, padding=((1, 1), (0, 0))))
        found.append(dense(width, name="point")(x[:, :: self.stride]))
        y = jnp.concatenate(found, -1)
        y = nn.relu(SeenNorm(self.train, name="join_norm")(y, there))
        y = SeenNorm(self.train, name="norm")(dense(self.features, name="join")(y), there)
        return nn.Dropout(self.dropout, deterministic=not self.train)(y)


class Trunk(nn.Module):
    """One stream's logits."""

    num_classes: int
    parents: tuple
    width: int
    dropout: float
    train: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "N T J C"], there: Float[Array, " N"]
    ) -> Float[Array, "N {self.num_classes}"]:
        batch, frames, joints, _ = x.shape
        x = SeenNorm(self.train, name="input_norm")(x.reshape(batch, frames, -1), there)
        x = x.reshape(batch, frames, joints, -1)
        for i, factor in enumerate(STAGES):
            features, stride = self.width * factor, 1 + (i > 0 and factor > STAGES[i - 1])
            y = GraphConv(features, self.parents, self.train, name=f"graph{i}")(x, there)
            y = TimeConv(features, stride, self.train, name=f"time{i}")(y, there)
            if i and (x.shape[-1], stride) == (features, 1):
                y = y + x
            elif i:
                x = dense(features, name=f"down{i}")(x[:, ::stride])
                y = y + SeenNorm(self.train, name=f"down{i}_norm")(x, there)
            x = nn.relu(y)
        x = nn.Dropout(self.dropout, deterministic=not self.train)(x.mean((1, 2)))
        return dense(self.num_classes, name="linear")(x)


class STGCN(nn.Module):
    """People over time -> logits, the mean of the streams'.

    Attributes:
      num_classes: outputs.
      parents: of each joint; see `layers`.
      streams: which of `STREAMS`, a network of its own each.
      width: channels of the first blocks, 64 as published.
      dropout: in front of the last layer.
    """

    num_classes: int
    parents: tuple
    streams: tuple = STREAMS
    width: int = 64
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "B T P J 3"], train: bool = False
    ) -> Float[Array, "B {self.num_classes}"]:
        if not self.streams or set(self.streams) - set(STREAMS):
            raise UserError(
                f"config.model.streams={tuple(self.streams)}; choose of {', '.join(STREAMS)}"
            )
        places, seen = split_people(x)
        there = seen.max((1, 2, 3))
        logits = []
        for stream in self.streams:
            values, known = places, seen
            if stream.startswith("bone"):
                values, known = find_bones(values, known, self.parents)
            if stream.endswith("motion"):
                values, known = find_motion(values, known)
            values = jnp.concatenate([values, known], -1)
            trunk = Trunk(
                self.num_classes, tuple(self.parents), self.width, self.dropout, train, name=stream
            )
            logits.append(trunk(values, there))
        return join_people(sum(logits) / len(logits), seen, x.shape[2])
