"""Reads sampled frames of a clip and cuts them out: what a network eats, on the host.

One square crop, flip and change of colours hold for all that is read of a clip. Several evaluation
views of one are stacked along a leading axis.

    rgb     uint8 [T, S, S, 3]
    flow    uint8 [T', S, S, 2], (x, y) in pixels of the crop; 0..255 stand for -bound..bound
    people  float32 [T, P, J, 3], (x, y, visibility) in pixels of the crop

A frame before a gap, and the last, has no flow: the nearest frame's that has stands in. A frame
without keypoint file shows nobody. Large JPEGs are decoded at a fraction of their size.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from danceflax.data.clips import nearest, sample_frames
from danceflax.data.flow import compute_flow
from danceflax.data.frames import find_keypoints
from danceflax.data.keypoint_files import read_keypoints
from danceflax.data.sources import Fields
from danceflax.errors import BadSampleError, UserError
from danceflax.io.flow_files import encode_flow, read_flow
from danceflax.io.images import find_image, read_image
from danceflax.people import keypoint_boxes, resize_affine, transform_people
from danceflax.pose.appearance import random_colours
from danceflax.skeleton import Skeleton, convert_joints

FLOW_FILES = "files"  # the flow source that reads what prepare_data.py flow wrote
CROPS = {1: (0.5,), 3: (0.0, 0.5, 1.0)}  # evaluation crops: places along the longer side


class View(NamedTuple):
    """What is cut out of a clip.

    Attributes:
      frames: positions in the record's frames.
      share: side of the square crop / shorter side of the frame.
      place: (x, y) in 0..1, where the crop lies between the edges.
      mirrored: left to right.
      colours: an affine map of RGB, or None.
    """

    frames: Int[np.ndarray, " T"]
    share: float
    place: tuple[float, float] | Float[np.ndarray, "2"]
    mirrored: bool = False
    colours: Float[np.ndarray, "3 4"] | None = None

    def box(self, size: tuple[int, int]) -> tuple[int, int, int]:
        """(x0, y0, side) of the crop in a picture of (height, width)."""
        return crop_box(size, self.share, self.place)


def augment_clip(
    record: dict[str, Any],
    rng: np.random.Generator,
    *,
    needs: Sequence[str],
    clip: Fields,
    augment: Fields,
    flow: Fields | None,
    pose: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """A random clip of a record, for training: a random window, crop, flip and colours.

    Args:
      record: of a `ClipSource`.
      rng: the only source of chance.
      needs: which of "rgb", "flow", "people" to read.
      clip: `config.clip`; see configs/classifier_base.py, as for the next two.
      augment: `config.augment`.
      flow: `config.streams.flow`.
      pose: {"skeleton": a `Skeleton`, "max_people": P}, where people are needed.

    Returns:
      The arrays above and label int32 [], weight float32 [].

    Raises:
      BadSampleError: a file cannot be read.
    """
    indices = _sample(record, clip, rng=rng)
    share, place = rng.uniform(*augment["crop"]), rng.random(2)
    mirrored = rng.random() < augment["flip"]
    colours = _random_colours(rng, augment["colour"])
    view = View(indices[0], share, place, mirrored, colours)
    return _stack(record, [view], needs, clip["size"], flow, pose, squeeze=True)


def read_views(
    record: dict[str, Any],
    *,
    needs: Sequence[str],
    clip: Fields,
    views: Fields,
    flow: Fields | None,
    pose: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The evaluation views of a record: `clips` windows x `crops` crops, [V, T, ...].

    Arguments as for `augment_clip`, without chance; `views` holds clips, crops and crop of
    `config.eval`.
    """
    if views["crops"] not in CROPS:
        raise UserError(f"config.eval.crops={views['crops']}; choose 1 or 3")
    made = [
        View(window, views["crop"], (place, place))
        for window in _sample(record, clip, clips=views["clips"])
        for place in CROPS[views["crops"]]
    ]
    return _stack(record, made, needs, clip["size"], flow, pose)


