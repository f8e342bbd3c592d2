"""What is told of videos before they are cut, and which folders are refused."""

import numpy as np
import pytest
from conftest import make_video, small_disk

from danceflax.errors import UserError
from danceflax.models import registry
from danceflax.models.initialise import initialise
from danceflax.prepare.frames import extract
from danceflax.skeleton import COCO18
from danceflax.study.disk import require_space
from danceflax.study.networks import count_parameters, find_i3d, find_pose_network
from danceflax.study.plan import Request
from danceflax.study.videos import count_missing, measure_videos, plan_videos
from danceflax.training import checkpoints

NORMALISATION = {"mean": [128.0] * 3, "std": [256.0] * 3}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two dances of two videos of 2 s at 12 a second."""
    folder = tmp_path_factory.mktemp("study") / "videos"
    for name in ("tango/a", "tango/b", "waltz/c", "waltz/d"):
        make_video(folder / f"{name}.mp4", fps=12, size=(48, 80))
    return folder


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A pose network and an I3D, tiny."""
    folder = tmp_path_factory.mktemp("networks")
    pose = registry.create_model("openpose_coco", width=0.05, stages=1)
    i3d = registry.create_model("i3d", num_classes=3, width=0.05, last="Mixed_3b")
    for name, model, shape, labels in (
        ("pose", pose, (1, 32, 32, 3), COCO18),
        ("i3d", i3d, (1, 9, 32, 32, 3), list("abc")),
    ):
        variables = initialise(model, np.zeros(shape, "f"), 0)
        description = registry.describe(model, labels, NORMALISATION)
        checkpoints.save_model(folder / "checkpoints" / name, variables, description)
    return folder


def plan(folder, root, **options):
    return plan_videos(str(folder), root, **dict(fps=25.0, short_side=32, cut=10.0) | options)[0]


def test_the_sample_tells_what_is_cut(videos, tmp_path):
    tasks = plan(videos, tmp_path)
    found = measure_videos(tasks)
    assert (found.videos, found.dances, found.sources, found.clips) == (4, 2, 2, 4)
    assert found.fps == 12 and found.seconds == pytest.approx(8, abs=0.2)
    assert count_missing(tasks) == 4
    assert extract(tasks, tmp_path, 1, "") == []
    frames = list(tmp_path.glob("frames/*/*.jpg"))
    assert found.frames == pytest.approx(len(frames), rel=0.05)
    sizes = np.mean([path.stat().st_size for path in frames])
    assert found.frame_bytes == pytest.approx(sizes, rel=0.2)
    assert count_missing(tasks) == 0


def test_what_cannot_be_studied_is_named(videos, tmp_path):
    with pytest.raises(UserError, match="no such folder; expected"):
        plan(tmp_path / "none", tmp_path)
    with pytest.raises(UserError, match=r"a\.mp4: is no folder"):
        plan(videos / "tango" / "a.mp4", tmp_path)
    with pytest.raises(UserError, match="lies in no dance's folder; put it into"):
        plan(videos / "tango", tmp_path)
    (tmp_path / "empty" / "tango").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no video"):
        plan(tmp_path / "empty", tmp_path)
    make_video(tmp_path / "one" / "tango" / "a.mp4", 2, size=(16, 16))
    with pytest.raises(UserError, match="all videos are of one dance, tango"):
        plan(tmp_path / "one", tmp_path)
    for name in ("waltz/abcdefghijk_010", "waltz/abcdefghijk_020", "tango/b"):  # of one upload
        make_video(tmp_path / "one" / f"{name}.mp4", 2, size=(16, 16))
    with pytest.raises(UserError, match="waltz: all videos are of one source, abcdefghijk"):
        plan(tmp_path / "one", tmp_path)


def test_videos_that_cannot_be_read_are_named(videos, tmp_path):
    for name in ("tango/a", "tango/b", "waltz/c", "waltz/d"):
        path = tmp_path / "bad" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no video")
    with pytest.raises(UserError, match=r"tango/a\.mp4: is not a video"):
        measure_videos(plan(tmp_path / "bad", tmp_path))
    good = (videos / "waltz" / "c.mp4").read_bytes()
    (tmp_path / "bad" / "waltz" / "c.mp4").write_bytes(good)
    assert measure_videos(plan(tmp_path / "bad", tmp_path)).seconds == pytest.approx(8, abs=0.2)


def test_a_disk_too_small_is_refused_before_anything_is_written(videos, tmp_path, capsys):
    with small_disk(tmp_path / "disk", 20) as disk:
        output = disk / "some" / "study"
        request = Request(str(videos), output, "net", "", 25.0, 10.0, 32, 0, 0, 1)
        tasks = plan(videos, request.root)
        with pytest.raises(UserError, match=r"need about 5\d MB, and its disk has 2\d MB free"):
            require_space(request, measure_videos(tasks), tasks)
        assert not list(disk.iterdir())
    require_space(request._replace(output=tmp_path), measure_videos(tasks), tasks)
    assert "free on the disk" in capsys.readouterr().out


def test_networks_are_found_and_known_by_kind(networks, tmp_path, monkeypatch):
    pose, i3d = (str(networks / "checkpoints" / name) for name in ("pose", "i3d"))
    assert find_pose_network(pose) == pose and find_i3d(i3d) == i3d
    with pytest.raises(UserError, match="holds i3d; expected a pose network"):
        find_pose_network(i3d)
    with pytest.raises(UserError, match="holds openpose_coco; expected an I3D"):
        find_i3d(pose)
    with pytest.raises(UserError, match="does not exist"):
        find_pose_network(str(tmp_path / "none"))
    assert count_parameters(pose) > 1000
    monkeypatch.chdir(networks)
    assert find_pose_network() == "checkpoints/pose" and find_i3d() == ""
    (networks / "checkpoints" / "i3d").rename(networks / "checkpoints" / "i3d_rgb")
    assert find_i3d() == "checkpoints/i3d_rgb"
    monkeypatch.chdir(tmp_path)
    assert find_pose_network() == ""
