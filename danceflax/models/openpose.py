"""The two OpenPose networks: images to part affinity fields (PAFs) and heatmaps of every stage.

`OpenPoseCOCO` is the older network (Cao et al., CVPR 2017): two branches refine PAFs and heatmaps
side by side. `OpenPoseBody25` is the newer one (Cao et al., TPAMI 2019): PAF stages first, then
heatmap stages that see the PAFs.

Both work at stride 8. Parameters fall into three groups by their module's name: `feature`,
`paf_stage*` and `heatmap_stage*`. Inside, layers keep the short form of their Caffe names
(`conv4_2`, `conv6`, ...) and the last is called `output`; the weight converter maps them.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from danceflax.errors import UserError
from danceflax.models.conv2d import conv
from danceflax.models.layers import PReLU, max_pool_2x2

STRIDE = 8
ACTIVATIONS = {"none": lambda x: x, "relu": nn.relu, "sigmoid": nn.sigmoid, "tanh": nn.tanh}

# VGG-19 up to conv4_2: channels of each 3x3 convolution between the 2x2 max-pools.
VGG_BLOCKS = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512))
ADAPTERS = (("conv4_3_cpm", 256), ("conv4_4_cpm", 128))


class Maps(NamedTuple):
    """What a network returns. h = H / 8, w = W / 8.

    pafs: one [B, h, w, 2 L] array a PAF stage, the last is the prediction.
    heatmaps: one [B, h, w, J + 1] array a heatmap stage, background last; maybe none.
    features: [B, h, w, 128 * width], what the stages read.
    """

    pafs: list
    heatmaps: list
    features: jax.Array


def _scaled(channels, width):
    return max(1, round(channels * width))


class Features(nn.Module):
    """VGG-19 to conv4_2 and two 3x3 adapters: 128 * width channels.

    With `prelu` the activations from conv4_2 on are PReLUs, as in the newer network.
    """

    width: float = 1.0
    prelu: bool = False
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W 3"]) -> Float[Array, "B H//8 W//8 C"]:
        def layer(module, x, name, channels):
            x = conv(_scaled(channels, module.width), 3, name, module.dtype)(x)
            prelu = module.prelu and name >= "conv4_2"
            return PReLU(name=name.replace("conv", "prelu"))(x) if prelu else nn.relu(x)

        def run_block(module, x, block):
            x = max_pool_2x2(x) if block > 1 else x
            for i, channels in enumerate(VGG_BLOCKS[block - 1], 1):
                x = layer(module, x, f"conv{block}_{i}", channels)
            return x

        run_block = nn.remat(run_block, static_argnums=2) if self.remat else run_block
        for block in range(1, len(VGG_BLOCKS) + 1):
            x = run_block(self, x, block)
        for name, channels in ADAPTERS:
            x = layer(self, x, name, channels)
        return x


class FirstStage(nn.Module):
    """Stage 1 of the older network's branches: three 3x3, then two 1x1 convolutions."""

    out: int
    width: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w {self.out}"]:
        for i, (channels, size) in enumerate(((128, 3), (128, 3), (128, 3), (512, 1)), 1):
            x = nn.relu(conv(_scaled(channels, self.width), size, f"conv{i}", self.dtype)(x))
        return conv(self.out, 1, "output", self.dtype)(x)


class RefinementStage(nn.Module):
    """Stages 2 and up of the older network's branches: five 7x7, then two 1x1 convolutions."""

    out: int
    width: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w {self.out}"]:
        for i, size in enumerate((7, 7, 7, 7, 7, 1), 1):
            x = nn.relu(conv(_scaled(128, self.width), size, f"conv{i}", self.dtype)(x))
        return conv(self.out, 1, "output", self.dtype)(x)


class Norm(NamedTuple):
    """Batch norm between a convolution and its PReLU, in the newer network.

    on: whether there is any.
    train: batch statistics, and the running ones updated; else the running ones.
    decay: of the running statistics.
    """

    on: bool = False
    train: bool = False
    decay: float = 0.9

    def apply(self, x: Float[Array, "B h w C"], name: str) -> Float[Array, "B h w C"]:
        if not self.on:
            return x
        norm = nn.BatchNorm(not self.train, momentum=self.decay, dtype=x.dtype, name=name)
        return norm(x)


class DenseBlock(nn.Module):
    """Three 3x3 convolutions, their outputs concatenated: a 7x7 field for less work."""

    channels: int
    norm: Norm = Norm()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w 3*{self.channels}"]:
        outputs = []
        for i in range(3):
            x = conv(self.channels, 3, f"conv{i}", self.dtype)(x)
            x = PReLU(name=f"prelu{i}")(self.norm.apply(x, f"bn{i}"))
            outputs.append(x)
        return jnp.concatenate(outputs, -1)


