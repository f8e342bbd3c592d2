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
sys.path.append(str(ROOT / "tests"))

import forked  # noqa: E402 (of the tests, as the toy is)

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
FROZEN = {"streams.rgb.train": False, "streams.rgb.init_allow_missing": ".*"}
# How a training is cut: by signals, or by what it needs going away for some seconds.
CUTS = ("SIGKILL", "SIGKILL", "SIGTERM", "full disk", "read-only", "no data")


def make_command(name, workdir, data):
    """The command line of a training by name: toy, pose, classifier or cached."""
    if name == "toy":
        words = [f"toy.home={str(data)!r}", "toy.step_seconds=0.01", "steps=60", "toy.size=2000",
                 "log_every=5", "save_every=3", "eval_every=20", "data.patience=0.5"]  # fmt: skip
        return ["tests/toy_task.py", str(workdir), *words]
    pose = name == "pose"
    script = "train_openpose.py" if pose else "train_classifier.py"
    config = "configs/openpose_body25.py:demo" if pose else "configs/i3d.py:rgb,demo"
    fields = POSE if pose else CLASSIFIER | (FROZEN if name == "cached" else {})
    fields = fields | {"data.root": data, "data.patience": 1.0}
    return [
        script, f"--config={config}", f"--workdir={workdir}",
        *(f"--config.{key}={value}" for key, value in fields.items()),
    ]  # fmt: skip


@contextlib.contextmanager
def start(name, workdir, data):
    """A training as a process, which ends with the block if it has not ended before.

    What it says is added to FOLDER/log, of the data's folder.
    """
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(data.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    outputs = [data.parent / "log"] * 2
    process = forked.start(make_command(name, workdir, data), outputs, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.join()


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
    """A disk of its own for a workdir, if this user may mount one; the value says so. It goes at
    the end, and with it what `lock_disk` laid over it."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512m", "none", folder]
    mounted = subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            unlock_disk(folder)
            subprocess.run(["umount", "--lazy", folder], check=True)


def lock_disk(disk):
    """Makes a mounted disk read-only, if this machine's kernel can; the value says so.

    It is mounted over itself: a remount is refused while a file is open. That one can be written.
    """
    command = ["mount", "--bind", "-o", "ro", disk, disk]
    locked = subprocess.run(command, capture_output=True).returncode == 0
    return locked and not os.access(disk, os.W_OK)


def unlock_disk(disk):
    """Takes off again what lock_disk laid over the disk, which a half success does too."""
    mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    if sum(line.split()[1] == str(disk) for line in mounts) > 1:
        subprocess.run(["umount", "--lazy", disk], check=True)


def find_impossible(disk, mounted):
    """The cuts that this machine does not allow, as a container's root finds."""
    if not mounted:
        return {"full disk", "read-only"}
    locked = lock_disk(disk)
    unlock_disk(disk)
    return set() if locked else {"read-only"}


def cut(kind, process, disk, data, seconds):
    """Does that to a running training, and undoes it once the training has ended or has borne it
    for so many seconds."""
    if kind.startswith("SIG"):
        with contextlib.suppress(ProcessLookupError):  # through, just now
            os.kill(process.pid, getattr(signal, kind))
        process.join(120)
    elif kind == "no data":
        away = data.with_name("away")
        data.rename(away)
        process.join(seconds)
        away.rename(data)
    elif kind == "full disk":
        filler = disk / "filler"
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        process.join(seconds)
        filler.unlink()
    else:
        lock_disk(disk)
        process.join(seconds)
        unlock_disk(disk)


def soak(name, kills, folder, rng, seconds=float("inf")):
    """Trains once in peace, and under `kills` cuts, or as many as so many seconds allow; (counts of
    cuts, starts, equal)."""
    ends = time.monotonic() + seconds
    data = make_data(name, folder / "data")
    train(name, folder / "peace", data)
    shutil.rmtree(folder / "peace")  # it compiled; the next is as fast as those that are cut
    begun = time.monotonic()
    train(name, folder / "peace", data)
    peace = time.monotonic() - begun
    counts, starts = collections.Counter(), 0
    with make_disk(folder / "disk") as mounted:
        impossible = find_impossible(folder / "disk", mounted)
        kinds = [kind for kind in CUTS if kind not in impossible]
        workdir = folder / "disk" / "run"
        while counts.total() < kills and time.monotonic() < ends:
            starts += 1
            with start(name, workdir, data) as process:
                process.join(rng.uniform(0, peace / 2))  # most go on from somewhere
                if process.is_alive():
                    kind = rng.choice(kinds)
                    cut(kind, process, folder / "disk", data, rng.uniform(0, peace / 2))
                    counts[kind] += 1
            if process.exitcode == 0:  # through: the next begins anew
                if not is_same(folder / "peace", workdir):
                    return counts, starts, False
                shutil.rmtree(workdir)
        train(name, workdir, data)
        return counts, starts + 1, is_same(folder / "peace", workdir)


def train(name, workdir, data):
    """Trains to the end. Raises SystemExit, with what was said: it does not get there."""
    with start(name, workdir, data) as process:
        process.join()
    if process.exitcode != 0:
        raise SystemExit((data.parent / "log").read_text())


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
    parser.add_argument("--minutes", type=float, default=float("inf"), help="at most, for each")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda kind, _: sys.exit(128 + kind))  # undoes what is mounted
    names = args.trainings.split(",")
    rows, failed = [], False
    for number, name in enumerate(names):
        kills = args.kills // len(names) + (number < args.kills % len(names))
        with tempfile.TemporaryDirectory() as folder:
            rng = random.Random(f"{args.seed} {name}")
            seconds = 60 * args.minutes
            counts, starts, same = soak(name, kills, pathlib.Path(folder), rng, seconds)
        failed |= not same
        cuts = [counts[kind] for kind in dict.fromkeys(CUTS)]
        rows.append((name, starts, *cuts, "the same bits" if same else "NOT the same"))
    print_table("soak", ("training", "starts", *dict.fromkeys(CUTS), "weights"), rows)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
