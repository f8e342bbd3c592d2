"""The command line: help, messages, exit statuses, and videos to a set that can be trained on."""

import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import make_root, shared_data

from danceflax.cli import commands
from danceflax.data.frames import LetsDanceSource
from danceflax.prepare.split import SPLITS
from danceflax.prepare.split_report import find_leaks, read_lists
from danceflax.scripts import prepare_data
from danceflax.skeleton import BODY25

ROOT = pathlib.Path(__file__).parents[1]


def run(*words):
    """The exit status of a command, run here."""
    try:
        return prepare_data.main([str(word) for word in words]) or 0
    except SystemExit as error:
        return error.code


def test_every_command_explains_itself_with_examples(capsys):
    assert run("--help") == 0
    overview = capsys.readouterr().out
    for name in prepare_data.COMMANDS:
        assert name in overview
        assert run(name, "--help") == 0
        assert f"\npython prepare_data.py {name} --" in capsys.readouterr().out


def test_examples_in_the_help_are_understood():
    for name, module in prepare_data.COMMANDS.items():
        function = importlib.import_module(module).run
        lines = function.__doc__.replace("\\\n", " ").splitlines()
        examples = [line.split()[2:] for line in lines if "python prepare_data.py" in line]
        assert examples
        for command, *words in examples:
            assert command == name and commands.parse_flags(function, name, words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["index"], "--root"),
        (["index", "--root=/nowhere"], "/nowhere: no such data root"),
        (["check", "--root=/nowhere"], "no such data root"),
        (["frames", "--videos=/nowhere.mp4", "--root=x"], "no such video"),
        (["flow", "--root=/nowhere"], "no such data root"),
        (["split"], "give --root, or --lists"),
        (["split", "--lists=/nowhere.tsv", "--output=x"], "nowhere.tsv: no such file"),
        (["synthetic", "--output=x", "--clips=1"], "expected --clips=TRAIN,VAL,TEST"),
        (["check", "--root=.", "--workers=none"], "--workers"),
        (["import-openpose", "--root=x", "--json=/nowhere"], "no such folder of OpenPose JSON"),
        (["synthetic", "--output=x", "--clips=a,b,c"], "--clips=a,b,c: expected whole numbers"),
        (["synthetic", "--output=x", "--clip=1"], "Unknown command line flag"),
        (["synthesize"], "there is no command 'synthesize'"),
    ],
)
def test_mistakes_end_in_one_line_and_status_2(words, message, capsys):
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1


def test_exit_status_of_check(tmp_path, capsys):
    names = make_root(tmp_path, num_frames=10)
    assert run("check", f"--root={tmp_path}", "--workers=1") == 0
    (tmp_path / "frames" / names[3]).write_bytes(b"")
    faults = tmp_path / "faults.csv"
    assert run("check", f"--root={tmp_path}", "--workers=1", f"--output={faults}") == 1
    output = capsys.readouterr()
    assert output.out.count("NOT fit for ") == 3 and output.out.count(": 10.00% of them") == 3
    assert "checking: 1 of 1" in output.err and "\x1b" not in output.out + output.err
    assert faults.read_text().splitlines()[1].startswith(f"frames/{names[3]},0,empty,")
    assert run("check", f"--root={tmp_path}", "--workers=1", "--max_bad_fraction=0.1") == 0
    assert run("check", f"--root={tmp_path}", f"--output={faults}") == 2  # it is there already
    assert "faults.csv: is there already" in capsys.readouterr().err
    split_file = tmp_path / "pose_training_split" / "train.csv"
    before = split_file.read_bytes()
    assert run("check", f"--root={tmp_path}", f"--output={split_file}") == 2
    assert split_file.read_bytes() == before


