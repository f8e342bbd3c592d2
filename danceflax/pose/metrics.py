"""How good are the people found: COCO average precision, by pycocotools, and OKS.

It measures against the people's true keypoints and is the field's figure; it punishes people found
where there are none. `pose.pck` says which joints are found and which are not.
"""

import contextlib
import copy
import io
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from danceflax.errors import UserError
from danceflax.people import keypoint_boxes
from danceflax.pose.precision import FINE_SIZES, SIZES, Matches, collect_matches
from danceflax.skeleton import COCO17_JOINTS, Skeleton, convert_joints, default_sigma

COCO17_SIGMAS = tuple(map(default_sigma, COCO17_JOINTS))
STATS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")

# Without a segmentation, a person's OKS area is guessed from the box around the keypoints:
# AREA_RATIO * long side * max(short side, long side / 2). The floor keeps a person seen edge-on or
# lying along an axis from having no area. The ratio is the median of the segmentation's area over
# that product, for the 12 annotated people of the four COCO images the project is tested on (0.53;
# the logarithm's standard deviation is 0.28, against 0.33 without the floor). BOX_RATIO, of a
# person's whole box, and TORSO_RATIO, the torso's length over the area's square root, are medians
# over the same people.
AREA_RATIO, BOX_RATIO, TORSO_RATIO = 0.53, 0.38, 0.68

People, Found = Float[np.ndarray, "P J 3"], Float[np.ndarray, "Q J 3"]
Numbers = Sequence[float] | np.ndarray
OfPeople = Float[np.ndarray, " P"]


def coco_average_precision(
    ground_truth: dict[str, Any] | str | os.PathLike,
    results: Sequence[Mapping[str, Any]],
    sigmas: Numbers = COCO17_SIGMAS,
    image_ids: Iterable | None = None,
) -> dict[str, float]:
    """COCO keypoint AP and AR (pycocotools, at most 20 people an image): the figures of
    `match_and_measure`, which see."""
    return match_and_measure(ground_truth, results, sigmas, image_ids)[0]


def match_and_measure(
    ground_truth: dict[str, Any] | str | os.PathLike,
    results: Sequence[Mapping[str, Any]],
    sigmas: Numbers = COCO17_SIGMAS,
    image_ids: Iterable | None = None,
) -> tuple[dict[str, float], Matches]:
    """COCO keypoint AP and AR, without pycocotools' printing, and who was matched.

    Args:
      ground_truth: a dict in the COCO format, or the path of such a JSON file.
      results: COCO result entries, as `person_results` makes them; may be empty.
      sigmas: OKS standard deviations, one a joint; the default suits the 17 COCO joints.
      image_ids: evaluate these images only; all by default. Results on other images do not count.

    Returns:
      AP, AP50, AP75, APM, APL, AR, AR50, AR75, ARM, ARL in [0, 1], and the matches, whose images
      are in the order of `image_ids`. A figure for a size of which the images hold no person is
      left out.

    Raises:
      UserError: the file cannot be read, is not in the COCO format, holds no labelled person, lacks
        one of the image ids, or the joints of annotations or results are not as many as the sigmas.
    """
    ground_truth, where = _load_ground_truth(ground_truth)
    known = {image["id"] for image in ground_truth["images"]}
    order = sorted(known) if image_ids is None else list(image_ids)
    image_ids = set(order)
    wanted = image_ids | {entry["image_id"] for entry in results}
    if unknown := wanted - known:
        raise UserError(f"{where}: has no image with id {min(unknown, key=str)!r}; evaluate others")
    results = [entry for entry in results if entry["image_id"] in image_ids]
    annotations = [dict(a) for a in ground_truth["annotations"] if a["image_id"] in image_ids]
    for kind, entries in ((where, annotations), ("results", results)):
        for entry in entries:
            if len(entry.get("keypoints", ())) != 3 * len(sigmas):
                raise UserError(
                    f"{kind}: a person of image {entry['image_id']!r} has "
                    f"{len(entry.get('keypoints', ())) / 3:g} keypoints, expected {len(sigmas)}"
                )
    for annotation in annotations:
        labelled = sum(v > 0 for v in annotation["keypoints"][2::3])
        annotation.setdefault("num_keypoints", labelled)
    if not any(a["num_keypoints"] and not a.get("iscrowd") for a in annotations):
        raise UserError(f"{where}: no person with keypoints in the {len(image_ids)} images")

    evaluator = run_pycocotools(ground_truth, annotations, results, sigmas, image_ids)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.accumulate()
        evaluator.summarize()
    stats = zip(STATS, evaluator.stats, strict=True)
    measured = {name: float(value) for name, value in stats if value >= 0}
    return measured, collect_matches(evaluator, order)


