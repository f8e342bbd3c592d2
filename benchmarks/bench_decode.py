"""How long decoding takes, beside a plain Python decoder, in one run.

    python benchmarks/bench_decode.py [--batch 8] [--people 10] [--runs 10] [--no-plain]

Ground-truth maps of 46 x 82 cells (a 656 x 368 image) of COCO-18 and BODY-25 dancers. Each time is
the least of several runs after compilation, in milliseconds an image; "first call" is what a user
waits once, compilation included. The plain decoder is written here in the style of the well-known
Python ones: maps upsampled by OpenCV, smoothed with a Gaussian of sigma 3, peaks by comparison with
four neighbours, limbs and people in Python loops ("tree" rule).
"""

import argparse
import time

import cv2
import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from danceflax.pose.decode import make_decoder
from danceflax.pose.targets import make_targets
from danceflax.skeleton import BODY25, COCO18

HEIGHT, WIDTH, STRIDE = 46, 82, 8

# A figure about its neck, in pixels; left is right mirrored.
FIGURE = {
    "nose": (0, -20), "neck": (0, 0), "shoulder": (-18, 2), "elbow": (-30, 22), "wrist": (-36, 44),
    "hip": (-18, 50), "mid_hip": (0, 48), "knee": (-17, 85), "ankle": (-14, 118), "eye": (-13, -31),
    "ear": (-28, -24), "big_toe": (-20, 134), "small_toe": (-36, 129), "heel": (-1, 131),
}  # fmt: skip


