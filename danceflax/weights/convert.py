"""Tensors of a published file to the variables of a network here: all of them, or an error."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from danceflax.errors import UserError
from danceflax.weights import keys

LAYOUTS = {
    2: ("OI -> IO", (1, 0)),
    4: ("OIHW -> HWIO", (2, 3, 1, 0)),
    5: ("OITHW -> THWIO", (2, 3, 4, 1, 0)),
}
# Linear layers over a flattened grid (T, H, W): PyTorch has the channels first, flax last.
GRIDS = {"params/fc6/kernel": (1, 4, 4)}


class Row(NamedTuple):
    """One line of the conversion's table; an empty target means that the tensor is not used."""

    source: str
    target: str
    rule: str
    shape: tuple


def convert(
    tensors: Mapping[str, np.ndarray],
    model: str,
    target: Mapping[str, Sequence[int]],
    where: str | os.PathLike,
    bgr: bool = False,
    channels_last: bool = False,
) -> tuple[dict[str, Any], list[Row]]:
    """Assigns every tensor of a file to a parameter of the network, strictly both ways.

    Args:
      tensors: by name, from a reader.
      model: a key of `keys.TABLES`.
      target: the shape of each "collection/module/.../leaf", everything that must be filled.
      where: the file's name for messages.
      bgr: reverse the input channels of the first convolution, so that an engine that was fed blue,
        green, red is fed red, green, blue.
      channels_last: kernels are in flax's layout already.

    Returns:
      The variables as a nested dict of float32 arrays, and a row a tensor.

    Raises:
      UserError: a tensor is left over, a parameter is not filled or filled twice, a shape is wrong
        or a value is not finite. The message names the first few of each.
    """
    _refuse_mpi(tensors, where)
    tensors, rows = _fold_scales(tensors, where)
    names = {name: target_path(name, model) for name in tensors}
    ignored = {name for name in tensors if _is_ignored(name, model)}
    flat, unknown, twice, shapes, broken = {}, [], [], [], []
    for name, tensor in tensors.items():
        path = names[name]
        if path not in target:
            if name in ignored:
                rows.append(Row(name, "", "not used", tensor.shape))
            else:
                unknown.append(name)
            continue
        array, rule = _lay_out(tensor, path, len(target[path]), channels_last)
        if path in flat:
            twice.append(f"{name} for {path}")
        elif array.shape != tuple(target[path]):
            expected = _expected(target[path], array, channels_last)
            shapes.append(f"{name} is {tensor.shape}, expected {expected}")
            flat[path] = None
        else:
            with np.errstate(over="ignore"):  # a double too large becomes infinite, and is refused
                array = array.astype(np.float32, copy=False)
            if tensor.dtype.kind != "f" or not np.isfinite(array).all():
                broken.append(name)
            if bgr and path in keys.FIRST_KERNELS:
                array, rule = array[..., ::-1, :], f"{rule}, BGR -> RGB"
            flat[path] = array
            rows.append(Row(name, path, rule, array.shape))
    missing = [path for path in target if path not in flat]
    problems = [
        f"{what}: {len(found)} ({', '.join(found[:3])}{', ...' if len(found) > 3 else ''})"
        for what, found in (
            ("tensors not in that network", unknown),
            ("parameters without a tensor", missing),
            ("tensors that come a second time", twice),
            ("tensors of another shape", shapes),
            ("tensors with NaN, infinite or no floating-point values", broken),
        )
        if found
    ]
    if problems:
        hint = _other_model(tensors, model) if unknown else ""
        raise UserError(f"{where} does not hold {model} weights: {'; '.join(problems)}{hint}")
    return unflatten(flat), rows


def target_path(name: str, model: str) -> str | None:
    """Where a tensor of that name belongs, or None: "params/feature/conv1_1/kernel".

    Prefixes such as `module.` or `model0.` before a known name do not matter.
    """
    separator = "/" if "/" in name else "."
    module, _, leaf = name.rpartition(separator)
    table, aliases = keys.TABLES[model], keys.ALIASES[model]
    while module:
        layer = aliases.get(module, module)
        if layer in table:
            leaves = keys.LEAVES[module_kind(table[layer])]
            collection, leaf = leaves.get(keys.LEAF_ALIASES.get(leaf, leaf), (None, None))
            return f"{collection}/{table[layer]}/{leaf}" if leaf else None
        module = module.partition(separator)[2]
    return None


def module_kind(path: str) -> str:
    """The key of `keys.LEAVES` of a module here."""
    name = path.rpartition("/")[2]
    return "prelu" if name.startswith("prelu") else "bn" if name == "bn" else "conv"


