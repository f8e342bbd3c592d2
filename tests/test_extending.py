"""docs/extending.md, run as it stands: skeleton, sources and network from outside the project."""

import os
import re
import textwrap

import pytest
from conftest import ROOT, call

from danceflax.training.checkpoints import load_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the page's files: mydata.py, mynet.py, small.py and dancer.json."""
    folder = tmp_path_factory.mktemp("extending")
    text = (ROOT / "docs/extending.md").read_text()
    blocks = [textwrap.dedent(b) for b in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.M)]
    for block in blocks:
        code = block.split("\npython ")[0]  # the command that uses it follows
        if code.lstrip().startswith("{"):
            (folder / "dancer.json").write_text(code)
        elif match := re.match(r"\s*# (\w+\.py)\n", code):
            with open(folder / match[1], "a") as file:
                file.write(code + "\n")
    assert {"dancer.json", "mydata.py", "mynet.py", "small.py"} <= {
        p.name for p in folder.iterdir()
    }
    return folder


def train(script, folder, *words):
    tiny = dict(steps=2, batch_size=2, log_every=1, eval_every=0, save_every=0)
    tiny |= {"eval.batch_size": 2, "eval.limit": 4, "data.threads": 1}
    words = [f"--workdir={folder}/run", *words, *(f"--config.{k}={v}" for k, v in tiny.items())]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    status, output, errors = call(script, *words, cwd=folder, env=environment)
    assert status == 0, errors
    return load_model(folder / "run")[1], output


def test_skeleton_source_and_network_of_one_s_own(folder, tmp_path):
    size = ["--config.augment.size=64,64", "--config.eval.size=64,64", "--config.eval.pictures=1"]
    config, output = train("train_openpose.py", folder, "--config=small.py", *size)
    assert config["model"]["name"] == "mynet:Small" and config["model"]["options"]["channels"] == 16
    assert config["skeleton"]["joints"][0] == "head_top" and "AP" in output
    (folder / "run").rename(tmp_path / "pose")


def test_clips_of_one_s_own(folder):
    words = [f"--config={ROOT}/configs/frames.py:rgb,demo", "--config.data.source=mydata:Clips"]
    config, output = train("train_classifier.py", folder, *words)
    assert config["class_names"] == ["slow", "fast"] and "top1" in output
