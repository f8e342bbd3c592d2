import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import letsdance_json, make_root, write_split

from danceflax.data.loader import make_loader
from danceflax.data.sources import open_source
from danceflax.data.tfds import open_set
from danceflax.errors import BadSampleError, UserError
from danceflax.pose.augment import augment
from danceflax.prepare import tfds
from danceflax.skeleton import BODY25, COCO18


class Config(dict):
    __getattr__ = dict.__getitem__


def make_set(root):
    """A root of two dances with frames without people, and a split that is not sorted."""
    names = make_root(root, num_frames=9, people=2)
    names += make_root(root, num_frames=4, people=1, dance="cha", seed=1)
    (root / "keypoints" / names[3]).with_suffix(".json").write_text("[]")
    order = np.random.default_rng(0).permutation(len(names))
    write_split(root / "pose_training_split" / "train.csv", [names[i] for i in order[:8]])
    write_split(root / "pose_training_split" / "val.csv", [names[i] for i in order[8:]])
    return names


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    make_set(root)
    tfds.build(str(root))
    return root


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("skeleton", [COCO18, BODY25], ids=lambda s: s.name)
def test_records_are_those_of_the_folder(split, skeleton, root):
    folder, records = (
        open_source(Config(source=source, root=str(root)), split, skeleton)
        for source in ("folder", "tfds")
    )
    assert len(folder) == len(records) > 3
    for i in range(len(folder)):
        expected, record = folder[i], records[i]
        assert expected.keys() == record.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(record[key], value)
            assert getattr(record[key], "dtype", None) == getattr(value, "dtype", None)


def test_batches_are_those_of_the_folder(root):
    def transform(record, rng):
        return augment(record, rng, skeleton=COCO18, size=(64, 64), stride=8, max_people=2)

    batches = [
        make_loader(
            open_source(Config(source=source, root=str(root)), "train", COCO18), transform, 4, 3
        )
        for source in ("folder", "tfds")
    ]
    for _ in range(5):
        (expected, names), (batch, other_names) = map(next, batches)
        assert names == other_names
        for key, value in expected.items():
            np.testing.assert_array_equal(batch[key], value)


def test_slices_and_all(root):
    config = Config(source="tfds", root=str(root))
    assert len(open_source(config, "all", COCO18)) == 13
    assert len(open_source(config, "train[:50%]", COCO18)) == 4
    with pytest.raises(UserError, match=r"no split 'tset'; there are train, val"):
        open_source(config, "tset", COCO18)


def test_faults(tmp_path):
    names = make_root(tmp_path, num_frames=3)
    with pytest.raises(UserError, match=r"build it: python prepare_data\.py tfds"):
        open_source(Config(source="tfds", root=str(tmp_path)), "train", COCO18)
    (tmp_path / "keypoints" / names[1]).with_suffix(".json").write_text(
        letsdance_json(np.full((1, 17, 2), np.nan))
    )
    with pytest.raises(UserError, match=r"_0001\.json: .*not a number.*more than 1%") as error:
        tfds.build(str(tmp_path))
    assert not isinstance(error.value, BadSampleError)
    assert not list(tmp_path.glob("tfds/pose_frames/*"))


KILLED = """
import os, signal, sys
from danceflax.prepare import tfds
decode, count = tfds.decode_image, 0
def decode_or_die(*args):
    global count
    count += 1
    if count == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(*args)
tfds.decode_image = decode_or_die
tfds.build(sys.argv[1])
"""

WITHOUT_TENSORFLOW = """
import sys
from danceflax.prepare.tfds import build
from danceflax.data.tfds import TfdsSource
from danceflax.skeleton import COCO18
build(sys.argv[1])
assert TfdsSource(sys.argv[1], "val", COCO18)[0]["image"].any()
assert "tensorflow" not in sys.modules
"""


def test_a_killed_build_starts_clean_and_no_tensorflow_is_imported(tmp_path):
    make_set(tmp_path)
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path])
    assert done.returncode < 0
    left = os.listdir(tmp_path / "tfds" / "pose_frames")
    assert left and all(name.startswith("incomplete") for name in left)
    with pytest.raises(UserError, match="there is no such set"):
        open_set(str(tmp_path), "train")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "tfds" / "pose_frames") == ["1.0.0"]


def test_a_built_set_stays_and_stands_alone(root, tmp_path):
    """The set is complete without the root; building again changes nothing."""
    before = {path: path.stat().st_mtime_ns for path in (root / "tfds").rglob("*")}
    tfds.build(str(root))
    assert before == {path: path.stat().st_mtime_ns for path in (root / "tfds").rglob("*")}
    shutil.copytree(root / "tfds", tmp_path / "sets")
    source = open_source(Config(source="tfds", root=str(tmp_path / "sets")), "train", COCO18)
    assert source[0]["image"].shape == (90, 160, 3)
