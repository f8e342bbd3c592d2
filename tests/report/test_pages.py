"""Reports read back as HTML: their figures and size, no address of a network, hostile names."""

import html.parser
import re

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict

from danceflax.dance.evaluate import Answers, measure
from danceflax.data.loader import make_loader
from danceflax.errors import UserError
from danceflax.pose.augment import letterbox
from danceflax.pose.evaluate import evaluate_batches
from danceflax.report import dance, pose
from danceflax.report.bootstrap import find_intervals
from danceflax.report.runs import Run, name_runs
from danceflax.skeleton import COCO18

HOSTILE = "</script><script>alert('x')</script>"
MODEL = {"model": {"name": HOSTILE}, "training": {"steps": 5, "name": HOSTILE}}
CONFIG = ConfigDict(dict(data=dict(source="own:source", root="", train_split="train")))


class Page(html.parser.HTMLParser):
    """{name of a table: rows of texts}, scripts, and the addresses that a page names."""

    def __init__(self, path):
        super().__init__()
        self.tables, self.addresses, self.images, self.scripts = {}, [], 0, 0
        self._cell = self._rows = None
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.scripts += tag == "script"
        self.images += tag == "img"
        self.addresses += [attributes[key] for key in ("src", "href") if key in attributes]
        if tag == "table":
            self._rows = self.tables.setdefault(attributes["data-name"], [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data):
        if self._cell:
            self._rows[-1][-1] += data


class PoseSource:
    """Images of two people each."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        people = np.zeros((2, 18, 3), np.float32)
        people[..., :2] = rng.uniform(5, 60, (2, 18, 2)) + (np.arange(2) * 60)[:, None, None] * (
            1,
            0,
        )
        people[..., 2] = 2
        return dict(
            image=np.full((64, 128, 3), 99, np.uint8), people=people, mask=None, id=index,
            labelled=np.ones(18, bool), name=f"{HOSTILE}{index}.jpg",
        )  # fmt: skip


def evaluate_noisy(noise):
    """What an imaginary network finds: the labelled people, shaken, one missed now and then."""
    rng = np.random.default_rng(0)

    def step(_, batch):
        people = batch["people"] + rng.normal(0, noise, batch["people"].shape) * (1, 1, 0)
        scores = rng.uniform(0.1, 1, people.shape[:2]) * (rng.random(people.shape[:2]) > 0.2)
        people[..., 2] = 1
        return dict(
            people=people, scores=scores, loss=np.ones(len(people)), count=np.ones(len(people))
        )

    def transform(record):
        return letterbox(record, size=(64, 128), stride=8, max_people=2)

    batches = make_loader(PoseSource(), transform, 4, training=False, threads=0)
    return evaluate_batches(step, {}, batches, COCO18)


def make_run(name, result, **described):
    variables = {"params": {"stem": {"kernel": np.zeros((3, 4))}, "head": {"bias": np.zeros(5)}}}
    return Run(name, name, (None, variables, MODEL | described), CONFIG, result)


def check_page(path):
    page = Page(path)
    assert path.stat().st_size < 5e6
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert page.scripts == 2 or page.scripts == 3  # bokeh's own, the charts'
    assert "<script>alert" not in path.read_text()
    return page


@pytest.fixture(scope="module")
def pose_runs():
    skeleton = COCO18.to_dict()
    return [make_run(n, evaluate_noisy(x), skeleton=skeleton) for n, x in (("a", 2.0), ("b", 1.0))]


def test_pose_report(pose_runs, tmp_path):
    settings = {"split": "val", "decode": {"rule": "global"}}
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "split": "train", "loss": 3.5, "lr/paf": 0.1}\n'
        '{"step": 1, "split": "val", "AP": 0.5}\n'
    )
    one = pose_runs[0]._replace(path=str(tmp_path))
    pose.write_report(tmp_path / "one.html", [one], PoseSource(), settings)
    page = check_page(tmp_path / "one.html")
    metrics = one.result.metrics
    rows = {
        row[0]: row[1] for name in ("Figures", "PCK of each joint") for row in page.tables[name][1:]
    }
    for name, value in metrics.items():
        name = name if "tilt" in name else name.removeprefix("PCK/")
        assert rows[name.replace("_", " ")].startswith(f"{value:.3f}"), name
    low, high = map(float, re.findall(r"[\d.]+", rows["AP"])[1:])
    assert low <= metrics["AP"] <= high and low < high
    assert "train loss" in (tmp_path / "one.html").read_text()
    assert page.images == pose.PICTURES + 1
    people = sum(map(int, page.tables["Errors by kind"][1][-3:-1]))
    assert people == 20
    assert ["parameters", "17"] in page.tables["model a"]
    assert ["steps", "5"] in page.tables["Training of a"]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/tmp/runs/a"], ["a"]),
        (["runs/a", "old/a"], ["runs/a", "old/a"]),
        (["runs/rgb + runs/flow", "runs/rgb"], ["rgb + flow", "rgb"]),
        (["x/rgb + x/flow", "y/rgb + y/flow"], ["x/rgb + x/flow", "y/rgb + y/flow"]),
        (["runs/a", "runs/a/checkpoints/1000"], ["a", "a step 1000"]),
        (["runs/a", "checkpoints/coco"], ["a", "coco"]),
        (["runs/a", "runs/a"], ["a (1)", "a (2)"]),
    ],
)
def test_runs_have_short_names(paths, names):
    assert name_runs([make_run(path, None) for path in paths]) == names


def test_two_pose_networks(pose_runs, tmp_path):
    pose.write_report(tmp_path / "two.html", pose_runs, PoseSource(), {"split": "val"})
    page = check_page(tmp_path / "two.html")
    header, *rows = page.tables["Figures"]
    assert header == ["figure", "a", "b", "difference"]
    row = next(row for row in rows if row[0] == "PCK")
    a, b = (run.result.metrics["PCK"] for run in pose_runs)
    assert row[3].startswith(f"{b - a:+.3f} [")
    other = pose_runs[1]._replace(result=pose_runs[1].result._replace(images=[]))
    with pytest.raises(UserError, match="--compare=b: did not see the images"):
        pose.write_report(
            tmp_path / "x.html", [pose_runs[0], other], PoseSource(), {"split": "val"}
        )


class ClipSource:
    """Clips of one dancer, of which half have frames on disk."""

    skeleton = COCO18

    def __init__(self, folder):
        self._folder = folder
        cv2.imwrite(str(folder / "frame.jpg"), np.full((30, 40, 3), 200, np.uint8))

    def __getitem__(self, index):
        file = "frame" if index % 2 else "gone"
        people = np.random.default_rng(index).uniform(5, 25, (8, 1, 18, 3))
        folders = {"rgb": str(self._folder)}
        return dict(files=[file] * 8, suffix=".jpg", folders=folders, people=people)


def test_dance_report(tmp_path):
    rng, classes = np.random.default_rng(0), ["a", HOSTILE, "c"]
    labels = np.arange(30) % 3
    probabilities = rng.dirichlet(np.ones(3), 30) * 0.8 + np.eye(3)[labels] * 0.2
    names = [f"{classes[0]}/{HOSTILE[:9]}{n // 3}_{n:03d}" for n in range(30)]
    answers = Answers(probabilities, labels, names, np.arange(30))
    other = answers._replace(probabilities=probabilities[:, ::-1].copy())
    runs = [
        make_run(name, (measure(x.probabilities, labels), x), class_names=classes)
        for name, x in (("a", answers), (HOSTILE, other))
    ]
    dance.write_report(tmp_path / "d.html", runs, ClipSource(tmp_path), {"split": "val"})
    page = check_page(tmp_path / "d.html")
    figures = {row[0]: row[1:] for row in page.tables["Figures"]}
    for name, value in runs[0].result[0].items():
        assert name == "clips" or figures[name.replace("_", " ")][0].startswith(f"{value:.3f} [")
    assert "30 clips of 10 videos" in (tmp_path / "d.html").read_text()
    counts = page.tables["confusion of a"]
    assert counts[0] == ["", *classes]
    taken = np.bincount(labels * 3 + probabilities.argmax(1), minlength=9).reshape(3, 3)
    shares = taken / taken.sum(1, keepdims=True)
    for row, own, share in zip(counts[1:], taken, shares, strict=True):
        assert row[1:] == [f"{n}{s:.0%}" if n else "" for n, s in zip(own, share, strict=True)]
    wrong = int((probabilities.argmax(1) != labels).sum())
    assert page.images == min(wrong, dance.MISTAKES) > 0
    fewer = runs[1]._replace(result=(None, answers._replace(names=names[1:])))
    with pytest.raises(UserError, match="cannot read the clips of a"):
        dance.write_report(tmp_path / "x.html", [runs[0], fewer], None, {"split": "val"})


def test_six_right_of_six_prove_little():
    labels = np.arange(6) % 2
    answers = Answers(np.eye(2)[labels], labels, [f"a/{n}_000" for n in range(6)], np.arange(6))
    text = dance.describe_sureness([answers], [*"abcdef"])
    assert text.endswith("may be as low as 54%.")  # 0.025 ** (1 / 6)
    wrong = answers._replace(labels=1 - labels)
    assert "as low" not in dance.describe_sureness([wrong], [*"abcdef"])
    intervals = find_intervals([dance.make_measure(answers, ["a", "b"])], [*"abcdef"])
    assert "top1" not in intervals.runs[0]
