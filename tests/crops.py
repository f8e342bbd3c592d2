"""Records and crops of them, for the tests of augmentation."""

import functools

import numpy as np

from danceflax.pose.augment import GREY, augment
from danceflax.skeleton import COCO18

SIZE, STRIDE = (368, 368), 8
PLAIN = (0.0, 0.0, 0.0, 0.0)  # no change of colours
crop = functools.partial(augment, skeleton=COCO18, size=SIZE, stride=STRIDE, max_people=4)


def make_record(image, people, mask=None, main=-1):
    people = np.asarray(people, np.float32)
    present = np.where(people[..., 2:] > 0, people[..., :2], np.nan)
    low, high = np.nanmin(present, 1), np.nanmax(present, 1)
    return dict(
        image=image,
        people=people,
        boxes=np.concatenate([low, high - low], -1).astype(np.float32),
        mask=mask,
        labelled=np.ones(people.shape[1], bool),
        main=main,
        name="a.jpg",
    )


def random_person(rng, height, width, extent):
    person = np.full((18, 3), 2.0)
    person[:, :2] = (width / 2, height / 2) + rng.uniform(-extent / 2, extent / 2, (18, 2))
    return person


def draw_dot(size, xy, radius):
    """A smooth dot on grey, without OpenCV: brightness falls with the distance from xy."""
    y, x = np.mgrid[: size[0], : size[1]]
    dot = np.exp(-((x - xy[0]) ** 2 + (y - xy[1]) ** 2) / (2 * radius**2))
    return np.repeat((GREY + 120 * dot).round().astype(np.uint8)[..., None], 3, -1)


def find_dot(image):
    weight = np.clip(image[..., 0].astype(float) - GREY - 3, 0, None)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
