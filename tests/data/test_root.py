import logging
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import make_root

from danceflax.data.frames import LetsDanceSource
from danceflax.data.root import NAME, open_index, require_whole, write_index
from danceflax.errors import UserError
from danceflax.skeleton import COCO18


def test_an_index_gives_what_is_on_disk(tmp_path, caplog):
    names = make_root(tmp_path, num_frames=5) + make_root(tmp_path, num_frames=3, dance="cha")
    (tmp_path / "keypoints" / names[1]).with_suffix(".json").unlink()
    (tmp_path / "keypoints" / names[2]).with_suffix(".json").rename(
        (tmp_path / "keypoints" / names[2]).with_suffix(".txt")
    )
    (tmp_path / "frames" / "tango" / "thumbs.db").touch()
    scanned = open_index(tmp_path)
    written = write_index(tmp_path)
    with caplog.at_level(logging.WARNING):
        opened = open_index(tmp_path)
    assert not caplog.records
    for index in (scanned, written, opened):
        assert [name.decode() for name in index.files] == sorted(names)
        assert index.keypoints.tolist() == [1, 1, 1, 1, 0, 2, 1, 1]
    source = LetsDanceSource(tmp_path, "all", COCO18)
    assert len(source) == 8 and source[7]["name"] == f"frames/{names[4]}"


@pytest.mark.parametrize("change", ["frame", "keypoints", "dance", "copy", "version", "noise"])
def test_an_index_that_no_longer_holds_is_not_believed(change, tmp_path, caplog):
    root = tmp_path / "root"
    names = make_root(root, num_frames=4)
    write_index(root)
    expected = sorted(names)
    if change == "frame":
        (root / "frames" / names[0]).unlink()
        expected = expected[1:]
    elif change == "keypoints":
        (root / "keypoints" / names[0]).with_suffix(".json").unlink()
    elif change == "dance":
        expected = sorted(make_root(root, num_frames=1, dance="cha") + names)
    elif change == "copy":
        shutil.copytree(root, tmp_path / "other")  # with new times, as a download has them
        os.utime(tmp_path / "other" / "frames" / "tango")
        root = tmp_path / "other"
    elif change == "version":
        data = dict(np.load(root / NAME))
        np.savez(root / NAME, **data | {"version": 99})
    else:
        (root / NAME).write_bytes((root / NAME).read_bytes()[:500])
    with caplog.at_level(logging.WARNING):
        index = open_index(root)
    assert [name.decode() for name in index.files] == expected
    assert f"{root / NAME}" in caplog.text and "prepare_data.py index" in caplog.text
    caplog.clear()
    write_index(root)
    assert open_index(root).files.tolist() == index.files.tolist() and not caplog.records


def test_a_killed_indexing_leaves_the_old_index(tmp_path):
    names = make_root(tmp_path, num_frames=2)
    write_index(tmp_path)
    before = (tmp_path / NAME).read_bytes()
    make_root(tmp_path, num_frames=3)
    code = (
        "import os, signal, sys\n"
        "from danceflax.data import root\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "root.write_index(sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path])
    assert done.returncode < 0
    assert (tmp_path / NAME).read_bytes() == before
    assert len(open_index(tmp_path).files) == 3 and len(write_index(tmp_path).files) == 3
    assert len(names) == 2


def test_faults_of_a_root(tmp_path):
    with pytest.raises(UserError, match="no such data root"):
        open_index(tmp_path / "none")
    (tmp_path / "frames").mkdir()
    with pytest.raises(UserError, match="has no frame frames/<dance>"):
        write_index(tmp_path)
    note = tmp_path / "extracted" / "tango" / "abcdefghijk_000.partial"
    note.parent.mkdir(parents=True)
    note.touch()
    with pytest.raises(UserError, match=r"abcdefghijk_000\.partial.*interrupted.*frames again"):
        require_whole(tmp_path)


@pytest.mark.parametrize("known", [False, True])
def test_what_the_index_knows_is_not_looked_for(known, tmp_path, monkeypatch):
    names = make_root(tmp_path, num_frames=4)
    path = (tmp_path / "keypoints" / names[2]).with_suffix(".json")
    path.rename(path.with_name(path.stem + "_keypoints.json"))
    if known:
        write_index(tmp_path)
    looked, exists = [], os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda p: looked.append(str(p)) or exists(p))
    source = LetsDanceSource(tmp_path, "train", COCO18)
    assert all(len(source[i]["people"]) == 1 for i in range(4))
    assert any("/keypoints/" in p for p in looked) != known
