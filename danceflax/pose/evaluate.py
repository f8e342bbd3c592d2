"""How good a pose network is: run over a split, and measured."""

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import cv2
import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8
from ml_collections import ConfigDict

from danceflax.data.loader import load_once
from danceflax.data.sources import Subset, most_people, open_source
from danceflax.models.normalisation import on_images
from danceflax.models.openpose import STRIDE
from danceflax.people import transform_people
from danceflax.pose import metrics as figures
from danceflax.pose import pck, tilt
from danceflax.pose.augment import letterbox
from danceflax.pose.decode import make_decoder
from danceflax.pose.loss import make_loss
from danceflax.pose.precision import Matches
from danceflax.pose.predict import make_estimator
from danceflax.skeleton import COCO17_JOINTS, Skeleton
from danceflax.training import devices


class ImageResult(NamedTuple):
    """What was labelled and found on one image, in its pixels.

    Attributes:
      index: in the source.
      id: COCO's, or the position among the results.
      true, people, scores: people labelled, and found with their scores.
      mask: 0 where nothing counts; None if all does.
      errors, labelled: of `pck.joint_errors`.
    """

    index: int
    id: int
    true: Float[np.ndarray, "P J 3"]
    people: Float[np.ndarray, "Q J 3"]
    scores: Float[np.ndarray, " Q"]
    mask: UInt8[np.ndarray, "H W"] | None
    errors: Float[np.ndarray, "P J"]
    labelled: Bool[np.ndarray, "P J"]


class Evaluation(NamedTuple):
    """What one pass has shown.

    Attributes:
      metrics: {"AP", "AP50", ..., "PCK", "PCK/<joint>", "AP/tilt/<tilt of the body>",
        "PCK/tilt/...", "loss"}
        over the skeleton's joints, and "coco17/AP", ... over those of COCO's 17 that it has.
      images: of each, what was found.
      matches: {"": who was matched over the skeleton's joints, "coco17/": over COCO's 17}.
      tilted: who was matched by `tilt.TILTS`, over the skeleton's joints.
    """

    metrics: dict[str, float]
    images: list[ImageResult]
    matches: dict[str, Matches]
    tilted: Matches

    def __repr__(self) -> str:
        figures = {name: self.metrics[name] for name in ("AP", "PCK") if name in self.metrics}
        shown = "".join(f", {name} {value:.3f}" for name, value in figures.items())
        return f"Evaluation({len(self.images):,} images{shown})"


def make_eval_step(estimate: Callable, loss: Callable) -> Callable:
    """(variables, batch) -> people, scores and the loss's (sum, count), to map over devices."""

    loss_step = make_loss_step(loss)

    def eval_step(variables: Mapping[str, Any], batch: Mapping[str, Array]) -> dict[str, Array]:
        people, scores = estimate(variables, batch["image"])
        return {"people": people, "scores": scores, **loss_step(variables, batch)}

    return eval_step


def make_loss_step(loss: Callable) -> Callable:
    """(variables, batch) -> the loss's sum and count, to map over devices."""

    def loss_step(variables: Mapping[str, Any], batch: Mapping[str, Array]) -> dict[str, Array]:
        model_state = {key: value for key, value in variables.items() if key != "params"}
        total, (count, _, _) = loss(variables["params"], model_state, batch, None)
        return {"loss": total, "count": count}

    return loss_step


