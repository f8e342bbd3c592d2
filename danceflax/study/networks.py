"""The networks that a study may build on: given by a person, or found where they usually lie."""

import os
import pathlib
from typing import Any

from danceflax.errors import UserError
from danceflax.skeleton import SKELETONS

# Where networks usually lie: what convert_weights.py wrote, then what was trained here.
HOMES = ("checkpoints", "runs")
I3D_HOME = "checkpoints/i3d_rgb"


def find_pose_network(given: str = "") -> str:
    """The pose network to find people with: the given one, else the first of `HOMES`; "" if there
    is none. Raises UserError: the given one is none."""
    if given:
        return _require(given, "pose_checkpoint", _is_pose, "a pose network of COCO-18 or BODY-25")
    paths = (p for home in HOMES for p in sorted(pathlib.Path(home).glob("*")) if p.is_dir())
    return next((str(path) for path in paths if _is_pose(_look_at(path))), "")


def find_i3d(given: str = "") -> str:
    """The I3D whose features of pictures to use, likewise; found as `I3D_HOME`."""
    if given:
        return _require(given, "i3d_checkpoint", _is_i3d, "an I3D of RGB")
    return I3D_HOME if _is_i3d(_look_at(I3D_HOME)) else ""


def count_parameters(path: str | os.PathLike) -> float:
    """About how many parameters a network has, by the size of its files."""
    from danceflax.training.checkpoints import find_model  # with it JAX

    files = (find_model(path) / "model").rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file()) / 4


def _require(path, flag, is_kind, expected):
    from danceflax.training.checkpoints import find_model, read_config

    description = read_config(find_model(path))
    if not is_kind(description):
        kind = description["model"]["name"]
        raise UserError(f"--{flag}={path}: holds {kind}; expected {expected}")
    return path


def _look_at(path) -> dict[str, Any]:
    """What a checkpoint says of itself; nothing where there is none that can be read."""
    from danceflax.training.checkpoints import find_model, read_config

    try:
        return read_config(find_model(path))
    except UserError:
        return {}


def _is_pose(description):
    return description.get("skeleton", {}).get("name") in SKELETONS


def _is_i3d(description):
    name = description.get("model", {}).get("name")
    streams = description.get("inputs", {}).get("streams", ())
    return name == "i3d" or (name == "streams" and "rgb" in streams)
