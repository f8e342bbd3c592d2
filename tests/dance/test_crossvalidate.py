"""All folds of a tiny set, trained and judged as train_classifier.py does it."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import letsdance_json

from configs import sequence
from danceflax.dance.crossvalidate import crossvalidate
from danceflax.dance.sequences import people

FRAMES, RECORDINGS, DANCES = 24, 4, ("tango", "waltz")


@pytest.fixture
def root(tmp_path):
    """A root of keypoints alone: two dances, four recordings each, a clip of a second each."""
    rng, rows = np.random.default_rng(0), []
    for dance in DANCES:
        folder = tmp_path / "data" / "keypoints" / dance
        folder.mkdir(parents=True)
        for n in range(RECORDINGS):
            clip, body = f"abcdefghi{dance[0]}{n}_000", rng.uniform(0, 80, (17, 2)) + 100
            for t in range(FRAMES):
                text = letsdance_json([body + 5 * np.sin(t / (2 + 3 * (dance == "waltz")))])
                (folder / f"{clip}_{t + 1:04d}.json").write_text(text)
            rows.append((dance, clip, FRAMES, f"{dance}{n}"))
    columns = ["label", "clip", "n_frames", "recording"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "data" / "clips.csv", index=False)
    return tmp_path / "data"


def test_every_clip_is_judged_once_and_read_once(root, tmp_path, monkeypatch, no_transfers):
    read, real = [], people.read_people
    monkeypatch.setattr(
        people, "read_people", lambda record, *of: read.append(record["name"]) or real(record, *of)
    )
    config = sequence.get_config()
    config.data.root, config.data.train_split, config.data.fps = str(root), "clips.csv", 25.0
    config.data.folds, config.data.group, config.clip.frames = 2, "recording", 16
    config.model.channels, config.steps, config.batch_size = (8,), 2, 4
    config.log_every, config.eval_every, config.save_every = 1, 0, 2
    config.eval.batch_size = 4
    figures = crossvalidate(config, str(tmp_path / "run"))
    windows = len(DANCES) * RECORDINGS * config.eval.clips
    assert np.sum(figures["confusion"]) == windows
    assert figures["groups"] == len(DANCES) * RECORDINGS
    assert sorted(read) == sorted(set(read)) and len(read) == len(DANCES) * RECORDINGS
    assert json.loads((tmp_path / "run" / "folds.json").read_text()) == figures
    assert (tmp_path / "run" / "confusion.png").exists()