def run_pycocotools(
    ground_truth: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    sigmas: Numbers,
    image_ids: Iterable,
    sizes: int = len(SIZES),
) -> COCOeval:
    """pycocotools' matches of the images' people, without its printing, of the first so many of
    SIZES. Found people get the ids 1, 2, ... in the order of the results."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _index(ground_truth, annotations)
        results = [dict(entry) for entry in results]  # which are written to
        found = truth.loadRes(results) if results else _index(ground_truth, [])
        evaluator = COCOeval(truth, found, "keypoints")
        evaluator.params.kpt_oks_sigmas = np.array(sigmas)
        evaluator.params.imgIds = sorted(image_ids)
        spans = evaluator.params.areaRng + [list(span) for span in FINE_SIZES]
        evaluator.params.areaRng = spans[:sizes]
        evaluator.params.areaRngLbl = list(SIZES)[:sizes]
        evaluator.evaluate()
    return evaluator


def ground_truth_from_records(
    records: Iterable[Mapping[str, Any]], skeleton: Skeleton, joints: Sequence[str] | None = None
) -> dict[str, Any]:
    """The COCO dict that `coco_average_precision` takes, of a source that has no COCO file; areas
    come from `person_area`.

    What a record's mask covers becomes a crowd: people found there are neither right nor wrong.

    Args:
      records: of docs/architecture.md; an image's id is the record's `id`, else its position.
      skeleton: of the records.
      joints: joint names to evaluate; the skeleton's own by default.
    """
    joints = tuple(joints or skeleton.joints)
    category = {"id": 1, "name": "person", "keypoints": list(joints)}
    images, annotations = [], []

    def annotate(image_id, keypoints, area, box, crowd):
        annotations.append(
            dict(
                id=len(annotations) + 1,
                image_id=image_id,
                category_id=1,
                keypoints=np.asarray(keypoints, float).round(2).ravel().tolist(),
                num_keypoints=int((keypoints[:, 2] > 0).sum()),
                area=float(area),
                bbox=[float(value) for value in box],
                iscrowd=int(crowd),
            )
        )

    for index, record in enumerate(records):
        image_id = record.get("id", index)
        images.append({"id": image_id, "file_name": str(record.get("name", image_id))})
        people, _ = convert_joints(record["people"], skeleton.joints, joints)
        boxes = record.get("boxes")
        boxes = keypoint_boxes(people) if boxes is None else np.asarray(boxes).reshape(-1, 4)
        areas = person_area(people, boxes)
        for person, area, box in zip(people, areas, boxes, strict=True):
            annotate(image_id, person, area, box, crowd=False)
        mask = record.get("mask")
        if mask is not None:
            regions = cv2.connectedComponentsWithStats((np.asarray(mask) == 0).astype(np.uint8))[2]
            for x, y, width, height, area in regions[1:]:
                nobody = np.zeros((len(joints), 3))
                annotate(image_id, nobody, area, (x, y, width, height), crowd=True)
    return {"images": images, "annotations": annotations, "categories": [category]}


def person_results(
    people: People,
    scores: OfPeople,
    image_id: Any,
    skeleton: Skeleton,
    joints: Sequence[str] = COCO17_JOINTS,
) -> list[dict[str, Any]]:
    """COCO result entries of one image's people.

    Args:
      people: (x, y, confidence) in the image's pixels; confidence 0 means not found.
      image_id: the image's id in the ground truth.
      joints: joint names to report: the 17 of COCO, or `skeleton.joints`.

    Returns:
      image_id, category_id, keypoints and score of each; coordinates to 0.01 px, joints not found
      as 0, 0, 0. People without any of these joints are left out.
    """
    converted, _ = convert_joints(people, skeleton.joints, joints)
    converted = converted.astype(float)
    converted[..., :2] = converted[..., :2].round(2)
    converted[..., 2] = converted[..., 2].round(4)
    return [
        dict(
            image_id=image_id,
            category_id=1,
            keypoints=person.ravel().tolist(),
            score=round(float(score), 6),
        )
        for person, score in zip(converted, scores, strict=True)
        if person[:, 2].any()
    ]


def table_rows(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """(name, text) rows for a table of metrics in [0, 1], to three decimals."""
    return [(name.replace("_", " "), f"{value:.3f}") for name, value in metrics.items()]


def oks(
    people_true: People, people_pred: Found, sigmas: Numbers, areas: OfPeople | None = None
) -> Float[np.ndarray, "P Q"]:
    """Object keypoint similarity of every true and predicted person (cocodataset.org, eval).

    Joints absent from `people_true` do not count; joints a prediction lacks score 0. `areas`
    in px^2 are `person_area`'s by default.
    """
    true, pred = np.asarray(people_true, float), np.asarray(people_pred, float)
    areas = person_area(true) if areas is None else np.asarray(areas)
    squared = ((true[:, None, :, :2] - pred[None, :, :, :2]) ** 2).sum(-1)  # [P, Q, J]
    spread = 2 * areas[:, None, None] * (2 * np.asarray(sigmas)) ** 2
    similarity = np.exp(-squared / np.maximum(spread, 1e-9)) * (pred[None, ..., 2] > 0)
    labelled = (true[..., 2] > 0)[:, None]
    return (similarity * labelled).sum(-1) / np.maximum(labelled.sum(-1), 1)


def match_people(similarity: Float[np.ndarray, "P Q"]) -> list[tuple[int, int]]:
    """One-to-one pairs (i, k) of a similarity, the greatest first; pairs of 0 do not."""
    similarity, pairs = np.array(similarity, float), []
    while similarity.size and similarity.max() > 0:
        i, k = np.unravel_index(similarity.argmax(), similarity.shape)
        similarity[i, :] = similarity[:, k] = 0
        pairs.append((int(i), int(k)))
    return pairs


def person_area(people: People, boxes: Float[np.ndarray, "P 4"] | None = None) -> OfPeople:
    """In px^2, the area that OKS divides by, guessed from the keypoints (see AREA_RATIO).

    Keypoints without extent (one, or all in a point) say nothing: then it is BOX_RATIO of the
    person's box, if given. Never under 1 px^2.
    """
    sides = keypoint_boxes(people)[:, 2:]
    long, short = sides.max(-1), sides.min(-1)
    area = AREA_RATIO * long * np.maximum(short, long / 2)
    if boxes is not None:
        area = np.where(long > 0, area, BOX_RATIO * np.prod(np.asarray(boxes)[:, 2:], -1))
    return np.maximum(area, 1.0)


def _load_ground_truth(ground_truth):
    """The COCO dict and what to call it in messages."""
    where = "ground truth"
    if not isinstance(ground_truth, dict):
        path, where = pathlib.Path(ground_truth), str(ground_truth)
        try:
            ground_truth = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"{where}: cannot be read as COCO annotations: {error}") from None
    keys = ("images", "annotations", "categories")
    if not isinstance(ground_truth, dict) or any(key not in ground_truth for key in keys):
        raise UserError(f"{where}: not in the COCO format; expected the keys {', '.join(keys)}")
    return ground_truth, where


def _index(ground_truth, annotations):
    """A pycocotools COCO of these annotations."""
    coco = COCO()
    coco.dataset = {
        "info": copy.copy(ground_truth.get("info", {})),
        "images": ground_truth["images"],
        "annotations": annotations,
        "categories": ground_truth["categories"],
    }
    coco.createIndex()
    return coco