def format_table(rows: Sequence[Row]) -> list[str]:
    """The rows as lines of text, with totals."""
    cells = [("source", "target", "rule", "shape")]
    cells += [(r.source, r.target or "-", r.rule, "x".join(map(str, r.shape))) for r in rows]
    widths = [max(len(cell[i]) for cell in cells) for i in range(3)]
    lines = [
        "  ".join([*(cell[i].ljust(widths[i]) for i in range(3)), cell[3]]).rstrip()
        for cell in cells
    ]
    used = [row for row in rows if row.target]
    total = sum(int(np.prod(row.shape)) for row in used)
    lines.append(
        f"{len(used)} tensors, {total:,} values; {len(rows) - len(used)} tensors that the network "
        "has no use for; nothing else is left over on either side"
    )
    return lines


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"a/b/c": value} as a nested dict."""
    nested = {}
    for path, value in flat.items():
        *parents, leaf = path.split("/")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return nested


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dict as {"a/b/c": value}."""
    flat = {}
    for key, value in nested.items():
        inner = flatten(value, f"{prefix}{key}/") if isinstance(value, dict) else None
        flat |= {f"{prefix}{key}": value} if inner is None else inner
    return flat


def _lay_out(tensor, path, rank, channels_last):
    """(the tensor in flax's layout, the rule's name)."""
    grid = GRIDS.get(path)
    if grid and tensor.ndim == 2 and tensor.shape[1] % np.prod(grid) == 0:
        cells = tensor.reshape(len(tensor), -1, *grid).transpose(0, 2, 3, 4, 1)
        cells = cells.reshape(tensor.shape)
        return cells.T, "O(CTHW) -> (THWC)O"
    if rank == 1 and tensor.ndim != 1 and sum(n > 1 for n in tensor.shape) <= 1:
        return tensor.reshape(-1), f"{'x'.join('1' * (tensor.ndim - 1))}xC -> C"
    if rank not in LAYOUTS or tensor.ndim != rank or channels_last:
        return tensor, "as it is"
    rule, order = LAYOUTS[rank]
    return tensor.transpose(order), rule


def _fold_scales(tensors, where):
    """I3D's batch norm has no scale here: a file's is multiplied into the convolution in front and
    into the running mean, which gives the same outputs. (tensors without scales, their rows)."""
    folded, rows = dict(tensors), []
    for name in tensors:
        unit = name.removesuffix(".bn.weight")
        kernel, mean = f"{unit}.conv3d.weight", f"{unit}.bn.running_mean"
        if unit == name or kernel not in tensors or mean not in tensors:
            continue
        scale = folded.pop(name)
        fits = scale.shape == tensors[mean].shape == tensors[kernel].shape[:1]
        if not fits or tensors[kernel].ndim != 5:
            raise UserError(f"{where}: {name} is {scale.shape}, which does not fit {kernel}")
        if (scale != 1).any():
            folded[kernel] = tensors[kernel] * scale.reshape(-1, 1, 1, 1, 1)
            folded[mean] = tensors[mean] * scale
        rows.append(Row(name, f"{kernel}, {mean}", "multiplied into", scale.shape))
    return folded, rows


def _expected(shape, array, channels_last):
    """A target's shape in the file's order of dimensions, as far as that has one."""
    if channels_last or array.ndim != len(shape) or len(shape) not in LAYOUTS:
        return tuple(shape)
    order = LAYOUTS[len(shape)][1]
    return tuple(shape[order.index(i)] for i in range(len(shape)))


def _is_ignored(name, model):
    return re.fullmatch(rf"(?:.*\.)?(?:{keys.IGNORED.get(model, '(?!)')})", name) is not None


def _refuse_mpi(tensors, where):
    sizes = [
        next((t.size for n, t in tensors.items() if n.endswith(f"conv5_5_CPM_{b}.bias")), None)
        for b in ("L1", "L2")
    ]
    if sizes == [28, 16]:
        raise UserError(
            f"{where} is one of OpenPose's MPI networks (28 PAF and 16 heatmap channels), which "
            "are not supported; use the COCO (pose_iter_440000) or the BODY_25 (pose_iter_584000) "
            "weights"
        )


def _other_model(tensors, model):
    """A hint, if every tensor's name is known to another network's table."""
    for other in keys.TABLES:
        if other != model and all(
            target_path(name, other) or _is_ignored(name, other) for name in tensors
        ):
            return f"; these are the names of {other}, use --model={other}"
    return ""
