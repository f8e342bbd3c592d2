"""From frames to people: network, flip and multi-scale averaging, decoding; frames of any size."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, UInt8

from danceflax.errors import UserError
from danceflax.io.images import as_pixels
from danceflax.io.pipeline import map_ahead, run_ahead
from danceflax.models.normalisation import on_images
from danceflax.models.openpose import STRIDE
from danceflax.models.registry import describe_network
from danceflax.people import transform_people
from danceflax.pose.augment import fit_image
from danceflax.pose.decode import make_decoder
from danceflax.pose.rotations import merge_people, turn_back
from danceflax.skeleton import Skeleton
from danceflax.training import devices

# The network's width is rounded up to a multiple of this, so that pictures of similar shape share
# one compilation, and limited to this many times the height.
WIDTH_STEP, MAX_RATIO = 32, 16 / 9
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
      checkpoint: the path that it was loaded from, if it was.

    Raises:
      UserError: an argument is out of range.
    """

    checkpoint = ""

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
        self._network = describe_network(model, variables)
        self._variables = devices.replicate(variables)

    def __repr__(self) -> str:
        return (
            f"PosePredictor({self.checkpoint!r}: {self._network}; {self.skeleton!r}; images "
            f"{self.height} pixels high)"
        )

    def __call__(self, image: Any) -> tuple[Float[np.ndarray, "P J 3"], Float[np.ndarray, " P"]]:
        """The people (x, y, score) in pixels and their scores, best first, of an image: an array
        (uint8, or floats in 0..1), a picture of PIL or a path, see `as_pixels`."""
        item = self._fit((None, image))
        people, scores = self._estimate(self._variables, self._stack([item]))
        return _place(people[0], scores[0], item)

    def stream(self, frames: Iterable[tuple[Any, Any]]) -> Iterator[tuple]:
        """People on each of a stream of frames, in order; many at a time go to the devices.

        Frames are read and fitted in threads, while the devices are busy with those before them.

        Args:
          frames: pairs (anything, frame), a frame as for `__call__`. Frames of several shapes
            may come in any order: AHEAD batches are looked at to fill one.

        Yields:
          (anything, frame uint8 [H, W, 3], people [P, J, 3] in its pixels, scores [P]), best first.
        """
        fitted = map_ahead(self._fit, run_ahead(frames, self.batch_size))
        return self._find(run_ahead(fitted, self.batch_size))

    def _fit(self, pair):
        key, frame = pair[0], as_pixels(pair[1])
        return Fitted(key, frame, *fit_image(frame, network_size(frame, self.height)))

    def _find(self, items):
        """What `stream` yields, of each `Fitted`."""

        def find(group):
            found = self._estimate(self._variables, self._stack([item for _, item in group]))
            return group, found

        done, shown = {}, 0
        # Two batches at once: a device has always work, and a processor's cores wait less, as none
        # has its part in every operation.
        for group, found in map_ahead(find, group_alike(items, self.batch_size), threads=2):
            for (number, item), people, scores in zip(group, *found, strict=False):
                done[number] = item.key, item.frame, *_place(people, scores, item)
            while shown in done:
                yield done.pop(shown)
                shown += 1

    def _stack(self, items):
        images = np.stack([item.image for item in items])
        filler = np.zeros((self.batch_size - len(images), *images.shape[1:]), np.uint8)
        return np.concatenate([images, filler])


class Fitted(NamedTuple):
    """A frame, its image of the network's size, and the map [2, 3] back to its pixels."""

    key: Any
    frame: UInt8[np.ndarray, "H W 3"]
    image: UInt8[np.ndarray, "h w 3"]
    affine: Float[np.ndarray, "2 3"]


def _place(people, scores, item):
    """Those of the network's people who exist, in the pixels of the frame, and their scores."""
    return transform_people(people[scores > 0], item.affine), scores[scores > 0]


def group_alike(items: Iterable[Fitted], size: int) -> Iterator[list[tuple[int, Fitted]]]:
    """Groups of up to `size` (number, item) with images of one shape, of items in any order; none
    waits for longer than AHEAD groups."""
    alike = {}
    for number, item in enumerate(items):
        group = alike.setdefault(item.image.shape, [])
        group.append((number, item))
        oldest = min(alike.values(), key=lambda group: group[0][0])
        if len(group) == size:
            yield alike.pop(item.image.shape)
        elif number - oldest[0][0] >= AHEAD * size - 1:
            yield alike.pop(oldest[0][1].image.shape)
    yield from alike.values()


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