def evaluate_batches(
    eval_step: Callable,
    variables: Any,
    batches: Iterable,
    skeleton: Skeleton,
    annotations: str | os.PathLike | None = None,
    gather: Callable = np.asarray,
) -> Evaluation:
    """AP, PCK and loss over one pass of batches.

    Args:
      eval_step: from `make_eval_step`, mapped over devices.
      variables: of the network.
      batches: of (letterboxed batch, names), the last one padded with weight 0.
      skeleton: of the network.
      annotations: path of the COCO file, where the source has one: the 17 joints are then measured
        against it, with its areas and crowds.
      gather: puts the arrays of all processes one after the other.

    Returns:
      `Evaluation`, of the images of all processes.
    """
    correct, labelled = np.zeros(skeleton.num_joints), np.zeros(skeleton.num_joints)
    tilted = np.zeros((len(tilt.TILTS), 2))
    own, coco17, images, loss = [], [], [], np.zeros(2)
    for number, (batch, _) in enumerate(batches):
        stride = batch["image"].shape[1] // batch["mask"].shape[1]
        result = eval_step(variables, batch)
        loss += np.sum(gather(np.stack([result["loss"], result["count"]], -1)), 0)
        found = {key: gather(result[key]) for key in ("people", "scores")}
        truth = {key: batch[key] for key in ("people", "to_image", "id", "weight", "mask")}
        truth = jax.tree.map(gather, truth)
        for n in np.flatnonzero(truth["weight"]):
            affine = truth["to_image"][n]
            people = transform_people(found["people"][n], affine)[found["scores"][n] > 0]
            scores = found["scores"][n][found["scores"][n] > 0]
            true = transform_people(truth["people"][n], affine)
            true = true[(true[..., 2] > 0).any(1)]
            image_id = int(truth["id"][n]) if annotations else len(images)
            mask = _image_mask(truth["mask"][n], affine, stride)
            errors, known = pck.joint_errors(true, people, skeleton)
            index = number * len(truth["weight"]) + int(n)
            images.append(ImageResult(index, image_id, true, people, scores, mask, errors, known))
            own += figures.person_results(people, scores, image_id, skeleton, skeleton.joints)
            coco17 += figures.person_results(people, scores, image_id, skeleton)
            right = errors <= pck.THRESHOLD
            correct, labelled = correct + right.sum(0), labelled + known.sum(0)
            tilted += tilt.sum_by_tilt(true, right, known, skeleton)
    records = [dict(people=image.true, id=image.id, mask=image.mask) for image in images]
    ids = [image.id for image in images]
    truth = figures.ground_truth_from_records(records, skeleton)
    metrics, matches = figures.match_and_measure(truth, own, skeleton.sigmas, ids)
    matches, by_tilt = {"": matches}, tilt.match_by_tilt(truth, own, skeleton, ids)
    if set(skeleton.joints) & set(COCO17_JOINTS):
        truth = annotations or figures.ground_truth_from_records(records, skeleton, COCO17_JOINTS)
        ap17, matches["coco17/"] = figures.match_and_measure(truth, coco17, image_ids=ids)
        metrics |= {f"coco17/{name}": value for name, value in ap17.items()}
    precisions = tilt.precision_by_tilt(by_tilt, np.ones(len(ids), int))
    metrics |= {name: value for name, value in precisions.items() if np.isfinite(value)}
    metrics |= pck.pck_metrics(correct, labelled, skeleton) | tilt.tilt_metrics(tilted)
    metrics["loss"] = float(loss[0] / loss[1])
    return Evaluation(metrics, images, matches, by_tilt)


def evaluate_loss(
    loss_step: Callable, variables: Any, batches: Iterable, gather: Callable = np.asarray
) -> dict[str, float]:
    """{"score", "loss"} over one pass of batches, of a network that finds nobody: PAFs alone.

    Args:
      loss_step: (variables, batch) -> {"loss", "count"}, mapped over devices.
      variables, batches, gather: as for `evaluate_batches`.
    """
    total = np.zeros(2)
    for batch, _ in batches:
        result = loss_step(variables, batch)
        total += np.sum(gather(np.stack([result["loss"], result["count"]], -1)), 0)
    loss = float(total[0] / total[1])
    return {"score": -loss, "loss": loss}


def _image_mask(mask, to_image, stride):
    """The grid's mask [h, w] in the image's pixels, 0 where nothing counts; None if all does."""
    if mask.all():
        return None
    centre = (stride - 1) / 2  # of the first cell
    from_grid = to_image @ np.array([[stride, 0, centre], [0, stride, centre], [0, 0, 1]])
    corner = to_image @ (mask.shape[1] * stride, mask.shape[0] * stride, 1)
    return cv2.warpAffine(
        (mask > 0).astype(np.uint8),
        from_grid,
        tuple(map(int, np.ceil(corner))),
        flags=cv2.INTER_NEAREST,
        borderValue=1,
    )


def make_evaluation(
    apply: Callable, skeleton: Skeleton, config: ConfigDict, loss: Callable
) -> tuple[Callable, Callable]:
    """(`make_eval_step` by the config's `decode` and `eval`, mapped over devices; its decoder)."""
    decode = make_decoder(skeleton, stride=STRIDE, **config.decode)
    estimate = make_estimator(
        apply,
        skeleton,
        decode,
        stride=STRIDE,
        flip=config.eval.flip,
        scales=config.eval.scales,
        rotations=config.eval.rotations,
    )
    return devices.map_inference(make_eval_step(estimate, loss)), decode


def evaluate_split(
    model: nn.Module,
    variables: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    config: ConfigDict,
    split: str,
    limit: int = 0,
) -> tuple[Evaluation, Subset]:
    """The figures of a checkpoint on a split.

    Args:
      model, variables, checkpoint: of `load_checkpoint`.
      config: of configs/; its data, eval, decode and targets are used.
      split: a split's name, or a split file's path.
      limit: at most so many images, evenly drawn; 0 means all.

    Returns:
      `evaluate_batches`' results, and the source of the records.
    """
    devices.check_batch_size(config.eval.batch_size, where="--batch_size")
    skeleton, data = Skeleton.from_dict(checkpoint["skeleton"]), config.data
    source = Subset(open_source(data, split, skeleton), limit)
    most = most_people(source, data.threads)
    transform = functools.partial(
        letterbox, size=tuple(config.eval.size), stride=STRIDE, max_people=most
    )
    batches = load_once(source, transform, config)
    apply = on_images(model, checkpoint["normalisation"])
    loss = make_loss(apply, skeleton, stride=STRIDE, **config.targets)
    eval_step, _ = make_evaluation(apply, skeleton, config, loss)
    found = evaluate_batches(
        eval_step, devices.replicate(variables), batches, skeleton, source.annotations
    )
    return found, source
