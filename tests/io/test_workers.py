"""Commands that are stopped or killed leave no process and nothing half-written behind."""

import os
import pathlib
import signal
import subprocess
import time

import numpy as np
import pytest
from conftest import ROOT, make_root
from forked import Program

from danceflax.cli.commands import run_commands
from danceflax.dance import features
from danceflax.io import files

COMMANDS = {"flow": "danceflax.prepare.flow"}


def list_children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(word) for word in found.stdout.split()]


def is_alive(pid):
    state = pathlib.Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_a_command(kind, tmp_path):
    for clip in range(4):
        make_root(tmp_path, num_frames=30, size=(360, 480), dance=f"dance{clip}")
    words = ["flow", f"--root={tmp_path}", "--method=farneback", "--workers=2"]
    process = Program(ROOT / "prepare_data.py", *words)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("flow/*/*.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    children = list_children(process.pid)
    assert len(children) >= 2
    process.send_signal(kind)
    error = process.communicate(timeout=20)[1]
    if kind == signal.SIGTERM:
        assert process.returncode == 143
        assert error.splitlines()[-1] == (
            "stopped by SIGTERM; the same command goes on, or starts clean"
        )
    while any(map(is_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, children))
    # What a worker had begun is gone after the next start, and nothing else is.
    left = tmp_path / "flow" / "dance0" / f".a.{files._machine()}-{process.pid}.partial.png"
    left.parent.mkdir(exist_ok=True)  # its worker may not have come so far
    left.touch()
    assert run_commands("", COMMANDS, ["flow", f"--root={tmp_path}", "--workers=1",
                                       "--method=farneback"]) == 0  # fmt: skip
    assert len(list(tmp_path.glob("flow/*/*"))) == 4 * 29
    assert not list(tmp_path.glob("flow/*/.*"))


def test_leftovers_of_the_dead_go_and_those_of_others_after_a_day(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    here, hour, week = files._machine(), 3600, 7 * 86400
    names = {
        f".a.{here}-{dead.pid}.partial": (0, True),
        f".a.b.{here}-{dead.pid}.partial.png": (0, True),
        f".a.{here}-{os.getpid()}.partial": (hour, False),
        ".a.elsewhere-1.partial": (hour, False),
        ".b.elsewhere-1.partial.json": (week, True),
        ".hidden": (week, False),
        "a.partial": (week, False),
    }
    for name, (age, _) in names.items():
        if name.startswith(".a.elsewhere"):
            (tmp_path / name).mkdir()
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    files.remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        n for n, (_, gone) in names.items() if not gone
    }


def test_a_killed_cache_of_features_goes(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = tmp_path / f".otherkey.{files._machine()}-{dead.pid}.partial"
    left.mkdir()
    (left / "features.npy").write_bytes(bytes(1000))
    batch = {"weight": np.ones(1), "label": np.zeros(1)}
    source = features.write_features(
        tmp_path, "key", lambda: [(batch, ["a"])], lambda _: np.ones((1, 2, 3)), 1
    )
    assert len(source) == 1 and [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_read_bears_what_passes_and_no_more(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    errors, pauses = [5, 116], []
    real = os.open

    def fail(*words):
        if errors:
            raise OSError(errors.pop(), "passing")
        return real(*words)

    monkeypatch.setattr(os, "open", fail)
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert files.read_bytes(path, 3) == b"abc" and pauses == [0.1, 0.4]
    errors += [5] * 9
    with pytest.raises(OSError, match="passing"):
        files.read_bytes(path, 3)
    monkeypatch.undo()
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "none", "a\0", "."):
        with pytest.raises(OSError):
            files.read_bytes(f"{tmp_path}/{name}", 3)
    with pytest.raises(OSError, match="larger than 2 bytes"):
        files.read_bytes(path, 2)
