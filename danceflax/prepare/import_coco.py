"""Corrected keypoints from a COCO file back into the keypoint files that they came from."""

import collections
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment

from danceflax.data.coco_files import Person, read_coco
from danceflax.data.keypoint_edits import SAME, KeypointFile, nobody, open_keypoints
from danceflax.data.root import FRAME_FOLDERS, find_folder
from danceflax.data.splits import read_frames
from danceflax.errors import UserError
from danceflax.io.console import console, print_faults
from danceflax.io.files import write_csv, write_text
from danceflax.people import keypoint_boxes
from danceflax.prepare.annotated import Frame, list_annotated
from danceflax.skeleton import ABSENT, SKELETONS

CORRECTED = "corrected.csv"
FAR = 2.0  # times a person's size: nobody is moved as far, so it is someone else


def run(input: str, root: str = "", images: str = "", json: str = "") -> int:
    """Brings corrections of what export-coco wrote back into the keypoint files.

    python prepare_data.py import-coco --input=correct.json --root=data/mine
    python prepare_data.py import-coco --input=correct.json --images=photos --json=out/json

    Frames that the file does not list stay as they are, as do people whom nobody has changed, and
    of changed ones every joint but those that were moved, their numbers (person_id) and whatever
    else a file says of them. A person who is not in the file any more is taken out.

    ROOT/corrected.csv lists all frames that were ever brought back: a split of frames whose
    keypoints a person has looked at, --config.data.train_split=ROOT/corrected.csv.

    Args:
      input: the COCO file that the tool wrote.
      root: the data root.
      images: instead of a root: the folder of images,
      json: and of their OpenPose files.
    """
    listed, people, _ = read_coco(input)
    frames = match_frames([image.file for image in listed], root, images, json, input)
    totals, faults, seen = collections.Counter(), [], []
    for image, frame in zip(listed, frames, strict=True):
        try:
            file = open_keypoints(frame.keypoints)
            counts = correct(file, frame.keypoints, people.get(image.id, []))
        except UserError as error:
            faults.append(str(error))
            continue
        totals += counts
        seen.append(frame.name)
    console.print(
        f"{totals['files']:,} of {len(frames):,} files changed: {totals['joints']:,} joints of "
        f"{totals['changed']:,} people, {totals['added']:,} people added, {totals['removed']:,} "
        "taken out"
    )
    if root:
        console.print(f"{list_corrected(root, seen)}: all frames that were ever brought back")
    if root and totals["files"]:
        console.print(f"python prepare_data.py index --root={root} renews the index")
    return print_faults(faults)


def list_corrected(root: str, names: Sequence[str]) -> pathlib.Path:
    """Takes frames <dance>/<file> into ROOT/corrected.csv, a split file; its path."""
    path = pathlib.Path(root, CORRECTED)
    there = [file.decode() for file in read_frames(path).files.tolist()] if path.exists() else []
    files = dict.fromkeys([*there, *names])
    prefix = f"data/{path.parent.resolve().name}/{find_folder(root, FRAME_FOLDERS)}"
    rows = [(f"{prefix}/{file}", file.partition("/")[0]) for file in files]
    write_csv(path, [("file_path", "dance_type"), *rows])
    return path


def match_frames(
    names: Sequence[str], root: str, images: str, json: str, where: str
) -> list[Frame]:
    """The frame of each file name: by its last two parts, else by its last if that is one frame's.

    Raises:
      UserError: one is no frame, or could be several.
    """
    frames = list_annotated(root, "", images, json)
    known = {frame.name: frame for frame in frames}
    alone = collections.defaultdict(list)
    for frame in frames:
        alone[pathlib.PurePath(frame.name).name].append(frame)
    matched = []
    for name in names:
        path = pathlib.PurePath(name.replace("\\", "/"))
        found = known.get("/".join(path.parts[-2:])) or known.get(path.name)
        same = [found] if found else alone[path.name]
        if len(same) != 1:
            what = f"is the name of {len(same)} frames" if same else "is no frame"
            raise UserError(f"{where}: {name} {what} of {root or images}; correct its file_name")
        matched += same
    return matched


def correct(file: KeypointFile, path: str, people: Sequence[Person]) -> collections.Counter:
    """Brings a frame's people into its file and writes that, if anything differs.

    Returns:
      How many files, joints of people who are changed, added and removed.
    """
    counts = collections.Counter()
    people = [p for p in people if p.keypoints is not None and (p.keypoints[:, 2] > ABSENT).any()]
    if people and not len(file.people) and _is_openpose(people[0].joints):
        file = nobody(path, people[0].joints)
    new = [place(person, file.joints) for person in people]
    pairs = match_people(file.people, [points for points, _ in new])
    for old, k in pairs.items():
        points, known = new[k]
        changed = known & differs(file.people[old], points)
        if changed.any():
            file.change(old, points, changed)
            counts += collections.Counter(joints=int(changed.sum()), changed=1)
    for k in sorted(set(range(len(new))) - set(pairs.values())):
        file.add(new[k][0])
        counts["added"] += 1
    gone = [old for old in range(len(file.people)) if old not in pairs]
    file.remove(gone)
    counts["removed"] += len(gone)
    if counts.total():
        write_text(path, file.text())
        counts["files"] = 1
    return counts


def place(
    person: Person, joints: Sequence[str]
) -> tuple[Float[np.ndarray, "n 3"], Bool[np.ndarray, " n"]]:
    """A person's points in the order of `joints`, and which of these the person has."""
    index = {name: j for j, name in enumerate(person.joints)}
    known = np.array([name in index for name in joints])
    points = np.zeros((len(joints), 3))
    points[known] = person.keypoints[[index[name] for name in joints if name in index]]
    points[points[:, 2] <= ABSENT] = 0
    return points, known


def differs(old: Float[np.ndarray, "n 3"], new: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Which joints have moved, come or gone, or are seen otherwise."""
    far = np.abs(old[:, :2] - new[:, :2]).max(1) > SAME
    return (old[:, 2].clip(0) != new[:, 2]) | (far & (new[:, 2] > ABSENT))


def match_people(
    old: Float[np.ndarray, "P n 3"], new: Sequence[Float[np.ndarray, "n 3"]]
) -> dict[int, int]:
    """{person: the corrected one}: those who are the least way apart in all, by the middle of the
    distances of joints that both have; nobody goes FAR."""
    cost = np.full((len(old), len(new)), np.inf)
    for i, person in enumerate(old):
        size = max(float(keypoint_boxes(person[None])[0, 2:].max()), 1.0)
        for k, points in enumerate(new):
            both = (person[:, 2] > 0) & (points[:, 2] > 0)
            if both.any():
                steps = np.linalg.norm(person[both, :2] - points[both, :2], axis=-1)
                cost[i, k] = np.median(steps) / size
    rows, columns = linear_sum_assignment(np.minimum(cost, FAR))  # how much farther is no matter
    found = zip(rows.tolist(), columns.tolist(), strict=True)
    return {i: k for i, k in found if cost[i, k] < FAR}


def _is_openpose(joints: Any) -> bool:
    return any(tuple(joints) == tuple(skeleton.joints) for skeleton in SKELETONS.values())
