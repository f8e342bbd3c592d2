"""From frames to people: network, flip and multi-scale averaging, decoding; frames of any size."""

import collections

import jax
import jax.numpy as jnp
import numpy as np

from danceflax.errors import UserError
from danceflax.io.images import as_pixels
from danceflax.models.normalisation import on_images
from danceflax.models.openpose import STRIDE
from danceflax.people import transform_people
from danceflax.pose.augment import fit_image
from danceflax.pose.decode import make_decoder
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
      **decode: options of `make_decoder`, over those of the training.

    Attributes:
      skeleton: the `Skeleton` of the people it finds.

    Raises:
      UserError: an argument is out of range.
    """

    def __init__(
        self,
        model,
        variables,
        config,
        *,
        height=None,
        batch_size=None,
        flip=False,
        scales=(1.0,),
        **decode,
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
        )
        self._estimate = devices.map_inference(estimate)
        self._variables = devices.replicate(variables)

    def __call__(self, image):
        """(people [P, J, 3] (x, y, score) in pixels, scores [P]), best first, of an image: an array
        (uint8, or floats in 0..1), a picture of PIL or a path, see `as_pixels`."""
        (_, _, people, scores), *_ = self.stream([(None, image)])
        return people, scores

    def stream(self, frames):
        """People on each of a stream of frames, in order; many at a time go to the devices.

        Args:
          frames: iterable of (anything, frame), a frame as for `__call__`. Frames of several shapes
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


def network_size(frame, height):
    """(height, width) of the network's input for a frame [H, W, 3]: the aspect is kept.

    The published rule: a fixed height, the width in proportion, at most 16 / 9 of the height.
    """
    width = height * frame.shape[1] / frame.shape[0]
    width = min(width, height * MAX_RATIO)
    return height, max(STRIDE, -(-round(width) // WIDTH_STEP) * WIDTH_STEP)


def make_estimator(apply, skeleton, decode, *, stride=8, flip=False, scales=(1.0,)):
    """Builds the function that finds people.

    Args:
      apply: (variables, images [B, H, W, 3] float 0..255) -> the network's `Maps`.
      skeleton: of the network.
      decode: from `make_decoder`.
      stride: input pixels a map cell.
      flip: average with the maps of the mirrored image.
      scales: average over the image at these sizes; 1.0 is the size it comes in.

    Returns:
      estimate(variables, images uint8 [B, H, W, 3]) -> (people [B, P, J, 3] (x, y, score) in pixels
      of `images`, scores [B, P]). Not jitted: it runs inside the caller's.
    """

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

    def estimate(variables, images):
        images = images.astype(jnp.float32)
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

    return estimate


def flip_maps(heatmaps, pafs, skeleton):
    """Mirrors maps left to right and swaps what is left and right in them.

    Mirroring the people and mirroring the maps commute: `flip_maps` of what a network says of the
    mirrored image is what it should say of the image. It is its own inverse.

    Args:
      heatmaps: [..., h, w, J + 1], background last.
      pafs: [..., h, w, 2 L].
      skeleton: a `Skeleton` with J joints and L limbs.

    Returns:
      Heatmaps and PAFs of the same shapes.
    """
    joints = np.append(skeleton.flip, skeleton.num_joints)
    limb, sign = skeleton.limb_flip
    channels = np.stack([2 * limb, 2 * limb + 1], -1).ravel()
    signs = np.stack([-sign, sign], -1).ravel()
    heatmaps = jnp.flip(heatmaps, -2)[..., joints]
    return heatmaps, jnp.flip(pafs, -2)[..., channels] * signs.astype(pafs.dtype)
