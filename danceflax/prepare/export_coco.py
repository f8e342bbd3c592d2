"""Keypoint files as one COCO file, for tools in which people correct them."""

import pathlib
import shutil
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from danceflax.data.keypoint_edits import KeypointFile, open_keypoints
from danceflax.errors import BadSampleError, UserError
from danceflax.io.console import console, print_faults, track
from danceflax.io.files import require_free, write_folder, write_json
from danceflax.io.images import read_image
from danceflax.people import UNKNOWN, keypoint_boxes
from danceflax.prepare.annotated import Frame, list_annotated
from danceflax.prepare.doubt import judge_frames, pick_worst
from danceflax.skeleton import SKELETONS, convert_joints

ANNOTATIONS = "annotations/person_keypoints_default.json"
IMAGES = "images/default"  # as CVAT lays out a set
EDGES = {
    frozenset(skeleton.joints[i] for i in limb)
    for skeleton in SKELETONS.values()
    for limb in skeleton.limbs
}


def run(
    output: str,
    root: str = "",
    split: str = "",
    images: str = "",
    json: str = "",
    worst: int = 0,
    checkpoint: str = "",
) -> int:
    """Writes frames and their keypoints as a COCO set, which CVAT and others read, to correct them.

    python prepare_data.py export-coco --root=data/mine --output=correct --worst=50
    python prepare_data.py export-coco --root=data/mine --output=correct --worst=50 \\
        --checkpoint=runs/a
    python prepare_data.py export-coco --images=photos --json=out/json --output=correct

    OUTPUT gets annotations/person_keypoints_default.json and the images, images/default/...; as a
    .zip CVAT takes it whole ("COCO Keypoints 1.0"). `import-coco` brings the corrections back.

    With --worst the frames are those in which a network is least sure of people, or does not see
    them as they move, not close to each other in time.

    Args:
      output: the folder to write.
      root: the data root.
      split: of the root; all frames by default.
      images: instead of a root: a folder of images,
      json: and what predict.py has written for them, OUTPUT/json.
      worst: only so many, the most doubtful; 0 takes all.
      checkpoint: with --worst, a pose network that looks at doubtful frames mirrored as well.
    """
    if worst < 0 or (checkpoint and not worst):
        raise UserError("expected --worst of 1 frame or more, and --checkpoint only with it")
    require_free([output])
    frames = list_annotated(root, split, images, json)
    faults, files = [], []
    for frame in track(frames, len(frames), "reading", "keypoint files"):
        try:
            files.append((frame, open_keypoints(frame.keypoints)))
        except BadSampleError as error:
            faults.append(str(error))
    if not files:
        raise UserError(faults[0])
    if worst:
        files = pick_worst(files, judge_frames(files), worst, checkpoint)
    with write_folder(output) as folder:
        coco, more = make_coco(files, folder / IMAGES)
        write_json(folder / ANNOTATIONS, coco)
    counts = f"{len(coco['images']):,} frames, {len(coco['annotations']):,} people"
    console.print(f"{output}: {counts}; bring corrections back by import-coco")
    return print_faults(faults + more)


def make_coco(
    files: Sequence[tuple[Frame, KeypointFile]], copies: pathlib.Path | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The COCO file of frames, and messages about images that cannot be read.

    Joints are those of the first file that shows anybody; people of other files are mapped to
    them by name. `copies` gets the images.
    """
    joints = next((file.joints for _, file in files if len(file.people)), files[0][1].joints)
    coco = {
        "info": {"description": "people found by danceflax, to be corrected"},
        "licenses": [],
        "categories": [make_category(joints)],
        "images": [],
        "annotations": [],
    }
    faults = []
    for frame, file in files:
        try:
            height, width = read_image(frame.image).shape[:2]
        except BadSampleError as error:
            faults.append(str(error))
            continue
        if copies:
            target = copies / frame.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(frame.image, target)
        number = len(coco["images"]) + 1
        coco["images"].append(
            {"id": number, "file_name": frame.name, "width": width, "height": height}
        )
        coco["annotations"] += make_annotations(file, joints, number, len(coco["annotations"]) + 1)
    return coco, faults


def make_category(joints: Sequence[str]) -> dict[str, Any]:
    """COCO's category of people with these joints; edges count from 1."""
    edges = [
        [i + 1, j + 1]
        for i in range(len(joints))
        for j in range(i + 1, len(joints))
        if frozenset((joints[i], joints[j])) in EDGES
    ]
    names = {"keypoints": list(joints), "skeleton": edges}
    return {"id": 1, "name": "person", "supercategory": "person"} | names


def make_annotations(
    file: KeypointFile, joints: Sequence[str], image: int, first: int
) -> Iterable[dict[str, Any]]:
    """COCO's annotations of a file's people, numbered from `first` on."""
    people = convert_joints(file.people, file.joints, joints)[0].astype(float)
    boxes, scores = keypoint_boxes(people), file.scores()
    for p, (points, box) in enumerate(zip(people, boxes, strict=True)):
        attributes = {}
        if file.ids[p] != UNKNOWN:
            attributes["person_id"] = int(file.ids[p])
        if scores is not None and scores[p].any():
            attributes["score"] = round(float(scores[p][scores[p] > 0].mean()), 3)
        points[:, 2] = points[:, 2].clip(0)
        yield {
            "id": first + p,
            "image_id": image,
            "category_id": 1,
            "keypoints": [_short(value) for value in points.ravel()],
            "num_keypoints": int((points[:, 2] > 0).sum()),
            "bbox": [_short(value) for value in box],
            "area": _short(np.prod(box[2:])),
            "segmentation": [],
            "iscrowd": 0,
            "attributes": attributes,
        }


def _short(value):
    return round(float(value), 2)
