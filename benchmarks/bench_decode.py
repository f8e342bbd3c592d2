"""Decoding beside a compiled C++ decoder of the same rule, decode.cpp: it finds the same people.

    python benchmarks/bench_decode.py [--rounds 7] [--maps real_maps.npz]

Ground-truth maps of 46 x 82 cells (a 656 x 368 image) of COCO-18 and BODY-25 dancers, and, with
--maps, what a network says of photographs: `maps` [N, h, w, 57] of COCO-18. The C++ uses one
thread, and takes its maps where they lie; ours uses the processor as JAX does.
"""

import pathlib
import tempfile

import jax
import numpy as np
from compiled import compile_decoder, make_compiled_decoder
from harness import compare, run_figure

from danceflax.pose.decode import make_decoder
from danceflax.pose.targets import make_targets
from danceflax.skeleton import BODY25, COCO18

HEIGHT, WIDTH = 46, 82
BATCHES, CROWDS = (1, 8), (1, 5, 10, 20)
REPEATS = 20  # decodings that one turn takes: one alone is too short to time

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


def check_same(found, expected):
    """Raises AssertionError: the two did not find the same people."""
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def measure(rounds, maps=None):
    with tempfile.TemporaryDirectory() as folder:
        library = compile_decoder(pathlib.Path(folder))
        if library is None:
            raise SystemExit(
                "there is no g++ here, which the other decoder needs: nothing measured"
            )
        rows = []
        for skeleton, batch, about, given in make_work(maps):
            ours, theirs = make_decoder(skeleton), make_compiled_decoder(library, skeleton)
            on_host = [np.array(x) for x in given]
            check_same(ours(*given), theirs(*on_host))

            def decode(given=given, ours=ours):
                for _ in range(REPEATS):
                    jax.block_until_ready(ours(*given))

            def decode_compiled(given=on_host, theirs=theirs):
                for _ in range(REPEATS):
                    theirs(*given)

            work = f"{REPEATS} times decoding {batch} {skeleton.name} {about}"
            rows += compare(work, decode, {"C++, one thread": decode_compiled}, rounds)
        return rows


def make_work(maps):
    """(skeleton, batch, what it is, (heatmaps, PAFs)) of each line."""
    for skeleton in (COCO18, BODY25):
        for batch in BATCHES:
            for count in CROWDS:
                people = place_people(skeleton, batch, count)
                drawn = jax.jit(lambda p, s=skeleton: make_targets(p, s, (HEIGHT, WIDTH)))(people)
                yield skeleton, batch, f"maps of {count}", drawn
    if maps:
        stored = np.load(maps)["maps"].astype(np.float32)
        for batch in BATCHES:
            given = jax.device_put((stored[:batch, ..., :19], stored[:batch, ..., 19:]))
            yield COCO18, batch, "maps of photographs", given


if __name__ == "__main__":
    run_figure(measure, __doc__, maps="an .npz of a network's maps")
