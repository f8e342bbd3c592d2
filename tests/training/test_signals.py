"""Signals and locks, with processes that are really killed."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from danceflax.errors import UserError
from danceflax.training.lock import hold
from danceflax.training.signals import Stopped, StopRequest

ROOT = pathlib.Path(__file__).parents[2]


def start(code):
    """A Python process, once it has printed its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_start_up_ends_at_once_even_in_foreign_code(kind):
    # A C function that runs no Python handler until it returns, as a compiler does.
    process = start(
        "import hashlib\nfrom danceflax.training.signals import StopRequest\n"
        "with StopRequest():\n  print('ready', flush=True)\n"
        "  hashlib.pbkdf2_hmac('sha256', b'', b'', 1 << 28)\n"
    )
    begun = time.monotonic()
    process.send_signal(kind)
    assert process.wait(10) == 128 + kind
    assert time.monotonic() - begun < 5
    said = process.stderr.read()
    assert said == f"stopped by {kind.name} before the first step; nothing was to be saved\n"


def test_the_first_signal_asks_and_the_second_ends():
    process = start(
        "import time\nfrom danceflax.training.signals import StopRequest\n"
        "with StopRequest() as stop:\n  stop.begin()\n  print('ready', flush=True)\n"
        "  while not stop.agreed(): time.sleep(0.01)\n"
        "  print(stop.signal.name, stop.status, flush=True)\n  time.sleep(60)\n"
    )
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "SIGTERM 143\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert process.stderr.read() == "stopped by SIGINT again\n"


def test_an_evaluation_stops_between_batches():
    handlers = [signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)]
    seen = []
    with StopRequest() as stop:
        stop.begin()
        with pytest.raises(Stopped):
            for batch in stop.between(range(9)):
                seen.append(batch)
                if batch == 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                    while stop.signal is None:
                        time.sleep(0.001)
    assert seen == [0, 1, 2, 3] and stop.status == 143
    assert [signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_a_folder_is_locked_while_its_holder_lives(tmp_path):
    process = start(
        "import time\nfrom danceflax.training.lock import hold\n"
        f"with hold({str(tmp_path)!r}):\n  print('ready', flush=True)\n  time.sleep(60)\n"
    )
    with (
        pytest.raises(UserError, match=f"in use by process {process.pid} on ") as caught,
        hold(tmp_path),
    ):
        pass
    assert "\n" not in str(caught.value)
    process.kill()
    process.wait()
    for _ in range(2):
        with hold(tmp_path):
            pass
    with pytest.raises(UserError, match="cannot be written: "), hold(tmp_path / ".lock"):
        pass


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to nothing", "link to a file"])
def test_a_lock_that_is_no_file_of_the_workdir_is_a_line(kind, tmp_path):
    lock, target = tmp_path / "run" / ".lock", tmp_path / "target"
    lock.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.symlink_to(target)
    if kind == "link to a file":
        target.write_text("somebody's")
    with (
        pytest.raises(UserError, match=re.escape(f"{lock}: cannot be written: ")) as caught,
        hold(lock.parent),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert not target.exists() or target.read_text() == "somebody's"


def test_a_disk_without_locks_is_said(tmp_path, monkeypatch, capfd):
    def flock(*_):
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr("fcntl.flock", flock)
    with hold(tmp_path):
        assert capfd.readouterr().err.startswith(f"{tmp_path} knows no locks: ")
