"""The pose loader beside one that draws its heatmaps and PAFs in numpy.

    python benchmarks/bench_loader.py [--rounds 7]

All read the same made-up Let's Dance root (640x360 JPEGs, one keypoint file each) and make 368x368
crops of the same distribution, in one thread:

  danceflax  as it is: one warp; the targets are drawn in the training step, on the device
  drawn      the same crops, and the targets drawn in numpy: joint by joint and limb by limb, person
             by person, each over the whole 46x46 grid; compared with the device's in the same run
  in steps   drawing, and the augmentation as published training codes have it: resize, rotate, crop
             and flip the image one after the other, with cubic interpolation
"""

import functools
import json
import pathlib
import tempfile

import cv2
import numpy as np
from harness import compare, run_figure

from danceflax.data.frames import LetsDanceSource
from danceflax.data.loader import TrainingBatches
from danceflax.people import transform_people
from danceflax.pose.augment import augment
from danceflax.pose.grid import to_grid
from danceflax.skeleton import COCO17_JOINTS, COCO18

SIZE, STRIDE, GRID, BATCH = (368, 368), 8, 46, 16
SIGMA, LIMB_WIDTH = 7.0, 8.0
BATCHES = 4  # a turn


def write_root(root, people, num_frames=64, seed=0):
    """A Let's Dance root of textured frames of about 35 KB, with standing figures as keypoints."""
    rng = np.random.default_rng(seed)
    for folder in ("frames", "keypoints"):
        (root / folder / "tango").mkdir(parents=True)
    for i in range(num_frames):
        name = f"tango/abcdefghijk_000_{i:04d}"
        image = cv2.resize(rng.integers(0, 255, (45, 80, 3), np.uint8), (640, 360))
        image = cv2.add(image, rng.integers(0, 8, image.shape, np.uint8))
        cv2.imwrite(str(root / "frames" / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 80])
        persons = []
        for x in np.linspace(120, 520, people):
            points = rng.uniform((x - 50, 70), (x + 50, 290), (17, 2)).round(2).tolist()
            persons.append([["person"], *zip(COCO17_JOINTS, points, strict=True)])
        (root / "keypoints" / f"{name}.json").write_text(json.dumps(persons))


def draw_targets(people):
    """([46, 46, 19], [46, 46, 38]) float64 heatmaps and PAFs of people [P, 18, 3] in pixels."""
    heatmaps = np.zeros((GRID, GRID, COCO18.num_heatmaps))
    pafs = np.zeros((GRID, GRID, COCO18.num_pafs))
    for j in range(COCO18.num_joints):
        for person in people:
            if person[j, 2]:
                gaussian = draw_gaussian(to_grid(person[j, :2], STRIDE))
                heatmaps[..., j] = np.maximum(heatmaps[..., j], gaussian)
    heatmaps[..., -1] = 1 - heatmaps[..., :-1].max(-1)
    for k, (i, j) in enumerate(COCO18.limbs):
        count = np.zeros((GRID, GRID))
        field = np.zeros((GRID, GRID, 2))
        for person in people:
            if person[i, 2] and person[j, 2]:
                a, b = to_grid(person[i, :2], STRIDE), to_grid(person[j, :2], STRIDE)
                field, count = add_limb(field, count, a, b)
        pafs[..., 2 * k : 2 * k + 2] = field
    return heatmaps, pafs


def draw_gaussian(center):
    x, y = np.meshgrid(np.arange(GRID), np.arange(GRID))
    squared = ((x - center[0]) ** 2 + (y - center[1]) ** 2) * STRIDE**2
    exponent = squared / 2 / SIGMA**2
    return np.exp(-exponent) * (exponent <= 4.6052)


def add_limb(field, count, a, b):
    """The running mean of a limb's field and the number of people it is taken over."""
    length = np.linalg.norm(b - a)
    if length < 1e-4:
        return field, count
    unit = (b - a) / length
    x, y = np.meshgrid(np.arange(GRID), np.arange(GRID))
    x, y = x - a[0], y - a[1]
    along = x * unit[0] + y * unit[1]
    across = np.abs(x * unit[1] - y * unit[0])
    inside = (across <= LIMB_WIDTH / STRIDE) & (along >= 0) & (along <= length)
    total = field * count[..., None] + inside[..., None] * unit
    count = count + inside
    return total / np.maximum(count, 1)[..., None], count