def crop_box(
    size: tuple[int, int], share: float, place: tuple[float, float] | Float[np.ndarray, "2"]
) -> tuple[int, int, int]:
    """(x0, y0, side) in whole pixels of the square crop in a picture of (height, width).

    Its side is `share` of the shorter side; `place` (x, y) in 0..1 says where between the edges.
    """
    height, width = size
    side = max(1, round(share * min(height, width)))
    return round(place[0] * (width - side)), round(place[1] * (height - side)), side


def cut(
    image: Shaped[np.ndarray, "H W C"], box: tuple[int, int, int], size: int
) -> Shaped[np.ndarray, "{size} {size} C"]:
    """The box of an image, resized."""
    x0, y0, side = box
    image = image[y0 : y0 + side, x0 : x0 + side]
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return image if side == size else cv2.resize(image, (size, size), interpolation=method)


def cut_flow(
    flow: Float[np.ndarray, "h w 2"], box: tuple[int, int, int], size: int
) -> Float[np.ndarray, "{size} {size} 2"]:
    """The box of a flow, resized; its vectors are then in the new pixels."""
    return cut(flow, box, size) * np.float32(size / box[2])


def mirror_flow(encoded: UInt8[np.ndarray, "*any W 2"]) -> UInt8[np.ndarray, "*any W 2"]:
    """The encoded flow of the mirrored clip: what went right goes left."""
    mirrored = encoded[..., ::-1, :].copy()
    mirrored[..., 0] = 255 - mirrored[..., 0]
    return mirrored


def place_people(
    people: Float[np.ndarray, "*any J 3"],
    box: tuple[int, int, int],
    size: int,
    mirrored: bool,
    skeleton: Skeleton,
) -> Float[np.ndarray, "*any J 3"]:
    """Keypoints in the pixels of the crop; absent joints stay (0, 0, 0)."""
    x0, y0, side = box
    affine = resize_affine((side, side), (size, size))
    affine[:, 2] -= affine[:, :2] @ (x0, y0)
    if mirrored:
        affine = np.array([[-1, 0], [0, 1]]) @ affine + [[0, 0, size - 1], [0, 0, 0]]
        people = people[..., skeleton.flip, :]
    return transform_people(people, affine)


def _sample(record, clip, **how):
    options = {key: clip[key] for key in ("fps", "stride", "sampling")}
    return sample_frames(record["numbers"], record["fps"], length=clip["frames"], **options, **how)


def _stack(record, views, needs, size, flow, pose, squeeze=False):
    """Reads every file of the views once, makes the views, and stacks them."""
    shared = {"rgb", "flow"}.issubset(needs) and flow["source"] != FLOW_FILES
    read = _Files(record, keep=None if shared or len(views) > 1 else 2)
    made = [{name: READERS[name](read, view, size, flow, pose) for name in needs} for view in views]
    item = {name: np.stack([view[name] for view in made]) for name in needs}
    item = {name: value[0] for name, value in item.items()} if squeeze else item
    return item | {"label": np.int32(record["label"]), "weight": np.float32(1.0)}


