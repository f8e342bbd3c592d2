"""Runs a network over a split and measures it."""

import cv2
import jax
import numpy as np

from danceflax.pose import metrics as figures
from danceflax.pose.augment import transform_people
from danceflax.pose.draw import draw_people, make_grid, training_panel
from danceflax.pose.targets import make_targets


def make_eval_step(estimate, loss):
    """(variables, batch) -> people, scores and the loss's (sum, count), to map over devices."""

    def eval_step(variables, batch):
        people, scores = estimate(variables, batch["image"])
        model_state = {key: value for key, value in variables.items() if key != "params"}
        total, (count, _, _) = loss(variables["params"], model_state, batch, None)
        return {"people": people, "scores": scores, "loss": total, "count": count}

    return eval_step


def evaluate_batches(eval_step, variables, batches, skeleton, annotations=None, gather=np.asarray):
    """AP, PCK and loss over one pass of batches.

    Args:
      eval_step: from `make_eval_step`, mapped over devices.
      variables: of the network.
      batches: iterator of (letterboxed batch, names), the last one padded with weight 0.
      skeleton: of the network.
      annotations: path of the COCO file, where the source has one: the 17 joints are then measured
        against it, with its areas and crowds.
      gather: puts the arrays of all processes one after the other.

    Returns:
      (metrics, images): metrics are {"AP", "AP50", ..., "PCK", "PCK/<joint>", "loss"} over the
      skeleton's joints, and "coco17/AP", ... over COCO's. images is a list of {index, name, people,
      scores}, people in the image's pixels; of this process only.
    """
    correct, labelled = np.zeros(skeleton.num_joints), np.zeros(skeleton.num_joints)
    records, own, coco17, images, loss = [], [], [], [], np.zeros(2)
    for number, (batch, names) in enumerate(batches):
        stride = batch["image"].shape[1] // batch["mask"].shape[1]
        result = eval_step(variables, batch)
        loss += np.sum(gather(np.stack([result["loss"], result["count"]], -1)), 0)
        found = {key: result[key] for key in ("people", "scores")}
        truth = {key: batch[key] for key in ("people", "to_image", "id", "weight", "mask")}
        for n, name in enumerate(names):
            if batch["weight"][n]:
                people = transform_people(found["people"][n], batch["to_image"][n])
                scores = found["scores"][n]
                keep = scores > 0
                index = number * len(names) + n
                images.append(
                    dict(index=index, name=name, people=people[keep], scores=scores[keep])
                )
        found, truth = (jax.tree.map(gather, x) for x in (found, truth))
        for n in np.flatnonzero(truth["weight"]):
            affine = truth["to_image"][n]
            people = transform_people(found["people"][n], affine)[found["scores"][n] > 0]
            scores = found["scores"][n][found["scores"][n] > 0]
            true = transform_people(truth["people"][n], affine)
            true = true[(true[..., 2] > 0).any(1)]
            image_id = int(truth["id"][n]) if annotations else len(records)
            mask = _image_mask(truth["mask"][n], affine, stride)
            records.append({"people": true, "id": image_id, "mask": mask})
            own += figures.person_results(people, scores, image_id, skeleton, skeleton.joints)
            coco17 += figures.person_results(people, scores, image_id, skeleton)
            right, total = figures.pck(true, people, skeleton)
            correct, labelled = correct + right, labelled + total
    truth = figures.ground_truth_from_records(records, skeleton)
    metrics = figures.coco_average_precision(truth, own, skeleton.sigmas)
    truth = annotations or figures.ground_truth_from_records(
        records, skeleton, figures.COCO17_JOINTS
    )
    ids = [record["id"] for record in records]
    ap17 = figures.coco_average_precision(truth, coco17, image_ids=ids)
    metrics |= {f"coco17/{name}": value for name, value in ap17.items()}
    metrics |= figures.pck_metrics(correct, labelled, skeleton)
    return metrics | {"loss": float(loss[0] / loss[1])}, images


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


def write_comparison(path, source, images, skeleton, columns=4):
    """Writes a PNG of images with the people labelled and the people found, side by side.

    Args:
      path: the file.
      source: the records that were evaluated.
      images: of `evaluate_batches`.
      skeleton: of the network.
      columns: pairs in a row.
    """
    cells = []
    for image in images:
        record = source[image["index"]]
        for people in (record["people"], image["people"]):
            drawn = draw_people(record["image"], people, skeleton)
            cells.append(cv2.resize(drawn, (256, 256 * drawn.shape[0] // drawn.shape[1])))
    height = max(cell.shape[0] for cell in cells)
    cells = [cv2.copyMakeBorder(c, 0, height - len(c), 0, 0, cv2.BORDER_CONSTANT) for c in cells]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % (2 * columns))
    rows = [cells[i : i + 2 * columns] for i in range(0, len(cells), 2 * columns)]
    picture = make_grid(rows, ("labelled", "found") * columns)
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def make_panel(apply, decode, skeleton, **targets):
    """Builds panel(variables, batch) -> an RGB picture of what the network sees and should see.

    Args:
      apply: (variables, images) -> the network's `Maps`.
      decode: from `make_decoder`.
      skeleton: of the network.
      **targets: stride, sigma, limb_width and mode of `make_targets`.
    """

    @jax.jit
    def compute(variables, batch):
        maps = apply(variables, batch["image"])
        predicted = maps.heatmaps[-1], maps.pafs[-1]
        shape = predicted[0].shape[1:3]
        return (
            make_targets(batch["people"], skeleton, shape, **targets),
            predicted,
            decode(*predicted),
        )

    def panel(variables, batch):
        target, predicted, (people, _) = jax.device_get(compute(variables, batch))
        return training_panel(batch["image"], target, predicted, people, skeleton)

    return panel
