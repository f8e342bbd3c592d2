"""What all benchmarks share: contestants in turns, medians, and a record of where it was.

Contestants run A B A B, so that a busy machine slows all alike; a ratio is the median of the
rounds' own ratios, between its quartiles. Processor seconds say what was done where cores are
shared with others; seconds on the clock count where they are not.

    python benchmarks/bench_x.py [--rounds 7] [--json FILE]
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # configs, danceflax

from danceflax.cli.compilation import choose_convolutions  # noqa: E402

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "opencv-python-headless", "av", "torch")


class Spent(NamedTuple):
    """Seconds of one run, on the clock and of processors, and, of another process, the most bytes
    it has held so far."""

    wall: float
    cpu: float
    peak: float = 0


class Row(NamedTuple):
    """One line of the table: `ours` beside `peer`, medians in seconds of the work named.

    Attributes:
      speed, cpu: how often we are as fast as the peer, by the clock and by processor seconds:
        (lower quartile, median, upper quartile).
      memory: our process's peak by the peer's, where each has one of its own; else 0.
    """

    work: str
    peer: str
    ours_seconds: float
    peer_seconds: float
    speed: tuple[float, float, float]
    cpu: tuple[float, float, float]
    memory: float = 0


def time_once(run: Callable) -> Spent:
    """One run; a contestant in another process times itself and returns a `Spent`."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = run()
    spent = Spent(time.perf_counter() - wall, time.process_time() - cpu)
    return answer if isinstance(answer, Spent) else spent


def race(contestants: dict[str, Callable], rounds: int) -> dict[str, list[Spent]]:
    """{name: what each round took}; a run of each beforehand does not count."""
    for run in contestants.values():
        run()
    spent = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            spent[name].append(time_once(run))
    return spent


def compare(work: str, ours: Callable, peers: dict[str, Callable], rounds: int) -> list[Row]:
    """A row for each peer, all in one race."""
    spent = race({"danceflax": ours, **peers}, rounds)
    own = spent.pop("danceflax")
    rows = []
    for peer, theirs in spent.items():
        pairs = list(zip(own, theirs, strict=True))
        rows.append(
            Row(
                work,
                peer,
                statistics.median(a.wall for a in own),
                statistics.median(b.wall for b in theirs),
                quartiles([b.wall / a.wall for a, b in pairs]),
                quartiles([b.cpu / a.cpu for a, b in pairs]),
                own[-1].peak / theirs[-1].peak if theirs[-1].peak else 0,
            )
        )
        show(rows[-1])
    return rows


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile."""
    if len(values) == 1:
        return (values[0],) * 3
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def show(row: Row) -> None:
    """Prints a row as it comes."""
    print(
        f"{row.work}: {row.ours_seconds:.4g} s, {row.peer} {row.peer_seconds:.4g} s: "
        f"{row.speed[1]:.2f} times its speed ({row.speed[0]:.2f}-{row.speed[2]:.2f}), "
        f"by processor seconds {row.cpu[1]:.2f}"
        + (f", {row.memory:.2f} times its memory" if row.memory else ""),
        flush=True,
    )


class Child:
    """A contestant in another Python: `code` defines run(); each call times it there."""

    # What libraries print is no answer.
    BEGIN = """
import os
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
"""
    LOOP = """
import resource, sys, time
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(wall, cpu, peak, file=answers, flush=True)
"""

    def __init__(self, python: str, code: str):
        command = [python, "-c", self.BEGIN + code + self.LOOP]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self) -> Spent:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Spent(*map(float, self._process.stdout.readline().split()))

    def close(self, wait: bool = True) -> None:
        self._process.stdin.close()
        if wait:
            self._process.wait()


def describe_machine() -> dict:
    """What the figures hold for."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": versions,
        "day": time.strftime("%Y-%m-%d"),
    }


def run_figure(measure: Callable[..., list[Row]], doc: str, **options: str) -> None:
    """A benchmark's command line: measures, prints, and writes JSON if asked.

    Args:
      measure: (rounds, **options) -> rows.
      options: {further flag: its help}; without it `measure` gets its own default.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant")
    parser.add_argument("--json", type=pathlib.Path, help="file to write the rows to")
    for name, text in options.items():
        parser.add_argument(f"--{name}", help=text, default=argparse.SUPPRESS)
    arguments = vars(parser.parse_args())
    rounds, path = arguments.pop("rounds"), arguments.pop("json")
    choose_convolutions()  # as the commands do, before JAX starts
    before = describe_machine()
    rows = measure(rounds, **arguments)
    if path:
        record = {"machine": before, "rows": [row._asdict() for row in rows]}
        path.write_text(json.dumps(record, indent=1) + "\n")


def run_all(names: list[str], rounds: int, folder: pathlib.Path) -> int:
    """Runs benchmarks one after the other, each in a process of its own; returns how many
    failed. Their JSON files stay in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in names:
        command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), f"--rounds={rounds}"]
        result = subprocess.run([*command, f"--json={folder / name}.json"], cwd=ROOT, check=False)
        failed += result.returncode != 0
    return failed