class _Files:
    """The files of one record, which are not read again soon.

    Args:
      record: of a `ClipSource`.
      keep: how many stay in memory, where few are asked for again; None: all.
    """

    def __init__(self, record: dict[str, Any], keep: int | None = None):
        self.record, self._most, self._kept = record, keep, {}

    def image(self, i: int | np.integer, least_side: int) -> UInt8[np.ndarray, "H W 3"]:
        return self._keep("rgb", i, lambda i: self._image(i, least_side))

    def flow(self, i: int | np.integer) -> Float[np.ndarray, "h w 2"]:
        return self._keep("flow", i, self._flow)

    def people(self, i: int | np.integer, pose: Mapping[str, Any]) -> Float[np.ndarray, "P J 3"]:
        return self._keep("people", i, lambda i: self._people(i, pose))

    def frame_size(self) -> tuple[int, int]:
        """(height, width) of the clip's frames, by its first one."""
        return self._keep("size", 0, lambda i: self._image(i).shape[:2])

    def indices_with_flow(self) -> Int[np.ndarray, " n"]:
        return np.flatnonzero(np.diff(self.record["numbers"]) == 1)

    def _keep(self, kind, i, make):
        if (kind, i) not in self._kept:
            if len(self._kept) == self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[kind, i] = make(i)
        return self._kept[kind, i]

    def _image(self, i, least_side=0):
        if "images" in self.record:  # a clip that is not on disk
            return self.record["images"][i]
        stem = f"{self.record['folders']['rgb']}/{self.record['files'][i]}"
        path = find_image(stem + self.record["suffix"])
        return read_image(path, f"{path} (of {self.record['where']})", least_side)

    def _flow(self, i):
        path = f"{self.record['folders']['flow']}/{self.record['files'][i]}.png"
        try:
            return read_flow(path)
        except UserError as error:
            raise BadSampleError(f"{error} (of {self.record['where']})") from None

    def _people(self, i, pose):
        """People of a frame, the largest first; nobody where there is no file."""
        skeleton, limit = pose["skeleton"], pose["max_people"]
        if "keypoint_files" in self.record:  # a clip that is not on disk
            path = self.record["keypoint_files"][i]
        else:
            folder, file = self.record["folders"]["keypoints"], self.record["files"][i]
            path = find_keypoints(folder, file + ".jpg")
        people = np.zeros((0, skeleton.num_joints, 3), np.float32)
        if os.path.exists(path):
            people = convert_joints(*read_keypoints(path), skeleton.joints)[0]
        if "keypoint_affine" in self.record:  # of frames that were shrunk
            people = transform_people(people, self.record["keypoint_affine"])
        heights = keypoint_boxes(people)[:, 3]
        people = people[np.argsort(-heights, kind="stable")][:limit]
        padded = np.zeros((limit, skeleton.num_joints, 3), np.float32)
        padded[: len(people)] = people
        return padded


def _read_rgb(files, view, size, flow, pose):
    frames = np.stack([_cut_frame(files, i, view, size) for i in view.frames])
    frames = frames[:, :, ::-1] if view.mirrored else frames
    if view.colours is not None:
        frames = cv2.transform(frames.reshape(-1, size, 3), view.colours).reshape(frames.shape)
    return frames


def _read_flow(files, view, size, flow, pose):
    """Flow of every k-th frame to the frame after it."""
    there = files.indices_with_flow()
    if not len(there):
        raise BadSampleError(f"{files.record['where']}: no two frames follow each other: no flow")
    result = []
    for i in there[nearest(there, view.frames[:: flow["every"]])]:
        if flow["source"] == FLOW_FILES:
            whole = files.flow(i)
            vectors = cut_flow(whole, view.box(whole.shape[:2]), size)
        else:
            pair = (_cut_frame(files, j, view, size) for j in (i, i + 1))
            pair = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pair)
            vectors = compute_flow(*pair, flow["source"])
        result.append(vectors)
    encoded = encode_flow(np.stack(result), flow["bound"])
    return mirror_flow(encoded) if view.mirrored else encoded


def _read_people(files, view, size, flow, pose):
    box = view.box(files.frame_size())
    people = np.stack([files.people(i, pose) for i in view.frames])
    return place_people(people, box, size, view.mirrored, pose["skeleton"])


READERS = {"rgb": _read_rgb, "flow": _read_flow, "people": _read_people}


def _cut_frame(files, i, view, size):
    image = files.image(i, int(np.ceil(size / view.share)))
    return cut(image, view.box(image.shape[:2]), size)


def _random_colours(rng, strengths):
    """[3, 4] of one affine map of colours; None if all strengths are 0."""
    if not any(strengths):
        return None
    return np.column_stack(random_colours(rng, *strengths)).astype(np.float32)
