"""Tasks on a Dask cluster: two worker processes on this machine."""

import functools
import itertools
import os
import shutil
import signal
import sys
import threading
import time
import uuid

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT, call, make_root, make_video, random_variables
from forked import Program

from configs import frames, sequence
from danceflax.api import share_predictor
from danceflax.cli.commands import run_commands
from danceflax.dance import classifiers
from danceflax.dance import files as dance_files
from danceflax.io import cluster as cluster_module
from danceflax.io.images import write_image
from danceflax.models.registry import create_model
from danceflax.pose.openpose_json import write_people
from danceflax.skeleton import COCO18
from danceflax.training.checkpoints import save_model

distributed = pytest.importorskip("distributed", reason="the extra danceflax[cluster] is missing")

COMMANDS = {name: f"danceflax.prepare.{name}" for name in ("frames", "keypoints")}
VIDEOS, FRAMES = 6, 200
NAMES = ["tango", "waltz"]


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A folder with videos, `in`, and what is made of them without a cluster, `local`."""
    folder = tmp_path_factory.mktemp("cluster")
    for i in range(VIDEOS):
        make_video(folder / "in" / "tango" / f"clip{i}.mp4", FRAMES, size=(192, 320))
    assert run(f"--videos={folder}/in", f"--root={folder}/local", "--workers=2") == 0
    return folder


def run(*words):
    return run_commands("", COMMANDS, ["frames", *words])


def start(cluster, folder, root):
    """The process of a command, once a worker is in the middle of a video."""
    words = ["frames", f"--videos={folder}/in", f"--root={root}"]
    words.append(f"--scheduler={cluster.scheduler_address}")
    process = Program(ROOT / "prepare_data.py", *words)
    wait_for(lambda: any(root.glob("frames/tango/*.jpg")))
    return process


def wait_for(holds, seconds=30):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read_files(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_cluster_writes_the_same_files(cluster, local, monkeypatch):
    monkeypatch.chdir(local)  # which is not where the workers are
    done = run("--videos=in", "--root=same", f"--scheduler={cluster.scheduler_address}")
    assert done == 0
    assert read_files(local / "same") == read_files(local / "local")
    assert len(read_files(local / "same")) == VIDEOS * (FRAMES + 1) + 1


def test_a_worker_killed_in_the_middle_loses_nothing(cluster, local):
    root = local / "killed"
    process = start(cluster, local, root)
    workers = [nanny.pid for nanny in cluster.workers.values()]

    def are_stopped_in_the_middle():
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        if len(list(root.glob("extracted/tango/*.partial"))) == 2:
            return True
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        return False

    wait_for(are_stopped_in_the_middle)
    os.kill(workers[0], signal.SIGKILL)
    os.kill(workers[1], signal.SIGCONT)
    assert process.wait(timeout=60) == 0, process.stderr.read()
    assert read_files(root) == read_files(local / "local")
    wait_for(lambda: all(nanny.pid for nanny in cluster.workers.values()))
    assert {nanny.pid for nanny in cluster.workers.values()} != set(workers)


def test_an_interrupt_cancels_what_has_not_begun(cluster, local):
    root = local / "stopped"
    process = start(cluster, local, root)
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=20)[1]
    assert process.returncode == 143
    assert error == "stopped by SIGTERM; the same command goes on, or starts clean\n"
    wait_for(lambda: not cluster.scheduler.tasks and not any(root.glob("extracted/*/*.partial")))
    assert len(list(root.glob("extracted/*/*.json"))) < VIDEOS
    assert run(f"--videos={local}/in", f"--root={root}", "--workers=1") == 0
    assert read_files(root) == read_files(local / "local")


@pytest.mark.parametrize(
    "case, message",
    [
        ("dead", "no Dask scheduler answers: Timed out trying to connect to tcp://127.0.0.1:9"),
        ("no port", "--scheduler=127.0.0.1: expected HOST:PORT of a Dask scheduler"),
        ("absent", "--scheduler needs Dask: pip install 'danceflax[cluster]'"),
        ("both", "--workers is for processes here, --scheduler for a cluster; give one"),
        ("of a worker", "/root: cannot be written: "),
    ],
)
def test_faults_are_one_line(case, message, cluster, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(cluster_module, "PATIENCE", 1)
    if case == "absent":
        monkeypatch.setitem(sys.modules, "distributed", None)
    make_video(tmp_path / "in" / "tango" / "clip.mp4", 3)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "frames").touch()
    address = {"dead": "127.0.0.1:9", "no port": "127.0.0.1"}.get(case, cluster.scheduler_address)
    words = [f"--videos={tmp_path}/in", f"--root={tmp_path}/root", f"--scheduler={address}"]
    capfd.readouterr()
    with pytest.raises(SystemExit, match="2"):
        run(*words, *(["--workers=2"] if case == "both" else []))
    lines = [line for line in capfd.readouterr().err.splitlines() if "distributed" not in line]
    assert len(lines) == 1 and message in lines[0], lines


def test_predict_writes_the_same_files(cluster, tmp_path):
    """A pose network of random weights over two videos and two images, and over the frames of a
    root; each worker loads it."""
    skeleton, options = COCO18, {"width": 0.1, "paf_stages": 1, "heatmap_stages": 1}
    model = create_model("openpose_body25", skeleton=skeleton, **options)
    config = {"model": {"name": "openpose_body25", "options": options}} | {
        "skeleton": skeleton.to_dict(), "normalisation": {"mean": [127.5] * 3, "std": [255.0] * 3},
        "training": {"eval": {"size": [64, 64]}},
    }  # fmt: skip
    save_model(tmp_path / "net", random_variables(model, jnp.zeros((1, 64, 64, 3))), config)
    for name in "ab":
        make_video(tmp_path / "in" / f"{name}.mp4", 3, size=(64, 64))
        write_image(tmp_path / "in" / f"{name}.png", np.full((64, 64, 3), 99, np.uint8))
    words = ["--checkpoint=net", "--input=in", "--height=64", "--batch_size=2", "--coco_json"]
    for output, more in (("here", ()), ("there", (f"--scheduler={cluster.scheduler_address}",))):
        more = (f"--output={output}", *more)
        status, _, errors = call("predict.py", *words, *more, cwd=tmp_path)
        assert status == 0, errors
    assert read_files(tmp_path / "there") == read_files(tmp_path / "here")
    assert len(read_files(tmp_path / "here")) == 2 * (3 + 1) + 2 * 2 + 1
    found = []
    for scheduler in ("", cluster.scheduler_address):
        root = tmp_path / f"root{len(found)}"
        for dance in ("tango", "waltz"):
            make_root(root, 5, size=(64, 64), dance=dance)
        shutil.rmtree(root / "keypoints")
        words = [f"--root={root}", f"--checkpoint={tmp_path}/net", "--batch_size=2"]
        words.append(f"--scheduler={scheduler}")
        assert run_commands("", COMMANDS, ["keypoints", *words]) == 0
        found.append(read_files(root / "keypoints"))
    assert found[0] == found[1] and len(found[0]) == 2 * 5


@pytest.fixture
def classifier(request, tmp_path):
    """(a function of dance.files, a predictor of random weights for it to open, videos) by name."""
    by_frames = request.param == "name_dances"
    config = frames.get_config("rgb,demo") if by_frames else sequence.get_config()
    config.model.channels = (8, 8, 8, 8) if by_frames else (8,)
    config.clip.frames = 1 if by_frames else 32
    model, variables = classifiers.create(config, NAMES)
    save_model(tmp_path / "net", variables, classifiers.describe(model, NAMES))
    videos = [make_video(tmp_path / "in" / f"{i}.mp4", 40, size=(64, 64)) for i in range(4)]
    people = np.random.default_rng(0).uniform(5, 60, (1, 25, 3)).astype(np.float32)
    for video, frame in itertools.product([] if by_frames else videos, range(40)):
        write_people(video.with_name(f"{video.stem}_{frame:012d}_keypoints.json"), people)
    keypoints = None if by_frames else str(tmp_path / "in")
    opened = functools.partial(
        share_predictor, uuid.uuid4().hex, str(tmp_path / "net"), keypoints=keypoints
    )
    return getattr(dance_files, request.param), opened, videos


@pytest.mark.parametrize("classifier", ["name_dances", "name_dancers"], indirect=True)
def test_classifiers_write_the_same_files_though_a_worker_is_killed(cluster, classifier, tmp_path):
    name, opened, videos = classifier
    assert name(opened, NAMES, videos, tmp_path / "here") == []
    workers = [nanny.pid for nanny in cluster.workers.values()]

    def kill():
        wait_for(lambda: any((tmp_path / "there").glob(".*.partial.mp4")), 90)
        os.kill(workers[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    address = cluster.scheduler_address
    assert name(opened, NAMES, videos, tmp_path / "there", scheduler=address) == []
    killer.join()
    assert read_files(tmp_path / "there") == read_files(tmp_path / "here")
    assert len(read_files(tmp_path / "here")) == 1 + 4 * len(videos)
    wait_for(lambda: all(n.pid not in (None, workers[0]) for n in cluster.workers.values()), 60)
