"""Host memory of a training over its steps: what it grows by once all has been done before.

python benchmarks/bench_growth.py                            # a small pose network, 2,000 steps
python benchmarks/bench_growth.py --training=classifier      # or toy, cached
python benchmarks/bench_growth.py --config.eval_every=0      # what follows is for the training

The trainings are those of benchmarks/soak.py. On two cores a pose training takes some minutes.
"""

import argparse
import pathlib
import re
import runpy
import sys
import tempfile
from unittest import mock

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from benchmarks import soak
from danceflax.io.console import console, print_table
from danceflax.training.report import Report

MEMORY = ("VmRSS", "RssAnon")
WARM = 0.1  # of the steps: until then all that a training does was done, some of it twice


def read_memory():
    """MB of this process that lie in memory: (all, those that are no file's)."""
    status = pathlib.Path("/proc/self/status").read_text()
    return [int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1000 for name in MEMORY]


def measure(name, steps, folder, more):
    """[(step, MB, MB of no file)] of a training's logged steps."""
    found = []
    scalars = Report.scalars

    def note(report, step, split, *values):
        scalars(report, step, split, *values)
        if split == "train":
            found.append((step, *read_memory()))

    words = soak.make_command(name, folder / "run", soak.make_data(name, folder / "data"))
    prefix = "" if name == "toy" else "--config."
    every = dict(
        steps=steps, log_every=steps // 100, save_every=steps // 20, eval_every=steps // 10
    )
    words += [f"{prefix}{key}={value}" for key, value in {"steps": steps, **every}.items()] + more
    with mock.patch.object(sys, "argv", words), mock.patch.object(Report, "scalars", note):
        try:
            runpy.run_path(str(soak.ROOT / words[0]), run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise
    return np.array(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--training", default="pose", help="toy, pose, classifier or cached")
    parser.add_argument("--steps", type=int, default=2000)
    args, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args.training, args.steps, pathlib.Path(folder), more)
    warm = found[found[:, 0] > WARM * args.steps]
    parts = np.array_split(warm, 10)
    rows = [
        (f"{part[0, 0]:.0f}-{part[-1, 0]:.0f}", *(f"{x:.1f}" for x in np.median(part, 0)[1:]))
        for part in parts
    ]
    print_table(f"{args.training}: host memory", ("steps", "MB", "MB of no file"), rows)
    first, last = (np.median(part, 0)[1] for part in (parts[0], parts[-1]))
    console.print(f"growth {last / first - 1:.2%}, most {warm[:, 1].max():.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
