"""From frames to people: network, flip and multi-scale averaging, decoding; frames of any size."""

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, UInt8

from danceflax.errors import UserError
from danceflax.io.images import as_pixels
from danceflax.models.normalisation import on_images
from danceflax.models.openpose import STRIDE
from danceflax.people import transform_people
from danceflax.pose.augment import fit_image
from danceflax.pose.decode import make_decoder
from danceflax.pose.rotations import merge_people, turn_back
from danceflax.skeleton import Skeleton
from danceflax.training import devices

# The network's width is rounded up to a multiple of this, so that pictures of similar shape share
# one compilation, and limited to this many times the height.
WIDTH_STEP, MAX_RATIO = 64, 16 / 9
HEIGHT = 368  # of the published networks
AHEAD = 4  # batches of frames that are read to fill one with frames of one shape


class PosePredictor:
    """Finds the people on images, videos and streams of frames.

        predictor = danceflax.load_predictor("runs/a")
        people, scores = predictor(image)

    Args:
      model, variables, config: of `danceflax.load_checkpoint`, of a pose network.
      height: the network's input height in pixels; by default what it was evaluated at.
      batch_size: frames a step, over all devices; by default one each.
      flip: average with the mirrored image.
      scales: average over these sizes.
      rotations: look at the image turned by each of these angles, see `make_estimator`.
      **decode: options of `make_decoder`, over those of the training.

    Attributes:
      skeleton: the `Skeleton` of the people it finds.

    Raises:
      UserError: an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        variables: Mapping[str, Any],
        config: Mapping[str, Any],
        *,
        height: int | None = None,
        batch_size: int | None = None,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        rotations: Sequence[float] = (0,),
        **decode: Any,
    ):
        training = config.get("training", {})
        self.skeleton = Skeleton.from_dict(config["skeleton"])
        self.batch_size = batch_size or jax.device_count()
        devices.check_batch_size(self.batch_size, where="batch_size")
        self.height = height or training.get("eval", {}).get("size", [HEIGHT])[0]
        if self.height % STRIDE or self.height <= 0:
            raise UserError(f"height {self.height} is not a multiple of {STRIDE}")
        estimate = make_estimator(
            on_images(model, config["normalisation"]),
            self.skeleton,
            make_decoder(self.skeleton, stride=STRIDE, **training.get("decode", {}) | decode),
            stride=STRIDE,
            flip=flip,
            scales=scales,
            rotations=rotations,
        )
        self._estimate = devices.map_inference(estimate)
        self._variables = devices.replicate(variables)

    def __call__(self, image: Any) -> tuple[Float[np.ndarray, "P J 3"], Float[np.ndarray, " P"]]:
        """The people (x, y, score) in pixels and their scores, best first, of an image: an array
        (uint8, or floats in 0..1), a picture of PIL or a path, see `as_pixels`."""
        (_, _, people, scores), *_ = self.stream([(None, image)])
        return people, scores

    def stream(self, frames: Iterable[tuple[Any, Any]]) -> Iterator[tuple]:
        """People on each of a stream of frames, in order; many at a time go to the devices.

        Args:
          frames: pairs (anything, frame), a frame as for `__call__`. Frames of several shapes
            may come in any order: AHEAD batches are looked at to fill one.

        Yields:
          (anything, frame uint8 [H, W, 3], people [P, J, 3] in its pixels, scores [P]), best first.
        """
        waiting, alike = collections.deque(), collections.defaultdict(list)
        for key, frame in frames:
            frame = as_pixels(frame)
            item = {"key": key, "frame": frame, "size": network_size(frame, self.height)}
            waiting.append(item)
            alike[item["size"]].append(item)
            if len(alike[item["size"]]) == self.batch_size:
                self._find(alike.pop(item["size"]))
            elif len(waiting) >= AHEAD * self.batch_size and "people" not in waiting[0]:
                self._find(alike.pop(waiting[0]["size"]))
            while waiting and "people" in waiting[0]:
                done = waiting.popleft()
                yield done["key"], done["frame"], done["people"], done["scores"]
        for group in alike.values():
            self._find(group)
        for done in waiting:
            yield done["key"], done["frame"], done["people"], done["scores"]

    def _find(self, group):
        """Gives up to a batch of items of one size their people and scores."""
        fitted = [fit_image(item["frame"], item["size"]) for item in group]
        images = np.stack([image for image, _ in fitted])
        filler = np.zeros((self.batch_size - len(images), *images.shape[1:]), np.uint8)
        people, scores = self._estimate(self._variables, np.concatenate([images, filler]))
        for n, item in enumerate(group):
            found = scores[n] > 0
            item["people"] = transform_people(people[n][found], fitted[n][1])
            item["scores"] = scores[n][found]


def network_size(frame: UInt8[np.ndarray, "H W 3"], height: int) -> tuple[int, int]:
    """(height, width) of the network's input for a frame: the aspect is kept.

    The published rule: a fixed height, the width in proportion, at most 16 / 9 of the height.
    """
    width = height * frame.shape[1] / frame.shape[0]
    width = min(width, height * MAX_RATIO)
    return height, max(STRIDE, -(-round(width) // WIDTH_STEP) * WIDTH_STEP)


def make_estimator(
    apply: Callable,
    skeleton: Skeleton,
    decode: Callable,
    *,
    stride: int = 8,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    rotations: Sequence[float] = (0,),
) -> Callable:
    """Builds the function that finds people.

    Args:
      apply: (variables, images of 0..255) -> the network's `Maps`.
      decode: from `make_decoder`.
      stride: input pixels a map cell.
      flip: average with the maps of the mirrored image.
      scales: average over the image at these sizes; 1.0 is the size it comes in.
      rotations: find people on the image turned by each of these degrees, multiples of 90, as well;
        of those found several times the best stays. For dancers upside down, whom a network that
        knows upright people does not find.

    Raises:
      UserError: a rotation is no multiple of 90.

    Returns:
      estimate(variables, images) -> (people (x, y, score) in pixels of `images`, scores). Not
      jitted: it runs inside the caller's.
    """

    if not rotations or any(angle % 90 for angle in rotations):
        angles = ",".join(f"{angle:g}" for angle in rotations)
        raise UserError(f"rotations={angles}: expected multiples of 90, as in 0,90,180,270")
    turns = list(dict.fromkeys(int(angle // 90) % 4 for angle in rotations))

    def predict_maps(variables, images):
        maps = apply(variables, images)
        if not maps.heatmaps:
            raise UserError(
                "a network without heatmap stages finds nobody; it is for the pose stream of a "
                "classifier"
            )
        heatmaps, pafs = maps.heatmaps[-1], maps.pafs[-1]
        if flip:
            mirrored = apply(variables, images[:, :, ::-1])
            back = flip_maps(mirrored.heatmaps[-1], mirrored.pafs[-1], skeleton)
            heatmaps, pafs = (heatmaps + back[0]) / 2, (pafs + back[1]) / 2
        return heatmaps, pafs

    def find(variables, images):
        batch, height, width, _ = images.shape
        grid = (height // stride, width // stride)
        total = None
        for scale in scales:
            size = [max(stride, round(n * scale / stride) * stride) for n in (height, width)]
            scaled = images
            if tuple(size) != (height, width):
                scaled = jax.image.resize(images, (batch, *size, 3), "cubic")
            maps = [
                jax.image.resize(x, (batch, *grid, x.shape[-1]), "cubic")
                if x.shape[1:3] != grid
                else x
                for x in predict_maps(variables, scaled)
            ]
            total = maps if total is None else [a + b for a, b in zip(total, maps, strict=True)]
        return decode(*(x / len(scales) for x in total))

    def estimate(
        variables: Any, images: Num[Array, "B H W 3"]
    ) -> tuple[Float[Array, "B P J 3"], Float[Array, "B P"]]:
        images = images.astype(jnp.float32)
        shape = images.shape[1:3]
        found = []
        for turn in turns:
            people, scores = find(variables, jnp.rot90(images, turn, axes=(1, 2)))
            found.append((turn_back(people, turn, shape), scores))
        if len(found) == 1:
            return found[0]
        people, scores = (jnp.concatenate(parts, 1) for parts in zip(*found, strict=True))
        count = found[0][1].shape[1]
        views = np.repeat(np.arange(len(turns)), count)
        return merge_people(people, scores, views, skeleton.sigmas, count)

    return estimate


def flip_maps(
    heatmaps: Float[Array, "*n h w C"], pafs: Float[Array, "*n h w D"], skeleton: Skeleton
) -> tuple[Float[Array, "*n h w C"], Float[Array, "*n h w D"]]:
    """Mirrors maps left to right and swaps what is left and right in them.

    Mirroring the people and mirroring the maps commute: `flip_maps` of what a network says of the
    mirrored image is what it should say of the image. It is its own inverse.

    Args:
      heatmaps: background last.
    """
    joints = np.append(skeleton.flip, skeleton.num_joints)
    limb, sign = skeleton.limb_flip
    channels = np.stack([2 * limb, 2 * limb + 1], -1).ravel()
    signs = np.stack([-sign, sign], -1).ravel()
    heatmaps = jnp.flip(heatmaps, -2)[..., joints]
    return heatmaps, jnp.flip(pafs, -2)[..., channels] * signs.astype(pafs.dtype)
