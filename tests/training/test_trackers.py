"""Trackers of experiments: only where named, one run a workdir, and never in a training's way."""

import sys
import types

import numpy as np
import pytest
from ml_collections import ConfigDict

from danceflax.errors import UserError
from danceflax.training.report import Report
from danceflax.training.trackers import open_trackers


@pytest.fixture
def library(monkeypatch):
    """A module of the trackers' interface that remembers what it was told, in wandb's place."""
    module = types.SimpleNamespace(runs=[], logged=[], finished=0, broken=False)

    class Run:
        def log(self, values, step):
            if module.broken:
                raise ConnectionError("no way")
            module.logged.append((step, values))

        def finish(self):
            module.finished += 1

    def init(**options):
        module.runs.append(options)
        return Run()

    module.init, module.Image = init, lambda image: ("image", image.shape)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def config(**projects):
    return ConfigDict({"steps": 9, "report": {"wandb": "", "trackio": ""} | projects})


def test_none_is_imported_unless_named(tmp_path, library, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "trackio", None)
    assert open_trackers(config(), tmp_path) == []
    assert open_trackers(ConfigDict({}), tmp_path) == []
    with pytest.raises(UserError, match=r'trackio=a: trackio is not installed; run `pip install "'):
        open_trackers(config(trackio="a"), tmp_path)


def test_they_get_what_tensorboard_gets(tmp_path, library, monkeypatch):
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    trackers = open_trackers(config(wandb="dances"), tmp_path / "runs")
    with Report(tmp_path / "runs", 9, 0, 4, trackers=trackers) as report:
        report.scalars(3, "val", {"AP": 0.5, "PCK": 0.7})
        report.picture(3, "val", np.zeros((8, 9, 3), np.uint8))
    (run,) = library.runs
    assert run["project"] == "dances" and run["name"] == "runs" and run["config"]["steps"] == 9
    assert library.logged == [
        (3, {"val/AP": 0.5, "val/PCK": 0.7}),
        (3, {"val": ("image", (8, 9, 3))}),
    ]
    assert library.finished == 1
    open_trackers(config(wandb="dances"), tmp_path / "runs")
    assert library.runs[1]["id"] == run["id"]  # a training that goes on goes on with its run
    monkeypatch.setenv("WANDB_RUN_ID", "a")
    open_trackers(config(wandb="dances"), tmp_path / "runs")
    assert "id" not in library.runs[2]  # a sweep's agent has named it


def test_what_cannot_be_sent_stops_nothing(tmp_path, library, capsys):
    library.broken = True
    (tracker,) = open_trackers(config(wandb="dances"), tmp_path)
    for step in range(3):
        tracker.scalars(step, {"loss": 1.0})
    tracker.close()
    said = capsys.readouterr().err.splitlines()
    assert said == ["wandb cannot be written: no way; going on without"]


def test_trackio_itself_keeps_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("TRACKIO_ENABLED", "1")
    pytest.importorskip("trackio")
    (tracker,) = open_trackers(config(trackio="dances"), tmp_path / "runs")
    for step in range(3):
        tracker.scalars(step, {"train/loss": 2.0 - step})
    tracker.close()
    assert any((tmp_path / "trackio").iterdir())
