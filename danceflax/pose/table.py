"""Keypoints as one tidy table: a row a joint that was found, for pandas, R or a spreadsheet."""

import importlib.util
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from danceflax.errors import UserError
from danceflax.io.files import write_whole
from danceflax.skeleton import Skeleton

FORMATS = ("csv", "parquet")

# The joints between which an angle lies: at the elbow that of upper arm and forearm, and so on.
_SIDED = {
    "shoulder": ("elbow", "hip"),
    "elbow": ("shoulder", "wrist"),
    "hip": ("shoulder", "knee"),
    "knee": ("hip", "ankle"),
    "ankle": ("knee", "big_toe"),
}
ANGLES = {"neck": ("nose", "mid_hip")} | {
    f"{side}_{joint}": tuple(f"{side}_{end}" for end in ends)
    for side in ("left", "right")
    for joint, ends in _SIDED.items()
}


def tabulate_people(
    frames: Sequence[Float[np.ndarray, "_ J 3"]],
    ids: Sequence[Int[np.ndarray, " _"]],
    times: Sequence[float] | np.ndarray,
    skeleton: Skeleton,
    angles: bool = False,
) -> pd.DataFrame:
    """A row for each joint found: frame (from 0), time (s), person, joint, x, y (px), score.

    Args:
      frames, ids, times: as `track.link_people` takes and returns them.
      skeleton: of the people.
      angles: add a column angle, see `joint_angles`.
    """
    counts = [len(people) for people in frames]
    people = np.concatenate([np.zeros((0, skeleton.num_joints, 3)), *frames])
    person, joint = np.nonzero(people[..., 2] > 0)
    x, y, score = people[person, joint].T
    frame = np.repeat(np.arange(len(counts)), counts)[person]
    columns = {
        "frame": frame,
        "time": np.asarray(times, float)[frame],
        "person": np.concatenate([np.zeros(0, int), *ids])[person],
        "joint": pd.Categorical.from_codes(joint, skeleton.joints),
        "x": x,
        "y": y,
        "score": score,
    }
    if angles:
        columns["angle"] = joint_angles(people, skeleton)[person, joint]
    return pd.DataFrame(columns)


def joint_angles(
    people: Float[np.ndarray, "P J 3"], skeleton: Skeleton
) -> Float[np.ndarray, "P J"]:
    """Degrees, 0 to 180, in the image: 180 is a straight elbow or knee.

    NaN where no angle is defined (see ANGLES) or one of its three joints was not found.
    """
    people = np.asarray(people, float)
    angles = np.full(people.shape[:2], np.nan)
    index = {name: j for j, name in enumerate(skeleton.joints)}
    for name, ends in ANGLES.items():
        if not index.keys() >= {name, *ends}:
            continue
        at, (a, b) = people[:, index[name]], (people[:, index[end]] for end in ends)
        u, v = a[:, :2] - at[:, :2], b[:, :2] - at[:, :2]
        cross, dot = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0], (u * v).sum(1)
        found = (at[:, 2] > 0) & (a[:, 2] > 0) & (b[:, 2] > 0)
        angles[found, index[name]] = np.degrees(np.arctan2(np.abs(cross), dot))[found]
    return angles


def check_format(name: str) -> str:
    """The name, of FORMATS. Raises UserError: it is none of them, or its library is not there."""
    if name not in FORMATS:
        raise UserError(f"--table={name}: expected {' or '.join(FORMATS)}")
    if name == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError("--table=parquet: needs pyarrow; pip install 'danceflax[parquet]'")
    return name


def write_table(path: str | pathlib.Path, table: pd.DataFrame) -> None:
    """Writes the table as the path ends, .csv or .parquet, whole or not at all."""
    path = pathlib.Path(path)
    with write_whole(path) as temporary:
        if path.suffix == ".csv":
            rounded = table.round({"time": 6, "x": 3, "y": 3, "score": 4, "angle": 2})
            rounded.to_csv(temporary, index=False, lineterminator="\n")
        else:
            table.to_parquet(temporary, index=False)