class DenseStage(nn.Module):
    """A stage of the newer network: five dense blocks, then two 1x1 convolutions.

    The first stage of a kind is narrower.
    """

    out: int
    first: bool
    activation: str = "none"
    width: float = 1.0
    norm: Norm = Norm()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w {self.out}"]:
        block, hidden = (96, 256) if self.first else (128, 512)
        for i in range(1, 6):
            x = DenseBlock(_scaled(block, self.width), self.norm, self.dtype, name=f"block{i}")(x)
        x = conv(_scaled(hidden, self.width), 1, "conv6", self.dtype)(x)
        x = PReLU(name="prelu6")(self.norm.apply(x, "bn6"))
        return ACTIVATIONS[self.activation](conv(self.out, 1, "output", self.dtype)(x))


class OpenPoseCOCO(nn.Module):
    """The older network; H and W are multiples of 8.

    Attributes:
      num_pafs, num_heatmaps: output channels, from the skeleton.
      stages: 1 first stage and `stages - 1` refinements, for each branch; fewer than a checkpoint
        has cut its network after that many.
      width: multiplies every hidden channel count.
      remat: recompute each stage's and VGG block's activations in the backward pass: less memory
        on a GPU or TPU (benchmarks/bench_memory.py), for one more forward pass.
      dtype: compute type; parameters and the returned maps stay float32.
    """

    num_pafs: int = 38
    num_heatmaps: int = 19
    stages: int = 6
    width: float = 1.0
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "B H W 3"], train: bool | Collection[str] = False
    ) -> Maps:
        """`train` changes nothing here."""
        features = Features(self.width, remat=self.remat, dtype=self.dtype, name="feature")(
            images.astype(self.dtype)
        )
        pafs, heatmaps, x = [], [], features
        for stage in range(1, self.stages + 1):
            kind = FirstStage if stage == 1 else RefinementStage
            kind = nn.remat(kind) if self.remat else kind
            paf = kind(self.num_pafs, self.width, self.dtype, name=f"paf_stage{stage}")(x)
            heatmap = kind(self.num_heatmaps, self.width, self.dtype, name=f"heatmap_stage{stage}")(
                x
            )
            x = jnp.concatenate([paf, heatmap, features], -1)
            pafs.append(paf.astype(jnp.float32))
            heatmaps.append(heatmap.astype(jnp.float32))
        return Maps(pafs, heatmaps, features)


class OpenPoseBody25(nn.Module):
    """The newer network; H and W are multiples of 8.

    Attributes:
      num_pafs, num_heatmaps: output channels, from the skeleton.
      paf_stages, heatmap_stages: how many stages refine each; the heatmap stages follow and see the
        last PAFs. Without heatmap stages the network gives PAFs alone.
      stop_heatmap_gradient: keep the heatmap loss from moving the PAF stages.
      paf_activation, heatmap_activation: of every stage's output: none, relu, sigmoid, tanh.
      batch_norm: in the stages, between each convolution but the last and its PReLU.
      bn_decay: of its running statistics.
      width, remat, dtype: as for `OpenPoseCOCO`.
    """

    num_pafs: int = 52
    num_heatmaps: int = 26
    paf_stages: int = 4
    heatmap_stages: int = 2
    stop_heatmap_gradient: bool = False
    paf_activation: str = "none"
    heatmap_activation: str = "none"
    batch_norm: bool = False
    bn_decay: float = 0.9
    width: float = 1.0
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "B H W 3"], train: bool | Collection[str] = False
    ) -> Maps:
        """`train`: batch norm uses the batch's statistics; of these stages, if it names any.

        Raises:
          UserError: an activation is not known, or there is no PAF stage.
        """
        self._check()
        stage = nn.remat(DenseStage) if self.remat else DenseStage
        features = Features(
            self.width, prelu=True, remat=self.remat, dtype=self.dtype, name="feature"
        )(images.astype(self.dtype))
        pafs, x = [], features

        def refine(kind, i, x):
            channels, activation = (
                getattr(self, f"num_{kind}s"),
                getattr(self, f"{kind}_activation"),
            )
            name = f"{kind}_stage{i}"
            trains = train if isinstance(train, bool) else name in train
            norm = Norm(self.batch_norm, trains, self.bn_decay)
            return stage(channels, i == 0, activation, self.width, norm, self.dtype, name=name)(x)

        for i in range(self.paf_stages):
            paf = refine("paf", i, x)
            x = jnp.concatenate([features, paf], -1)
            pafs.append(paf.astype(jnp.float32))
        if self.stop_heatmap_gradient:
            paf = jax.lax.stop_gradient(paf)
        heatmaps, x = [], jnp.concatenate([features, paf], -1)
        for i in range(self.heatmap_stages):
            heatmap = refine("heatmap", i, x)
            x = jnp.concatenate([features, heatmap, paf], -1)
            heatmaps.append(heatmap.astype(jnp.float32))
        return Maps(pafs, heatmaps, features)

    def _check(self):
        for key in ("paf_activation", "heatmap_activation"):
            if getattr(self, key) not in ACTIVATIONS:
                raise UserError(
                    f"config.model.{key}={getattr(self, key)!r}; choose {', '.join(ACTIVATIONS)}"
                )
        if self.paf_stages < 1:
            raise UserError(f"config.model.paf_stages={self.paf_stages}; expected at least 1")
