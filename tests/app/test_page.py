"""The page in a real browser: what a person sees and takes away is what predict.py writes."""

import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from absl import flags
from absl.testing import flagsaver
from conftest import ROOT, random_variables

from configs import sequence
from danceflax import cli
from danceflax.dance import classifiers
from danceflax.io.console import track
from danceflax.io.images import write_image
from danceflax.io.videos import VideoWriter, read_video
from danceflax.models.registry import create_model
from danceflax.prepare.synthetic.render import render_clip
from danceflax.skeleton import COCO18
from danceflax.training.checkpoints import save_model

pytest.importorskip("gradio", reason="gradio is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from danceflax.app import page as app_page  # noqa: E402
from danceflax.app.networks import find_networks  # noqa: E402
from danceflax.app.serve import make_server, open_socket  # noqa: E402
from danceflax.app.shown import MOST_PEOPLE  # noqa: E402
from danceflax.app.uploads import Limits  # noqa: E402

WAIT = 30_000  # milliseconds, for a machine that is busy
FPS = 8
SAID = "#status .note, #status .fault"
CLASSES = ["tango", "<img src=x onerror=alert(1)>"]


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium, or Playwright's own; skips where there is neither."""
    with playwright.sync_playwright() as driver:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        try:
            options = ["--no-sandbox"] if os.geteuid() == 0 else []
            opened = driver.chromium.launch(executable_path=path, args=options)
        except playwright.Error as error:
            pytest.skip(f"no chromium can be started: {str(error).splitlines()[0]}")
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network that sees people in anything, a classifier, a rendered picture and video."""
    folder = tmp_path_factory.mktemp("app")
    options = {"width": 1 / 16, "paf_stages": 1, "heatmap_stages": 1}
    network = create_model("openpose_body25", skeleton=COCO18, **options)
    config = {
        "model": {"name": "openpose_body25", "options": options},
        "skeleton": COCO18.to_dict(),
        "normalisation": {"mean": [128.0] * 3, "std": [64.0] * 3},
        "training": {"eval": {"size": [64, 64]}},
    }
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    save_model(folder / "runs" / "pose", random_variables(network, image), config)
    config = sequence.get_config()
    config.model.channels, config.clip.frames = (8,), 8
    classifier, variables = classifiers.create(config, CLASSES)
    described = classifiers.describe(classifier, CLASSES)
    save_model(folder / "runs" / "dance", variables, described)
    frames, _ = render_clip(3, "jive", 2 * FPS, FPS, (64, 64))
    (folder / "in").mkdir()
    write_image(folder / "in" / "photo.jpg", frames[0])
    with VideoWriter(folder / "in" / "clip.mp4", FPS) as video:
        for frame in frames:
            video.write(frame)
    return folder


@pytest.fixture(scope="module")
def predicted(folder, predict_script):
    """The folder of what predict.py finds in both."""
    words = [f"--checkpoint={folder}/runs/pose", f"--input={folder}/in", f"--output={folder}/out"]
    with flagsaver.flagsaver():
        flags.FLAGS(["predict", *words, "--batch_size=1", "--label", "--table=csv"])
        assert cli.guard(predict_script.main, []) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def address(folder):
    """Where the page is served."""
    home = folder / "home"
    home.mkdir()
    networks = find_networks([str(folder / "runs")])
    server, jobs = make_server(networks, Limits(1_000_000, 60), "127.0.0.1", home)
    with open_socket("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        jobs.close_all()
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def page(browser, address):
    """The page; it must ask nobody but its server for anything."""
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(WAIT)
    page.goto(address)
    page.wait_for_selector("#find")
    yield page
    page.close()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def upload(page, path):
    if page.is_visible("#file .file-preview"):
        page.click('#file button[aria-label="Clear"]')
    page.set_input_files("#file input[type=file]", path)
    page.wait_for_selector("#file .file-preview")
    begin(page)


def begin(page):
    """Begins the work; what the page has said before does not count any more."""
    page.evaluate(f"document.querySelectorAll({SAID!r}).forEach(e => e.className = 'old')")
    page.click("#find")


def finish(page, words):
    """What the page says once it says those words."""
    said = page.locator(SAID).filter(has_text=words)
    said.wait_for()
    page.wait_for_selector("#find", state="visible")
    return said.inner_text()


def download(page, name, folder):
    with page.expect_download() as waiting:
        page.click(f'#downloads a[download="{name}"]')
    path = folder / name
    waiting.value.save_as(path)
    return path


def test_picture(page, folder, predicted, tmp_path):
    upload(page, folder / "in" / "photo.jpg")
    finish(page, "Done in ")
    page.wait_for_selector("#picture img", state="visible")
    shown = page.request.get(page.get_attribute("#picture img", "src")).body()
    own = download(page, "photo_keypoints.json", tmp_path).read_bytes()
    assert shown == (predicted / "photo.png").read_bytes()
    assert own == (predicted / "json" / "photo_keypoints.json").read_bytes()
    people = json.loads(own)["people"]
    assert len(people) > 1
    rows = page.locator("#people tr").all_inner_texts()
    assert len(rows) == 1 + min(len(people), MOST_PEOPLE)
    table = pd.read_csv(download(page, "photo.csv", tmp_path))
    triples = np.array([person["pose_keypoints_2d"] for person in people]).reshape(-1, 3)
    found = triples[triples[:, 2] > 0]
    np.testing.assert_allclose(table[["x", "y", "score"]], found, atol=1e-3)


def test_video_and_its_dance(page, folder, predicted, tmp_path):
    page.click("#dance input")
    page.get_by_role("option", name="dance").click()
    upload(page, folder / "in" / "clip.mp4")
    said = finish(page, "Done in ")
    assert re.match(r"Done in [\d.]+ s\. .+ \d\.\d\d\.$", said), said
    page.wait_for_selector("#video video", state="visible")
    with zipfile.ZipFile(download(page, "clip_json.zip", tmp_path)) as archive:
        files = sorted((predicted / "json").glob("clip_*.json"))
        assert archive.namelist() == [file.name for file in files]
        assert all(archive.read(file.name) == file.read_bytes() for file in files)
    assert (
        download(page, "clip.csv", tmp_path).read_bytes() == (predicted / "clip.csv").read_bytes()
    )
    answers = json.loads(download(page, "clip_classes.json", tmp_path).read_text())
    assert {item["label"] for item in answers["top"]} == set(CLASSES)
    assert page.locator("#answers b").all_inner_texts() == [x["label"] for x in answers["top"]]
    assert page.locator("#answers img").count() == 0  # a class's name is text
    drawn = read_video(download(page, "clip_dance.mp4", tmp_path))
    assert drawn.count == 2 * FPS
    page.wait_for_selector("#timeline img", state="visible")


def ask(address, **options):
    """The status with which the server answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, **options)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_page_is_this_computers_alone_and_takes_so_much(address):
    command = [sys.executable, "app.py", "--help"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert re.search(r"--host: .*\(default 127\.0\.0\.1\)", said)
    with pytest.raises(ConnectionRefusedError):  # the same computer, by another of its addresses
        socket.create_connection(("127.0.0.2", address.rpartition(":")[2]))
    assert ask(address, headers={"Host": "localhost"}) == 200
    assert ask(address, headers={"Host": "elsewhere.example"}) == 400
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for size, status in ((1_000, 200), (1_000_001, 413)):
        body = head + bytes(size) + b"\r\n--x--\r\n"
        assert ask(f"{address}/gradio_api/upload", data=body, headers=kind) == status


def test_bad_files_get_a_message(page, tmp_path):
    for name, kind in (("text.mp4", "a video"), ("<b>text.jpg", "an image")):
        (tmp_path / name).write_text("neither")
        upload(page, tmp_path / name)
        said = finish(page, f"is not {kind} that can be read; check the file")
        assert "/" not in said and f"text{name[-4:]}: is not" in said
        assert page.locator("#status b").count() == 0
        assert not page.is_visible("#downloads")


def work_on(request, output):
    """Work without an end, which leaves a file."""
    output.joinpath("begun").touch()
    for _ in track(itertools.count(), 10**9, "working", "frames"):
        time.sleep(0.01)


def wait_until_working(page):
    page.wait_for_function("document.querySelector('#status').innerText.includes('working')")


def test_cancel(page, folder, monkeypatch):
    """Work that would not end ends, and the next begins."""
    with monkeypatch.context() as patched:
        patched.setattr(app_page, "analyse", work_on)
        upload(page, folder / "in" / "clip.mp4")
        wait_until_working(page)
        assert re.search(r"working\s+\d+ of 1,000,000,000 frames", page.inner_text("#status"))
        page.click("#cancel")
        finish(page, "Stopped.")
    page.click("#find")
    finish(page, "Done in ")
    left = list((folder / "home").rglob("begun"))
    assert left == []  # what was begun is gone


def test_a_page_that_is_closed_ends_its_work(browser, address, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(app_page, "analyse", work_on)
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("#find")
    upload(page, shutil.copy(folder / "in" / "photo.jpg", tmp_path / "own.jpg"))
    wait_until_working(page)
    (begun,), (own,) = ((folder / "home").rglob(name) for name in ("begun", "own.jpg"))
    page.close()
    deadline = time.monotonic() + WAIT / 1000
    while own.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not own.exists() and not begun.exists()  # which go once the work has ended
