"""What runs, what is passed over, and what is refused: by what is there and what it came from."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from danceflax.errors import UserError
from danceflax.study import steps
from danceflax.study.steps import Step, is_done, run_step

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = """
import pathlib, sys
source, made = map(pathlib.Path, sys.argv[1:3])
with open(made.parent / "log", "a") as log:
    log.write("ran\\n")
made.mkdir(exist_ok=True)
(made / "all.csv").write_text(source.read_text())
sys.exit(int(sys.argv[3]))
"""


@pytest.fixture
def study(tmp_path):
    """(a step that copies a table into a folder, the study's folder, how often it has run)."""
    (tmp_path / "copy.py").write_text(SCRIPT)
    source, made = tmp_path / "source.csv", tmp_path / "out" / "made"
    source.write_text("a,b\n")
    made.parent.mkdir()
    words = ("copy.py", str(source), str(made), "0")
    step = Step("copy", "copies", words, (source,), (made,), 1.0)

    def count():
        log = made.parent / "log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    return step, made.parent, count


def go(step, output):
    if not is_done(step, output):
        run_step(step, output, output.parent)


def test_done_once_and_again_when_anything_differs(study):
    step, output, count = study
    go(step, output)
    go(step, output)
    assert count() == 1
    os.utime(step.needs[0])  # the same table, written again
    go(step, output)
    assert count() == 1
    step.needs[0].write_text("a,c\n")  # another one
    go(step, output)
    assert count() == 2
    (step.makes[0] / "all.csv").unlink()  # a result is gone
    go(step, output)
    assert count() == 3 and is_done(step, output)
    (output / steps.NAME).unlink()  # nothing is known: the command looks for itself
    go(step, output)
    assert count() == 4


def test_a_training_does_not_go_on_with_other_data(study):
    step, output, count = study
    step = step._replace(refuses="remove it")
    go(step, output)
    step.needs[0].write_text("a,c\n")
    with pytest.raises(UserError, match="made from other data or with other settings; remove it"):
        go(step, output)
    (step.makes[0] / "all.csv").unlink()
    go(step, output)
    assert count() == 2


def test_status(study):
    step, output, _ = study
    bad = step._replace(words=(*step.words[:3], "1"))
    with pytest.raises(UserError, match=r"the step copy has failed \(status 1\)"):
        go(bad, output)
    assert not is_done(bad, output)
    go(bad._replace(lenient=True), output)
    assert is_done(bad, output)
    with pytest.raises(UserError, match="has failed"):
        go(step._replace(words=(*step.words[:3], "2"), lenient=True), output)
    with pytest.raises(UserError, match="has failed"):  # it has not made what it should
        go(step._replace(makes=(output / "other",)), output)


def test_damaged_notes_are_one_line(study):
    step, output, _ = study
    for text in ("{", "[]", '{"copy": 1}', '{"copy": {}}'):
        (output / steps.NAME).write_text(text)
        with pytest.raises(UserError, match="cannot be read"):
            is_done(step, output)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_the_command_too(study, kind):
    """The command is ended and waited for, and its step is not done."""
    step, output, _ = study
    mark = output / "begun"
    (output.parent / "copy.py").write_text(
        f"import pathlib, time\npathlib.Path({str(mark)!r}).touch()\ntime.sleep(60)\n"
    )
    program = (
        "import pathlib; from danceflax import cli; from danceflax.study.steps import *\n"
        f"step = Step('copy', '', {step.words!r}, (), (pathlib.Path({str(output)!r}),), 1.0)\n"
        "with cli.interruptible('.'):\n"
        f"    run_step(step, pathlib.Path({str(output)!r}), pathlib.Path({str(output.parent)!r}))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    # A terminal's Ctrl-C reaches all of its processes, a kill one.
    (os.killpg if kind == signal.SIGINT else os.kill)(process.pid, kind)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + kind, error
    assert f"stopped by {kind.name}" in error
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody is left
    assert not is_done(step, output)