def place_people(skeleton, batch, count, seed=0):
    """[B, P, J, 3] dancers in two rows, jittered; more than 12 overlap."""
    rng = np.random.default_rng(seed)
    people = np.zeros((batch, count, skeleton.num_joints, 3), np.float32)
    columns = max(6, -(-count // 2))
    for p in range(count):
        centre = (56 + 542 * (p % columns) / (columns - 1), 44 + 174 * (p // columns))
        for j, name in enumerate(skeleton.joints):
            x, y = FIGURE[name.removeprefix("left_").removeprefix("right_")]
            people[:, p, j, :2] = centre + np.array([-x if name.startswith("left") else x, y])
    people[..., :2] += rng.uniform(-3, 3, people[..., :2].shape)
    people[..., 2] = 2
    return people


def time_best(function, runs):
    """(seconds of the first call, least seconds of the later ones, the result)."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        result = jax.block_until_ready(function())
        times.append(time.perf_counter() - start)
    return times[0], min(times[1:]), result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8, help="images decoded at once")
    parser.add_argument("--people", type=int, default=10, help="dancers an image")
    parser.add_argument("--runs", type=int, default=10, help="timed runs; the least counts")
    parser.add_argument("--no-plain", action="store_true", help="skip the plain Python decoder")
    arguments = parser.parse_args()

    table = Table(
        title=f"{arguments.batch} images of {arguments.people} people, {jax.devices()[0]}"
    )
    for heading in (
        "skeleton",
        "rule",
        "refine",
        "first call s",
        "ms / image",
        "people",
        "error px",
    ):
        table.add_column(heading, justify="right")
    fast, plain = {}, {}
    for skeleton in (COCO18, BODY25):
        people = place_people(skeleton, arguments.batch, arguments.people)
        maps = jax.jit(lambda p, s=skeleton: make_targets(p, s, (HEIGHT, WIDTH)))(people)
        for rule, refine in np.ndindex(2, 2):
            rule, refine = ("global", "tree")[rule], ("grid", "upsample")[refine]
            decode = make_decoder(skeleton, rule=rule, refine=refine)
            runs = arguments.runs if refine == "grid" else max(1, arguments.runs // 4)
            first, best, found = time_best(lambda d=decode, m=maps: d(*m), runs)
            best *= 1000 / arguments.batch
            fast[skeleton.name, rule, refine] = best
            table.add_row(
                skeleton.name, rule, refine, f"{first:.1f}", f"{best:.2f}", *judge(*found, people)
            )
        if not arguments.no_plain:
            heatmaps, pafs = (np.array(m[0]) for m in maps)
            start = time.perf_counter()
            found = decode_plainly(heatmaps, pafs, skeleton)
            plain[skeleton.name] = 1000 * (time.perf_counter() - start)
            padded = np.zeros((1, max(len(found), 1), skeleton.num_joints, 3))
            padded[0, : len(found)] = found
            scores = padded[..., 2].sum(-1)
            table.add_row(
                skeleton.name,
                "tree",
                "plain Python",
                "",
                f"{plain[skeleton.name]:.0f}",
                *judge(padded, scores, people[:1]),
            )
    console = Console()
    console.print(table)
    for name, milliseconds in plain.items():
        for refine in ("grid", "upsample"):
            ratio = milliseconds / fast[name, "tree", refine]
            console.print(
                f"{name}, tree rule, {refine}: {ratio:.0f} times the plain decoder's speed"
            )


def judge(found, scores, people):
    """People an image, and the median distance of the joints found from the true ones."""
    found, scores = np.asarray(found), np.asarray(scores)
    distance = np.linalg.norm(found[:, :, None, :, :2] - people[:, None, ..., :2], axis=-1)
    distance = np.where(found[:, :, None, :, 2] > 0, distance, np.nan)[scores > 0]
    with np.errstate(all="ignore"):
        nearest = np.nanmin(distance, axis=1) if len(distance) else np.array([np.nan])
    return f"{(scores > 0).sum(1).mean():.1f}", f"{np.nanmedian(nearest):.2f}"


def decode_plainly(heatmaps, pafs, skeleton):
    """One image's people, a list of [J, 3], by loops on maps of the input's size."""
    size = (WIDTH * STRIDE, HEIGHT * STRIDE)
    heatmaps = np.dstack(
        [cv2.resize(m, size, interpolation=cv2.INTER_CUBIC) for m in np.moveaxis(heatmaps, -1, 0)]
    )
    pafs = np.dstack(
        [cv2.resize(m, size, interpolation=cv2.INTER_CUBIC) for m in np.moveaxis(pafs, -1, 0)]
    )
    taps = np.exp(-0.5 * (np.arange(-12, 13) / 3.0) ** 2)
    taps /= taps.sum()
    peaks = []  # by joint: a list of (x, y, score)
    for j in range(skeleton.num_joints):
        smooth = np.apply_along_axis(np.convolve, 0, heatmaps[..., j], taps, "same")
        smooth = np.apply_along_axis(np.convolve, 1, smooth, taps, "same")
        rim = np.pad(smooth, 1)
        highest = (smooth >= rim[:-2, 1:-1]) & (smooth >= rim[2:, 1:-1]) & (smooth > 0.1)
        highest &= (smooth >= rim[1:-1, :-2]) & (smooth >= rim[1:-1, 2:])
        peaks.append([(x, y, heatmaps[y, x, j]) for y, x in np.argwhere(highest)])

    people = []  # [{joint: peak}, score]
    for k in skeleton.assembly:
        first, second = skeleton.limbs[k]
        pairs = []
        for a, (ax, ay, _) in enumerate(peaks[first]):
            for b, (bx, by, _) in enumerate(peaks[second]):
                length = max(np.hypot(bx - ax, by - ay), 1e-6)
                xs = np.round(np.linspace(ax, bx, 10)).astype(int)
                ys = np.round(np.linspace(ay, by, 10)).astype(int)
                along = np.array(
                    [pafs[y, x, 2 * k : 2 * k + 2] for x, y in zip(xs, ys, strict=True)]
                )
                along = along @ (np.array([bx - ax, by - ay]) / length)
                score = along.mean() + min(0.5 * size[1] / length - 1, 0)
                if (along > 0.05).sum() > 8 and score > 0:
                    pairs.append((score, a, b))
        taken = set()
        for score, a, b in sorted(pairs, reverse=True):
            if (0, a) in taken or (1, b) in taken:
                continue
            taken |= {(0, a), (1, b)}
            owners = [p for p in people if p[0].get(first) == a or p[0].get(second) == b]
            if len(owners) == 1 and not skeleton.redundant[k]:
                owners[0][0][second] = b
                owners[0][1] += score + peaks[second][b][2]
            elif not owners and not skeleton.redundant[k]:
                people.append(
                    [{first: a, second: b}, score + peaks[first][a][2] + peaks[second][b][2]]
                )
    result = []
    for joints, score in people:
        if len(joints) >= 4 and score / len(joints) >= 0.4:
            person = np.zeros((skeleton.num_joints, 3))
            for j, index in joints.items():
                person[j] = peaks[j][index]
            result.append(person)
    return result


if __name__ == "__main__":
    main()