def crop_in_steps(record, rng, max_people=8):
    """A random crop by resizing, rotating, cropping and mirroring in turn; colours stay."""
    people, image = record["people"], record["image"]
    x, y, width, height = record["boxes"][rng.integers(len(people))]
    center = np.array([x + width / 2, y + height / 2])
    factor = 0.6 * SIZE[0] / max(height, 32) * rng.uniform(0.5, 1.1)
    image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    people, center = people * (factor, factor, 1), center * factor

    height, width = image.shape[:2]
    angle = rng.uniform(-40, 40)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    wide, high = np.ceil(np.abs(turn[:, :2]) @ (width, height)).astype(int)
    turn[:, 2] += (wide / 2 - width / 2, high / 2 - height / 2)
    grey = (128, 128, 128)
    image = cv2.warpAffine(image, turn, (wide, high), flags=cv2.INTER_CUBIC, borderValue=grey)
    people, center = transform_people(people, turn), turn[:, :2] @ center + turn[:, 2]

    left, top = (center + rng.uniform(-40, 40, 2)).round().astype(int) - SIZE[0] // 2
    crop = np.full((*SIZE, 3), 128, np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + SIZE[1], wide), min(top + SIZE[0], high)
    if x1 > x0 and y1 > y0:
        crop[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    people = transform_people(people, [[1, 0, -left], [0, 1, -top]])
    if rng.random() < 0.5:
        crop = np.ascontiguousarray(crop[:, ::-1])
        people = transform_people(people, [[-1, 0, SIZE[1] - 1], [0, 1, 0]])[:, COCO18.flip]

    xy = people[..., :2]
    people = np.where(((xy >= 0) & (xy < SIZE[0])).all(-1, keepdims=True), people, 0)
    padded = np.zeros((max_people, *people.shape[1:]), np.float32)
    padded[: len(people)] = people
    mask = np.full((GRID, GRID), 255, np.uint8)
    return dict(image=crop, people=padded, mask=mask, labelled=record["labelled"])


def with_drawing(crop, record, rng):
    item = crop(record, rng)
    heatmaps, pafs = draw_targets(item["people"])
    return item | dict(heatmaps=heatmaps.astype(np.float32), pafs=pafs.astype(np.float32))


def check_drawing(batch):
    """The maps drawn in numpy are those of the device; says by how much they differ."""
    import jax

    from danceflax.pose.targets import make_targets

    jax.config.update("jax_platforms", "cpu")
    heatmaps, pafs = make_targets(batch["people"], COCO18, (GRID, GRID), STRIDE, SIGMA, LIMB_WIDTH)
    assert np.abs(batch["heatmaps"] - heatmaps).max() < 0.011  # Gaussians are cut at 1 %
    differing = (np.abs(batch["pafs"] - pafs) > 1e-3).mean()
    assert differing < 1e-4, differing  # cells on a limb's very edge


def measure(rounds):
    cv2.setNumThreads(1)
    crop = functools.partial(augment, skeleton=COCO18, size=SIZE, stride=STRIDE, max_people=8)
    peers = {
        "the same, maps drawn in numpy": functools.partial(with_drawing, crop),
        "augmented in steps, maps drawn in numpy": functools.partial(with_drawing, crop_in_steps),
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for people in (1, 2, 4):
            root = pathlib.Path(folder) / str(people)
            write_root(root, people)
            source = LetsDanceSource(root, "all", COCO18)

            def batches(transform, source=source):
                made = TrainingBatches(source, transform, BATCH, seed=0)
                return lambda: [made[step] for step in range(BATCHES)] and None

            runs = {name: batches(transform) for name, transform in peers.items()}
            for transform in peers.values():
                check_drawing(TrainingBatches(source, transform, BATCH, seed=0)[0][0])
            work = f"{BATCHES * BATCH} crops of 368x368 with {people} people, one thread"
            rows += compare(work, batches(crop), runs, rounds)
    return rows


if __name__ == "__main__":
    run_figure(measure, __doc__)
