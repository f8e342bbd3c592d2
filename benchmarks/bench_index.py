"""How long does a root of 400,000 frames take to index and to open, and what does it hold?

    python benchmarks/bench_index.py [--frames 4000 40000 400000] [--folder FOLDER]

Makes up a root of so many frames in 16 dances, a tiny image and a JSON each, and removes it again.
Each row is measured in a fresh process. "scan" is opening without an index, as other readers of the
layout do it at every start; "MB" is what the process holds more after opening than before; "peak"
is the most while it opened; "ms an epoch" is the time to shuffle the order, "us an index" to draw
from it.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from rich.console import Console
from rich.table import Table

NUM_DANCES, CLIP_LENGTH = 16, 300


def make_root(root, num_frames):
    """Writes the frames and keypoints. Returns the seconds it took."""
    start = time.perf_counter()
    for d in range(NUM_DANCES):
        folders = [f"{root}/{kind}/dance{d:02d}" for kind in ("frames", "keypoints")]
        for folder in folders:
            os.makedirs(folder)
        for i in range(num_frames // NUM_DANCES):
            name = f"{i // CLIP_LENGTH:09d}{d:02d}_{i % 60:03d}_{i % CLIP_LENGTH:04d}"
            for path, text in (
                (f"{folders[0]}/{name}.jpg", b"x"),
                (f"{folders[1]}/{name}.json", b"[]"),
            ):
                file = os.open(path, os.O_CREAT | os.O_WRONLY)
                os.write(file, text)
                os.close(file)
    return time.perf_counter() - start


def measure_index(root):
    from danceflax.data.root import write_index

    start = time.perf_counter()
    write_index(root)
    return {"index": time.perf_counter() - start}


def measure_open(root):
    import numpy as np

    from danceflax.data.frames import LetsDanceSource
    from danceflax.data.loader import TrainingBatches
    from danceflax.skeleton import COCO18

    before, start = resident_memory(), time.perf_counter()
    source = LetsDanceSource(root, "all", COCO18)
    seconds, held = time.perf_counter() - start, resident_memory() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 - before
    batches = TrainingBatches(source, None, 1, seed=0)
    draws = np.random.default_rng(0).integers(0, len(source), 5000).tolist()
    start = time.perf_counter()
    batches.draw(0)
    epoch = time.perf_counter() - start
    start = time.perf_counter()
    for draw in draws:
        source.files[batches.draw(draw)]
    each = (time.perf_counter() - start) / len(draws) * 1e6
    return {
        "open": seconds,
        "held": held,
        "peak": max(peak, held),
        "draw": each,
        "epoch": epoch * 1e3,
    }


def resident_memory():
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def in_fresh_process(job, root):
    done = subprocess.run(
        [sys.executable, __file__, f"--job={job}", f"--folder={root}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[4_000, 40_000, 400_000])
    parser.add_argument("--folder", help="where the made-up roots go for the while")
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        print(json.dumps(JOBS[args.job](args.folder)))
        return
    table = Table(title=f"A Let's Dance root, {os.cpu_count()} cores")
    for column in ("frames", "made (s)", "scan (s)", "index (s)", "KB", "open (s)", "MB", "peak",
                   "ms an epoch", "us an index"):  # fmt: skip
        table.add_column(column, justify="right")
    for num_frames in args.frames:
        with tempfile.TemporaryDirectory(dir=args.folder) as root:
            made = make_root(root, num_frames)
            scan = in_fresh_process("open", root)
            index = in_fresh_process("index", root)
            found = in_fresh_process("open", root)
            size = os.path.getsize(f"{root}/index.npz") / 1e3
            table.add_row(
                f"{num_frames:,}", f"{made:.1f}", f"{scan['open']:.2f}", f"{index['index']:.2f}",
                f"{size:,.0f}", f"{found['open']:.3f}", f"{found['held']:.0f}",
                f"{found['peak']:.0f}", f"{found['epoch']:.1f}", f"{found['draw']:.1f}",
            )  # fmt: skip
    Console(width=100).print(table)


JOBS = {"index": measure_index, "open": measure_open}

if __name__ == "__main__":
    main()
