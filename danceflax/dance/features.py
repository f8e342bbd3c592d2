"""Features of frozen streams, computed once and kept on disk.

FOLDER/<key>/features.npy   float16 [N, V, t, h, w, C], V versions of each clip
FOLDER/<key>/clips.json     label, weight and name of each

The key digests whatever the features depend on, so that a cache is never believed for another
checkpoint, config or split. A training's own folder holds those that it reads, and no others.
"""

import functools
import hashlib
import json
import os
import pathlib
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from danceflax.dance.evaluate import over_views
from danceflax.dance.inputs import Classifier, make_augment, make_prepare, make_view
from danceflax.io.console import console
from danceflax.io.files import remove_leftovers, write_folder, write_json
from danceflax.models.streams import StreamClassifier
from danceflax.training import devices
from danceflax.training.task import Batches, Read


class FeatureSource:
    """Cached features as records {"features" [V, t, h, w, C], "label", "weight", "name"}."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder)
        self._clips = json.loads((self.folder / "clips.json").read_text())
        self._features = np.load(self.folder / "features.npy", mmap_mode="r")

    def __len__(self) -> int:
        return len(self._clips)

    def __repr__(self) -> str:
        return f"FeatureSource({self.folder})"

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._clips[index] | {"features": self._features[index]}


def pick_version(record: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The training item of a record: one of its versions."""
    return _item(record, record["features"][rng.integers(len(record["features"]))])


def all_versions(record: dict[str, Any]) -> dict[str, Any]:
    """The evaluation item of a record: all versions, to be averaged over."""
    return _item(record, record["features"])


def _item(record, features):
    return {
        "features": np.asarray(features, np.float32),
        "label": np.int32(record["label"]),
        "weight": np.float32(record["weight"]),
    }


def make_versions(augment: Callable, count: int, seed: int) -> Callable:
    """Builds transform(record) -> `count` training items, stacked; a function of (seed, name)."""

    def transform(record: dict[str, Any]) -> dict[str, Any]:
        name = zlib.crc32(record["name"].encode())
        made = [augment(record, np.random.default_rng([seed, name, v])) for v in range(count)]
        stacked = {
            key: np.stack([item[key] for item in made])
            for key in made[0]
            if key not in ("label", "weight")
        }
        return stacked | {key: made[0][key] for key in ("label", "weight")}

    return transform


def digest(settings: Any, *trees: Any) -> str:
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


def write_features(
    folder: str | os.PathLike,
    key: str,
    batches: Callable[[], Batches],
    compute: Callable,
    count: int,
) -> FeatureSource:
    """Computes the features of all clips, unless they are there.

    Args:
      folder: of all caches.
      key: from `digest`.
      batches: gives arrays of [B, V, ...], padding with weight 0.
      compute: batch -> [B, V, t, h, w, C].
      count: N.

    Returns:
      A source of the clips that could be read.

    Raises:
      UserError: the folder cannot be written to.
    """
    path = pathlib.Path(folder) / key
    remove_leftovers(folder)
    if (path / "clips.json").exists():
        return FeatureSource(path)
    with write_folder(path) as partial:
        array, clips = None, []
        for batch, names in batches():
            features = compute(batch)
            if array is None:
                array = _reserve(partial / "features.npy", (count, *features.shape[1:]))
            for n in np.flatnonzero(batch["weight"]):
                array[len(clips)] = features[n]
                label = int(batch["label"][n])
                clips.append({"label": label, "weight": 1.0, "name": names[n]})
        array.flush()
        write_json(partial / "clips.json", clips)
    return FeatureSource(path)


def _reserve(path, shape):
    """A new file of float16 as an array. Its room on the disk is taken at once: what is written
    later to an array that the disk cannot hold ends the process. Raises OSError: there is none."""
    array = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    with open(path, "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
    return array


def make_features(prepare: Callable, model: nn.Module) -> Callable:
    """Builds features(variables, batch of [B, V, ...]) -> the streams' features [B, V, ...]."""

    def features(
        variables: Mapping[str, Any], batch: Mapping[str, Array]
    ) -> Float[Array, "B V ..."]:
        def one_view(view):
            clips = prepare(variables["params"], view)
            return model.apply(variables, clips, method="features")

        return over_views(one_view, batch)

    return features


def is_cacheable(config: ConfigDict, classifier: Classifier, groups: Mapping | ConfigDict) -> bool:
    """Whether nothing in front of the head trains. Several processes do without the cache."""
    fixed = all(not group["train"] for name, group in groups.items() if name != "head")
    one = jax.process_count() == 1
    return bool(
        isinstance(classifier.model, StreamClassifier) and fixed and one and config.cache.views
    )


def cache_features(
    config: ConfigDict,
    classifier: Classifier,
    variables: Mapping[str, Any],
    sources: tuple[Any, Any],
    read: Read,
    workdir: str | os.PathLike,
) -> tuple[FeatureSource, FeatureSource]:
    """The features of two clip sources as sources themselves.

    Args:
      config: the training's; `cache.views` augmented versions are made of each training clip.
      classifier, variables: whose streams to run.
      sources: the clips to train and to evaluate on.
      read: gives batches of a source.
      workdir: of the training; the caches lie in its folder features, or in `cache.folder`.

    Returns:
      Their sources; `pick_version` and `all_versions` are their transforms.
    """
    augment = make_augment(classifier, config.augment)
    versions = make_versions(augment, config.cache.views, config.seed)
    run = devices.map_inference(make_features(make_prepare(classifier), classifier.model))
    replicated = devices.replicate(variables)
    still = {
        kind: {name: leaf for name, leaf in tree.items() if name != "head"}
        for kind, tree in variables.items()
    }
    described = (classifier.inputs, config.augment.to_dict(), config.data.to_dict())
    settings = [*described, config.seed, config.cache.views]

    def find_key(source, transform):
        names = [source[i]["name"] for i in range(len(source))]
        return digest([*settings, transform is versions, names], still)

    def compute(key, source, transform):
        return write_features(
            folder,
            key,
            lambda: read(source, transform, config.eval.batch_size, training=False),
            functools.partial(run, replicated),
            len(source),
        )

    folder = pathlib.Path(config.cache.folder or f"{workdir}/features")
    both = list(zip(sources, (versions, make_view(classifier)), strict=True))
    keys = [find_key(*what) for what in both]
    if not config.cache.folder:
        remove_others(folder, keys)
    train, val = (compute(key, *what) for key, what in zip(keys, both, strict=True))
    return train, val


def remove_others(folder: pathlib.Path, keys: Sequence[str]) -> None:
    """Removes a training's caches but those of these keys; a line says so."""
    paths = [path.parent for path in folder.glob("*/clips.json") if path.parent.name not in keys]
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
    if paths:
        names = ", ".join(sorted(path.name for path in paths))
        console.print(f"{folder}: removed, for they are of other weights or settings: {names}")
