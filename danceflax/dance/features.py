"""Features of frozen streams, computed once and kept on disk.

FOLDER/<key>/features.npy   float16 [N, V, t, h, w, C], V versions of each clip
FOLDER/<key>/clips.json     label, weight and name of each; written last: without it, there is none

The key digests whatever the features depend on, so that a cache is never believed for another
checkpoint, config or split.
"""

import hashlib
import json
import os
import pathlib
import shutil
import zlib

import numpy as np

from danceflax.errors import UserError


class FeatureSource:
    """Cached features as records {"features" [V, t, h, w, C], "label", "weight", "name"}."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self._clips = json.loads((self.folder / "clips.json").read_text())
        self._features = np.load(self.folder / "features.npy", mmap_mode="r")

    def __len__(self):
        return len(self._clips)

    def __repr__(self):
        return f"FeatureSource({self.folder})"

    def __getitem__(self, index):
        return self._clips[index] | {"features": self._features[index]}


def pick_version(record, rng):
    """The training item of a record: one of its versions."""
    return _item(record, record["features"][rng.integers(len(record["features"]))])


def all_versions(record):
    """The evaluation item of a record: all versions, to be averaged over."""
    return _item(record, record["features"])


def _item(record, features):
    return {
        "features": np.asarray(features, np.float32),
        "label": np.int32(record["label"]),
        "weight": np.float32(record["weight"]),
    }


def make_versions(augment, count, seed):
    """Builds transform(record) -> `count` training items, stacked; a function of (seed, name)."""

    def transform(record):
        name = zlib.crc32(record["name"].encode())
        made = [augment(record, np.random.default_rng([seed, name, v])) for v in range(count)]
        stacked = {
            key: np.stack([item[key] for item in made])
            for key in made[0]
            if key not in ("label", "weight")
        }
        return stacked | {key: made[0][key] for key in ("label", "weight")}

    return transform


def digest(settings, *trees):
    """A key of JSON-like settings and of trees {name: tree or array}."""
    sha = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())

    def add(tree):
        if isinstance(tree, dict):
            for name in sorted(tree):
                sha.update(name.encode())
                add(tree[name])
        else:
            sha.update(np.ascontiguousarray(tree).tobytes())

    for tree in trees:
        add(tree)
    return sha.hexdigest()[:16]


def write_features(folder, key, batches, compute, count):
    """Computes the features of all clips, unless they are there.

    Args:
      folder: of all caches.
      key: from `digest`.
      batches: () -> iterator of (batch [B, V, ...], names), padding with weight 0.
      compute: batch -> [B, V, t, h, w, C].
      count: N.

    Returns:
      A `FeatureSource` of the clips that could be read.

    Raises:
      UserError: the folder cannot be written to.
    """
    path = pathlib.Path(folder) / key
    if (path / "clips.json").exists():
        return FeatureSource(path)
    partial = path.with_name(f"{key}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        array, clips = None, []
        for batch, names in batches():
            features = compute(batch)
            if array is None:
                array = np.lib.format.open_memmap(
                    partial / "features.npy", "w+", np.float16, (count, *features.shape[1:])
                )
            for n, name in enumerate(names):
                if batch["weight"][n]:
                    array[len(clips)] = features[n]
                    label = int(batch["label"][n])
                    clips.append({"label": label, "weight": 1.0, "name": name})
        array.flush()
        (partial / "clips.json").write_text(json.dumps(clips))
        shutil.rmtree(path, ignore_errors=True)
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return FeatureSource(path)
