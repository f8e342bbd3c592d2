"""Kills trainings at random moments, and takes their disk and data away; ends with a table.

python benchmarks/soak.py --kills=200                      the toy of the tests, and both trainers
python benchmarks/soak.py --kills=30 --trainings=toy

Each training is started again until it is through; its weights must be those, bit for bit, of one
that nothing befell. DATA is a root made by prepare_data.py synthetic; by default one is made.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from danceflax.io.console import print_table
from danceflax.training import checkpoints, digests

ROOT = pathlib.Path(__file__).parents[1]
POSE = dict(
    batch_size=2, log_every=2, eval_every=8, save_every=2, **{
        "model.width": 0.1, "model.paf_stages": 1, "model.heatmap_stages": 1,
        "augment.size": "64,64", "eval.size": "64,64", "eval.limit": 4, "eval.batch_size": 2,
        "eval.pictures": 2, "steps": 16,
    },
)  # fmt: skip
CLASSIFIER = dict(
    batch_size=2, log_every=2, eval_every=8, save_every=2, steps=16, **{
        "clip.frames": 9, "clip.size": 32, "eval.batch_size": 2, "eval.limit": 4,
        "cache.views": 2, "model.head_channels": 8,
    },
)  # fmt: skip
FROZEN = {"streams.rgb.train": False}
# How a training is cut: by signals, or by what it needs going away for some seconds.
CUTS = ("SIGKILL", "SIGKILL", "SIGTERM", "full disk", "read-only", "no data")


def make_command(name, workdir, data):
    """The command line of a training by name: toy, pose, classifier or cached."""
    if name == "toy":
        words = [f"toy.home={str(data)!r}", "toy.step_seconds=0.02", "steps=200", "toy.size=2000",
                 "log_every=5", "save_every=5", "eval_every=50", "data.patience=1.0"]  # fmt: skip
        return [sys.executable, "tests/toy_task.py", str(workdir), *words]
    pose = name == "pose"
    script = "train_openpose.py" if pose else "train_classifier.py"
    config = "configs/openpose_body25.py:demo" if pose else "configs/i3d.py:rgb,demo"
    fields = POSE if pose else CLASSIFIER | (FROZEN if name == "cached" else {})
    fields = fields | {"data.root": data, "data.patience": 1.0}
    return [
        sys.executable, script, f"--config={config}", f"--workdir={workdir}",
        *(f"--config.{key}={value}" for key, value in fields.items()),
    ]  # fmt: skip


def start(name, workdir, data, log):
    return subprocess.Popen(
        make_command(name, workdir, data), cwd=ROOT, stdout=log, stderr=log,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def make_data(name, folder):
    """The data of a training: files by number for the toy, else a synthetic root."""
    if name == "toy":
        folder.mkdir()
        for index in range(50):
            (folder / str(index)).touch()
        return folder
    from danceflax.prepare.synthetic.dataset import write_dataset

    clips = {"train": 1, "val": 1, "test": 1}
    return write_dataset(folder, clips_per_dance=clips, frames_per_clip=12, size=(96, 96))


@contextlib.contextmanager
def make_disk(folder):
    """A disk of its own for a workdir, if this user may mount one; the value says so."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512m", "none", folder]
    mounted = subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


def cut(kind, process, disk, data, rng):
    """Does that to a running training, and undoes it once the training has ended or borne it."""
    if kind.startswith("SIG"):
        process.send_signal(getattr(signal, kind))
        process.wait(120)
    elif kind == "no data":
        away = data.with_name("away")
        data.rename(away)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.choice([0.5, 60]))
        away.rename(data)
    elif kind == "full disk":
        filler = disk / "filler"
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(1, 20))
        filler.unlink()
    else:
        remount = ["mount", "-o", "remount,{}", disk]
        subprocess.run([word.format("ro") if word is remount[2] else word for word in remount])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(1, 20))
        subprocess.run([word.format("rw") if word is remount[2] else word for word in remount])


def soak(name, kills, folder, rng):
    """Trains once in peace and once under `kills` cuts; (counts of cuts, starts, equal, log)."""
    data = make_data(name, folder / "data")
    with open(folder / "peace.log", "w") as log:
        if start(name, folder / "peace", data, log).wait() != 0:
            raise SystemExit((folder / "peace.log").read_text())
    counts, starts, log = collections.Counter(), 0, open(folder / "log", "w")  # noqa: SIM115
    with make_disk(folder / "disk") as mounted, log:
        kinds = [kind for kind in CUTS if mounted or kind not in ("full disk", "read-only")]
        workdir = folder / "disk" / "run"
        while counts.total() < kills:
            process, begun = start(name, workdir, data, log), time.monotonic()
            starts += 1
            ends = begun + rng.uniform(0.5, 8)
            while process.poll() is None and time.monotonic() < ends:
                time.sleep(0.02)
            if process.poll() is None:
                kind = rng.choice(kinds)
                cut(kind, process, folder / "disk", data, rng)
                counts[kind] += 1
            elif process.returncode == 0:  # through: the next begins anew
                if not is_same(folder / "peace", workdir):
                    return counts, starts, False
                shutil.rmtree(workdir)
            if process.poll() is None:
                process.kill()
                process.wait()
        for _ in range(9):
            starts += 1
            if start(name, workdir, data, log).wait() == 0:
                break
        return counts, starts, is_same(folder / "peace", workdir)


def is_same(one, two):
    """Whether the last checkpoints of two workdirs hold the same bits."""
    steps = [digests.list_steps(path / digests.FOLDER)[0] for path in (one, two)]
    if steps[0] != steps[1]:
        return False
    (a, _), (b, _) = (
        checkpoints.load_model(p / digests.FOLDER / str(steps[0])) for p in (one, two)
    )
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="cuts in all")
    parser.add_argument("--trainings", default="toy,pose,classifier,cached")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    names = args.trainings.split(",")
    rows, failed = [], False
    for number, name in enumerate(names):
        kills = args.kills // len(names) + (number < args.kills % len(names))
        with tempfile.TemporaryDirectory() as folder:
            rng = random.Random(f"{args.seed} {name}")
            counts, starts, same = soak(name, kills, pathlib.Path(folder), rng)
        failed |= not same
        cuts = [counts[kind] for kind in dict.fromkeys(CUTS)]
        rows.append((name, starts, *cuts, "the same bits" if same else "NOT the same"))
    print_table("soak", ("training", "starts", *dict.fromkeys(CUTS), "weights"), rows)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