def test_real_clips_become_a_set(tmp_path, capsys):
    """OpenPose's real JSON and its video: frames, keypoints, index, check, splits, flow."""
    folder = shared_data("dance_clips")
    root = tmp_path / "mine"
    common = (f"--root={root}", "--fps=2", "--short_side=120", "--workers=1")
    json_folder = folder / "demo_openpose_json" / "demo-json"
    words = ("import-openpose", f"--json={json_folder}", f"--videos={folder / 'demo.mp4'}")
    assert run(*words, "--dance=ballet", *common) == 1  # the last seconds have no JSON
    assert "frame 596 has no keypoint file" in capsys.readouterr().err
    assert run("frames", f"--videos={folder / 'fast.mp4'}", "--dance=latin", *common) == 0
    assert run("index", f"--root={root}") == 0
    assert run("check", f"--root={root}", "--workers=1", "--training=keypoints") == 1
    output = capsys.readouterr().out
    assert "no keypoints" in output and "outside" not in output

    for path in (root / "frames" / "latin").iterdir():  # nobody was looked for there
        keypoints = root / "keypoints" / "latin" / f"{path.stem}.json"
        keypoints.parent.mkdir(exist_ok=True)
        keypoints.write_text("[]")
    assert run("check", f"--root={root}", "--workers=1", "--max_bad_fraction=0.05") == 0
    assert run("split", f"--root={root}", "--percent=50,50,0") == 0
    assert "train and val share 0 videos" in capsys.readouterr().out
    lists = read_lists(root / f"pose_training_split/{name}.csv" for name in ("train", "val"))
    assert not any(find_leaks(lists).values())
    source = LetsDanceSource(root, "all", BODY25)
    people = [len(source[i]["people"]) for i in range(0, len(source), 9) if i < 38]
    assert sum(people) >= 4 and source[0]["image"].shape[0] == 120
    assert run("flow", f"--root={root}", "--short_side=64", "--workers=1") == 0
    frames = len(list(root.glob("frames/*/*")))
    assert len(list(root.glob("flow/*/*.png"))) == frames - 2


def test_the_real_frame_imports(tmp_path):
    """The one public frame of the set, as part of a root."""
    source = shared_data("letsdance", "CNh2kHhY29Q_141_0201.jpg")
    (tmp_path / "frames" / "ballet").mkdir(parents=True)
    (tmp_path / "keypoints" / "ballet").mkdir(parents=True)
    (tmp_path / "frames" / "ballet" / source.name).write_bytes(source.read_bytes())
    keypoints = (tmp_path / "keypoints" / "ballet" / source.name).with_suffix(".json")
    keypoints.write_text(json.dumps([[["person"], ["nose", [960.0, 300.0]]]]))
    assert run("check", f"--root={tmp_path}", "--workers=1") == 0
    record = LetsDanceSource(tmp_path, "all", BODY25)[0]
    assert record["image"].shape == (1080, 1920, 3)
    np.testing.assert_array_equal(record["people"][0, 0], (960, 300, 2))


def test_public_lists_are_shared_out_anew(tmp_path, capsys):
    lists = [shared_data("letsdance", f"clips_{name}.tsv") for name in SPLITS]
    assert run("split", "--report", *lists) == 0
    report = capsys.readouterr().out
    for a, b, count in (("train", "val", 8), ("train", "test", 14), ("val", "test", 2)):
        assert f"clips_{a}.tsv and clips_{b}.tsv share {count} videos" in report
    assert run("split", "--lists", *lists, f"--output={tmp_path}", "--seed=4") == 0
    assert capsys.readouterr().out.count("share 0 videos") == 3
    written = [tmp_path / "videos_split" / f"{name}_videos.csv" for name in SPLITS]
    assert run("split", "--report", *written) == 0
    assert capsys.readouterr().out.count("share 0 videos") == 3


def test_interrupted_in_several_processes(tmp_path):
    """Ctrl-C: one line, status 130, no process left, and the same command then does the rest."""
    words = ["frames", f"--videos={shared_data('dance_clips')}", "--dance=latin"]
    words += [f"--root={tmp_path}", "--short_side=64", "--workers=2"]
    process = subprocess.Popen(
        [sys.executable, "prepare_data.py", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("extracted/*/*.partial")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130, error
    assert error.splitlines()[-1].startswith("stopped by SIGINT; the same command"), error
    assert "Traceback" not in error
    assert run(*words[:-1], "--workers=1") == 0
    notes = [json.loads(path.read_text()) for path in tmp_path.glob("extracted/*/*.json")]
    frames = len(list(tmp_path.glob("frames/*/*.jpg")))
    assert len(notes) == 3 and frames == sum(
        len(clip["numbers"]) for note in notes for clip in note["clips"].values()
    )
    assert not list(tmp_path.glob("extracted/*/*.partial"))
