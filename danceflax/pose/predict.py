"""A trained pose network, ready for frames of any size."""

import itertools

import jax
import numpy as np

from danceflax.errors import UserError
from danceflax.models.normalisation import on_images
from danceflax.models.openpose import STRIDE
from danceflax.pose.augment import letterbox, transform_people
from danceflax.pose.decode import make_decoder
from danceflax.pose.inference import make_estimator
from danceflax.skeleton import Skeleton
from danceflax.training import devices

# The network's width is rounded up to a multiple of this, so that pictures of similar shape share
# one compilation, and limited to this many times the height.
WIDTH_STEP, MAX_RATIO = 64, 16 / 9
HEIGHT = 368  # of the published networks


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
        """(people [P, J, 3] (x, y, score) in pixels, scores [P]), best first, of an RGB image."""
        (_, _, people, scores), *_ = self.stream([(None, image)])
        return people, scores

    def stream(self, frames):
        """People on each of a stream of frames, in order; many at a time go to the devices.

        Args:
          frames: iterable of (anything, frame uint8 [H, W, 3] RGB).

        Yields:
          (anything, frame, people [P, J, 3] in the frame's pixels, scores [P]), best first.
        """
        sized = ((key, frame, network_size(frame, self.height)) for key, frame in frames)
        for size, group in itertools.groupby(sized, key=lambda item: item[2]):
            group = ((key, frame) for key, frame, _ in group)
            while chunk := list(itertools.islice(group, self.batch_size)):
                items = [
                    letterbox(make_record(frame), size=size, stride=STRIDE, max_people=1)
                    for _, frame in chunk
                ]
                images = np.stack([item["image"] for item in items])
                filler = np.zeros((self.batch_size - len(images), *images.shape[1:]), np.uint8)
                images = np.concatenate([images, filler])
                people, scores = self._estimate(self._variables, images)
                for n, (key, frame) in enumerate(chunk):
                    found = scores[n] > 0
                    placed = transform_people(people[n][found], items[n]["to_image"])
                    yield key, frame, placed, scores[n][found]


def network_size(frame, height):
    """(height, width) of the network's input for a frame [H, W, 3]: the aspect is kept.

    The published rule: a fixed height, the width in proportion, at most 16 / 9 of the height.
    """
    width = height * frame.shape[1] / frame.shape[0]
    width = min(width, height * MAX_RATIO)
    return height, max(STRIDE, -(-round(width) // WIDTH_STEP) * WIDTH_STEP)


def make_record(frame):
    """A record of a frame of which nothing is known."""
    return {
        "image": frame,
        "people": np.zeros((0, 1, 3), np.float32),
        "boxes": np.zeros((0, 4), np.float32),
        "mask": None,
        "labelled": np.zeros(1, bool),
        "main": -1,
        "name": "",
    }
