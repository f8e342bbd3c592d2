"""Reports go on, whatever the disk and the screen do."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
from conftest import fill_disk, small_disk
from tensorboardX.proto.event_pb2 import Event

from danceflax.training.report import Report

ROOT = pathlib.Path(__file__).parents[2]


def read_events(folder):
    """{file: [the steps of its events]}, by the record format of TensorFlow."""
    steps = {}
    for path in sorted(folder.iterdir()):
        data, steps[path.name] = path.read_bytes(), []
        while data:
            length = int.from_bytes(data[:8], "little")
            assert len(data) >= length + 16
            steps[path.name].append(Event.FromString(data[12 : 12 + length]).step)
            data = data[length + 16 :]
    return steps


def test_a_log_that_is_a_pipe_is_said_and_not_waited_for(tmp_path, capfd):
    os.mkfifo(tmp_path / "metrics.jsonl")
    with Report(tmp_path, 10, 0, 4) as report:
        for step in (1, 2):
            report.scalars(step, "train", {"loss": 2.0})
    said = capfd.readouterr().err
    assert said == f"{tmp_path}: logs cannot be written: not a file; going on without\n"


def read_lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_full_disk_stops_no_report(tmp_path, capfd):
    image = np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        with Report(disk / "run", 100, 0, 4) as report:
            report.scalars(1, "train", {"loss": 2.0})
            filler = fill_disk(disk)
            for step in range(2, 100):
                report.scalars(step, "train", {f"loss{k}": 1.0 for k in range(30)} | {"loss": 1.0})
                report.picture(step, "val", image)
            filler.unlink()
            report.scalars(100, "train", {"loss": 0.5})
        said = capfd.readouterr().err.splitlines()
        assert said == [
            f"{disk}/run: logs cannot be written: No space left on device; going on without"
        ]
        lines = read_lines(disk / "run")
        assert (lines[0]["loss"], lines[-1]["loss"]) == (2.0, 0.5)
        assert lines[-1]["step"] == 100 and len(lines) < 100
        last = list(read_events(disk / "run" / "tensorboard").values())[-1]
        assert last[-1] == 100


def test_a_cut_line_and_later_ones_go_when_a_training_goes_on(tmp_path):
    with Report(tmp_path, 9, 0, 4) as report:
        for step in range(1, 6):
            report.scalars(step, "train", {"loss": 1.0})
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-20] + b"\xff\n[]\n3\n" + b"[" * 100_000)
    with Report(tmp_path, 9, 3, 4) as report:
        report.scalars(4, "train", {"loss": 1.0})
    assert [line["step"] for line in read_lines(tmp_path)] == [1, 2, 3, 4]
    one, two = read_events(tmp_path / "tensorboard").values()
    assert one == [0, 1, 2, 3, 4, 5] and two == [0, 4]


def test_a_screen_that_is_gone_stops_nothing():
    code = (
        "import sys; from danceflax.io.console import console, errors\n"
        "for i in range(999): console.print('line', i)\n"
        "errors.print('done')\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "line 0\n"
        process.stdout.close()
        assert process.stderr.read() == "done\n" and process.wait() == 0
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.stderr.startswith("done\n")
