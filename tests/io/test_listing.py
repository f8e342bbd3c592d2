"""What a path holds, and where results may go."""

import os
import time

import pytest

from danceflax.errors import UserError
from danceflax.io.files import require_free
from danceflax.io.listing import list_inputs, require_apart


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_results_never_lie_among_the_inputs(tmp_path, monkeypatch):
    """Whatever the route: the same folder, by another name, through a link to either."""
    folder = tmp_path / "in"
    touch(folder / "clip.webm")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "linked.webm").symlink_to(folder / "clip.webm")
    monkeypatch.chdir(folder)
    for given, output in (
        ("clip.webm", "."),
        (folder, folder),
        (folder / "clip.webm", tmp_path / "link"),
        (tmp_path / "link" / "*.webm", folder),
        (tmp_path / "other" / "linked.webm", folder),
        (folder, tmp_path / "in" / ".." / "in"),
    ):
        with pytest.raises(UserError, match=r"--output=.*holds the input"):
            require_apart(list_inputs(given)[0], type(folder)(output))
    with pytest.raises(UserError, match="is a file; name a folder"):
        require_apart(list_inputs(folder)[0], touch(tmp_path / "notes.txt"))
    for output in (folder / "out", tmp_path / "other" / "new", tmp_path):
        require_apart(list_inputs(folder)[0], output)


def test_two_inputs_of_one_name_are_refused(tmp_path):
    """Their drawings would be one file; on a disk without capital letters, so would these."""
    touch(tmp_path / "a.jpg")
    touch(tmp_path / "a.mov")  # as phones keep a moving picture: no clash
    require_apart(list_inputs(tmp_path)[0], tmp_path / "out")
    touch(tmp_path / "A.png")
    with pytest.raises(UserError, match=r"another input is called [aA]\.(png|jpg); rename one"):
        require_apart(list_inputs(tmp_path)[0], tmp_path / "out")


def test_what_is_there_is_replaced_only_when_told(tmp_path):
    there = touch(tmp_path / "a.mp4")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    require_free([tmp_path / "b.mp4"])
    for paths, message in (
        ([tmp_path / "b.mp4", there], r"a\.mp4: is there already; name another --output"),
        ([there, tmp_path / "dangling.png"], "already, as are 1 more"),
    ):
        with pytest.raises(UserError, match=message):
            require_free(paths)
        require_free(paths, overwrite=True)


def test_many_inputs_take_a_moment(tmp_path):
    for i in range(10_000):
        os.close(os.open(tmp_path / f"f{i}.jpg", os.O_CREAT | os.O_WRONLY))
    start = time.process_time()
    inputs, _ = list_inputs(tmp_path)
    require_apart(inputs, tmp_path / "out")
    assert len(inputs) == 10_000 and [path.stem for path, _ in inputs[:3]] == ["f0", "f1", "f2"]
    assert time.process_time() - start < 2  # 4 s if each is looked for among all
