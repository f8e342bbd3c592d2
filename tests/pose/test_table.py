"""The tidy table of keypoints, and angles of joints."""

import sys

import numpy as np
import pandas as pd
import pytest

from danceflax.errors import UserError
from danceflax.pose.table import ANGLES, check_format, joint_angles, tabulate_people, write_table
from danceflax.skeleton import BODY25, COCO18


def make_clip(rng):
    frames = [rng.uniform(1, 99, (people, 18, 3)) for people in (2, 0, 1)]
    frames[0][1, 4] = 0
    return frames, [np.array([5, -1]), np.array([], int), np.array([5])], [0.0, 0.04, 0.08]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_row_a_joint(tmp_path, suffix):
    frames, ids, times = make_clip(np.random.default_rng(0))
    write_table(tmp_path / f"a{suffix}", tabulate_people(frames, ids, times, COCO18))
    table = (pd.read_csv if suffix == ".csv" else pd.read_parquet)(tmp_path / f"a{suffix}")
    assert list(table) == ["frame", "time", "person", "joint", "x", "y", "score"]
    assert len(table) == 3 * 18 - 1
    assert table.groupby(["frame", "person"], sort=False).size().tolist() == [18, 17, 18]
    row = table[(table.frame == 2) & (table.joint == "left_knee")].iloc[0]
    assert row.time == 0.08 and row.person == 5
    expected = frames[2][0, COCO18.joints.index("left_knee")]
    np.testing.assert_allclose(row[["x", "y", "score"]].astype(float), expected, atol=6e-4)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


def test_nobody_is_an_empty_table(tmp_path):
    write_table(tmp_path / "a.csv", tabulate_people([], [], [], COCO18, angles=True))
    assert (tmp_path / "a.csv").read_text() == "frame,time,person,joint,x,y,score,angle\n"


def test_angles():
    """An arm bent at a right angle, a straight leg, a knee folded up; turning changes nothing."""
    person = np.zeros((25, 3))
    for name, point in {
        "left_shoulder": (0, 0), "left_elbow": (0, 10), "left_wrist": (7, 10),
        "right_hip": (0, 20), "right_knee": (3, 30), "right_ankle": (6, 40),
        "left_hip": (9, 20), "left_knee": (9, 30), "left_ankle": (9, 22),
    }.items():  # fmt: skip
        person[BODY25.joints.index(name)] = (*point, 0.5)
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    turned = np.concatenate([person[:, :2] @ turn, person[:, 2:]], -1)
    angles = joint_angles(np.stack([person, turned]), BODY25)
    expected = {"left_elbow": 90, "right_knee": 180, "left_knee": 0}
    expected |= {"left_hip": 180 - np.degrees(np.arctan2(9, 20)), "left_shoulder": None}
    for name, value in expected.items():
        at = angles[:, BODY25.joints.index(name)]
        if value is not None:
            np.testing.assert_allclose(at, value, atol=1e-4, err_msg=name)
    assert np.isnan(
        angles[:, [j for j, name in enumerate(BODY25.joints) if name not in ANGLES]]
    ).all()
    assert np.isnan(angles[:, BODY25.joints.index("right_elbow")]).all()
    ids, times = [np.array([0])], [0.0]
    table = tabulate_people([person[None]], ids, times, BODY25, angles=True)
    assert table.set_index("joint").angle["left_elbow"] == pytest.approx(90)


def test_formats(monkeypatch):
    assert [check_format(name) for name in ("csv", "parquet")] == ["csv", "parquet"]
    with pytest.raises(UserError, match="--table=xls: expected csv or parquet"):
        check_format("xls")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="--table=parquet: needs pyarrow; pip install"):
        check_format("parquet")
