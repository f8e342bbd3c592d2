"""Networks out again: PyTorch and safetensors files, numpy only.

What a published PyTorch network has too takes its name and layout there (`keys.EXPORTED`), so that
it loads there and `convert` brings it back. Everything else keeps its path and flax's layout.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from danceflax.errors import UserError
from danceflax.io.files import write_whole
from danceflax.weights import convert, keys
from danceflax.weights.writers import write_pytorch, write_safetensors

WRITERS = {"pytorch": write_pytorch, "safetensors": write_safetensors}
FORMATS = tuple(WRITERS)
LAYOUTS = {rank: (rule, np.argsort(order)) for rank, (rule, order) in convert.LAYOUTS.items()}


def export(
    variables: Mapping[str, Any], config: Mapping[str, Any], path: str | os.PathLike, kind: str
) -> tuple[list[convert.Row], str]:
    """Writes a network's weights.

    A network whose normalisation is that of a published one for BGR images (OpenPose's, C3D's) is
    written for BGR, as that one is; any other as it is.

    Args:
      variables, config: of a checkpoint.
      path: the new file.
      kind: one of FORMATS.

    Returns:
      A row a tensor, and one line that says what the network's input is.

    Raises:
      UserError: the file exists.
    """
    path = pathlib.Path(path)
    if path.exists():
        raise UserError(f"{path} exists; name a new file or remove it first")
    model, normalisation = config["model"]["name"], config["normalisation"]
    mean, std = (list(map(float, normalisation[key])) for key in ("mean", "std"))
    bgr = any(
        entry["bgr"] and [mean, std] == [entry["mean"], entry["std"]]
        for entry in keys.NORMALISATIONS.values()
    )
    tensors, rows = name_tensors(convert.flatten(variables), keys.EXPORTED.get(model, {}), bgr)
    about = {key: config[key] for key in ("model", "skeleton", "class_names") if key in config}
    about["normalisation"] = {"mean": mean, "std": std}
    about["channels"] = channels = "BGR" if bgr else "RGB"
    with write_whole(path) as temporary, temporary.open("wb") as file:
        WRITERS[kind](file, tensors, json.dumps(about))
    note = f"input: uint8, (x - mean) / std; pictures are {channels}, mean {mean}, std {std}"
    return rows, note


def name_tensors(
    flat: Mapping[str, Float[np.ndarray, "..."]], table: Mapping[str, str], bgr: bool
) -> tuple[dict[str, Float[np.ndarray, "..."]], list[convert.Row]]:
    """The tensors of a file, and a row each, of flattened variables.

    Args:
      flat: {"collection/module/leaf": array}.
      table: {published layer: module}; modules may lie within others, as a stream's do.
      bgr: reverse the input channels of the kernel that sees the pixels.
    """
    layers = {path: layer for layer, path in table.items()}
    order = {layer: i for i, layer in enumerate(table)}
    tensors, rows, places = {}, [], {}

    def add(name, path, rule, array, place):
        tensors[name], places[name] = np.ascontiguousarray(array), place
        rows.append(convert.Row(path, name, rule, array.shape))

    for path, array in flat.items():
        outer, layer = _find_layer(path.partition("/")[2].rpartition("/")[0], layers)
        array = np.asarray(array, np.float32)
        if layer is None:
            add(path.replace("/", "."), path, "as it is", array, (len(order), path))
            continue
        kind = keys.LEAVES[convert.module_kind(path.rpartition("/")[0])]
        names = {ours: name for name, (_, ours) in kind.items()}
        leaf = names[path.rpartition("/")[2]]
        if bgr and path in keys.FIRST_KERNELS:
            array = array[..., ::-1, :]
        array, rule = _lay_out(array, path)
        place = (order[layer], [*kind].index(leaf))
        add(f"{outer}{layer}.{leaf}", path, rule, array, place)
        if leaf == "running_mean":  # a scale, which PyTorch's batch norm has and ours has not
            ones = np.ones_like(array)
            add(f"{outer}{layer}.weight", "-", "ones", ones, (order[layer], -1))
    return {name: tensors[name] for name in sorted(tensors, key=places.get)}, rows


def _find_layer(module, layers):
    """("stream_rgb.", "Mixed_3b.b0.bn") of a module's path; (..., None) of an unpublished one."""
    outer, inner = [], module
    while inner and inner not in layers:
        first, _, inner = inner.partition("/")
        outer.append(f"{first}.")
    return "".join(outer), layers.get(inner)


def _lay_out(array, path):
    """(the tensor in PyTorch's layout, the rule's name), `convert`'s rules backwards."""
    grid = convert.GRIDS.get(path)
    if grid:
        cells = array.T.reshape(array.shape[1], *grid, -1).transpose(0, 4, 1, 2, 3)
        return cells.reshape(array.T.shape), "(THWC)O -> O(CTHW)"
    if array.ndim not in LAYOUTS:
        return array, "as it is"
    rule, order = LAYOUTS[array.ndim]
    return array.transpose(order), " -> ".join(reversed(rule.split(" -> ")))
