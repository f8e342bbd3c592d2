"""The command `danceflax`: every sub-command says what it does, soon, and configs have names."""

import json
import subprocess
import sys

import pytest

from danceflax.__main__ import COMMANDS, main
from danceflax.cli import fields

# Each command in a process of its own, for flags are global.
HELPER = """
import contextlib, io, json, os, sys
from danceflax.__main__ import COMMANDS, main

for name in COMMANDS:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        sys.argv = ["/usr/bin/danceflax", name, "--help"]
        with open(writing, "w") as file, contextlib.redirect_stdout(file):
            try:
                main()
            except SystemExit as end:
                assert not end.code
            file.flush()
            os._exit("jax" in sys.modules)
    os.close(writing)
    with open(reading) as file:
        text = file.read()
    _, status, used = os.wait4(child, 0)
    print(json.dumps([name, text, status, used.ru_utime + used.ru_stime]))
"""


@pytest.fixture(scope="module")
def helps():
    done = subprocess.run([sys.executable, "-c", HELPER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: rest for name, *rest in map(json.loads, done.stdout.splitlines())}


def test_every_command_helps_soon(helps):
    assert list(helps) == list(COMMANDS)
    for name, (text, status, seconds) in helps.items():
        assert status == 0 and seconds < 0.6, name
        assert f"danceflax {name}" in text and "python " not in text, name
    assert "--checkpoint: a workdir" in helps["predict"][0]
    assert "export-coco" in helps["prepare-data"][0]


def test_commands_are_listed_and_others_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["danceflax", "--help"])
    main()
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in COMMANDS)
    monkeypatch.setattr(sys, "argv", ["danceflax", "predct"])
    with pytest.raises(SystemExit):
        main()
    assert "no command 'predct'; choose study, " in capsys.readouterr().err


def test_configs_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no repository is
    packaged = fields.PACKAGED / "i3d.py"
    for word in ("i3d", "i3d.py", "configs/i3d.py"):
        (found,) = fields.locate_config([f"--config={word}:rgb+flow"])
        assert found == f"--config={packaged}:rgb+flow"
    assert fields.locate_config(["--config", "i3d", "--x=i3d"]) == [
        "--config", str(packaged), "--x=i3d",
    ]  # fmt: skip
    for word in ("none.py", "my/i3d.py"):
        assert fields.locate_config([f"--config={word}"]) == [f"--config={word}"]
    (tmp_path / "i3d.py").touch()  # one's own comes first
    assert fields.locate_config(["--config=i3d.py"]) == ["--config=i3d.py"]
