"""Curves of a training's log; what cannot be drawn does not end a training."""

import cv2

from danceflax.training import curves


def test_curves_of_a_log_with_a_torn_line(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text(
        '{"step": 5, "split": "train", "loss": 2.0, "lr/paf": 0.1, "note": "x"}\n'
        '{"step": 9, "split": "val", "loss": 3.0, "AP": 0.5}\n'
        '{"step": 10, "split": "train", "loss": 1.0, "lr/paf": 0.01}\n'
        '[1]\n{"step": 15, "spl'
    )
    found = curves.read_curves(log)
    assert found["train", "loss"] == ([5, 10], [2.0, 1.0])
    assert found["val", "AP"] == ([9], [0.5]) and ("train", "note") not in found
    curves.draw_curves(tmp_path)
    assert cv2.imread(str(tmp_path / "curves.png")).shape[1] > 900
    step = tmp_path / "checkpoints" / "10"
    step.mkdir(parents=True)
    assert curves.find_metrics(tmp_path) == curves.find_metrics(step) == log
    assert curves.find_metrics(tmp_path / "elsewhere") is None


def test_nothing_is_raised(tmp_path):
    curves.draw_curves(tmp_path / "gone")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "train", "loss": 1e400}\n')
    (tmp_path / "curves.png").mkdir()
    curves.draw_curves(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
