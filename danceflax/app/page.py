"""The page: what a person chooses, what is shown while they wait, and what was found."""

import asyncio
import functools
import pathlib
import re
import time
import traceback
import typing
from collections.abc import AsyncIterator

import gradio as gr
import pandas as pd

from danceflax.app.analysis import Findings, Request, analyse
from danceflax.app.jobs import Job, Jobs, Stopped
from danceflax.app.networks import Networks
from danceflax.app.shown import (
    MOST_ROWS,
    first_rows,
    show_answers,
    show_fault,
    show_note,
    show_people,
    show_progress,
)
from danceflax.app.uploads import Limits
from danceflax.errors import UserError
from danceflax.io.images import IMAGE_SUFFIXES
from danceflax.io.videos import VIDEO_SUFFIXES
from danceflax.pose.smooth import METHODS

POLL = 0.25  # seconds between two looks at a job
KEEP = (600, 24 * 3600)  # every so many seconds, uploads that are older than so many go
NONE = ("none", "")
EMPTY = "<p>People with their joints, and the dance of a video, will be shown here.</p>"
NO_FILE = "Choose an image or a video first."
CRASH = "Something went wrong that should not have; the terminal says what."


class Choices(typing.NamedTuple):
    """What a person chooses. The order is that of the arguments of the page's `run`."""

    tab: gr.State
    file: gr.File
    photo: gr.Image
    film: gr.Video
    pose: gr.Dropdown
    dance: gr.Dropdown
    flip: gr.Checkbox
    smooth: gr.Dropdown


class Results(typing.NamedTuple):
    """Where it is shown what was found."""

    empty: gr.HTML
    people_group: gr.Column
    picture: gr.Image
    video: gr.Video
    people: gr.HTML
    keypoints: gr.Dataframe
    dance_group: gr.Column
    dance: gr.Video
    answers: gr.HTML
    timeline: gr.Image
    downloads: gr.File


def make_page(
    networks: Networks, limits: Limits, jobs: Jobs, batch_size: int | None = None
) -> gr.Blocks:
    """The page, to be served.

    Args:
      networks: to choose from.
      limits: of uploads.
      jobs: where the work of the open pages is done.
      batch_size: frames a step; None: one a device.
    """
    with gr.Blocks(title="danceflax", analytics_enabled=False, delete_cache=KEEP) as page:
        gr.HTML(
            "<h1>danceflax</h1><p>Who dances, where the joints are, which dance it is.</p>",
            elem_id="head",
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                choices = _make_choices(networks, limits)
                find = gr.Button("Find", variant="primary", elem_id="find")
                cancel = gr.Button("Cancel", visible=False, elem_id="cancel")
                status = gr.HTML(elem_id="status")
            with gr.Column(scale=5, min_width=420):
                results = _make_results()

        def turn(working: bool, shown: str) -> dict:
            buttons = {find: gr.update(visible=not working), cancel: gr.update(visible=working)}
            return buttons | {status: shown}

        async def run(
            tab, file, photo, film, pose, dance, flip, smooth, session: gr.Request
        ) -> AsyncIterator[dict]:
            path = (file, photo, film)[tab]
            if not path or not pathlib.Path(path).exists():  # it goes when a page is left
                yield {status: show_fault(NO_FILE)}
                return
            chosen = pose or "", dance or "", flip, smooth or "", batch_size, limits
            request = Request(pathlib.Path(path), *chosen)
            work = functools.partial(analyse, request)
            job = jobs.begin(session.session_hash, request.path, work)
            begin = time.monotonic()
            yield turn(True, show_progress(job.progress)) | _hide(results)
            while not job.is_done:
                await asyncio.sleep(POLL)
                yield {status: show_progress(job.progress)}
            found, shown = _await_findings(job, time.monotonic() - begin)
            yield turn(False, shown) | (_fill(results, found) if found else {})

        def stop(session: gr.Request) -> str:
            jobs.stop(session.session_hash)
            return show_note("Stopping…")

        def leave(session: gr.Request) -> None:
            jobs.close(session.session_hash)

        quiet = dict(show_progress="hidden", api_visibility="private")
        outputs = [find, cancel, status, *results]
        find.click(run, [*choices], outputs, concurrency_limit=None, **quiet)
        cancel.click(stop, None, status, queue=False, **quiet)
        page.unload(leave)
    return page


def _make_choices(networks, limits):
    tab = gr.State(0)
    most = f"up to {limits.bytes / 1e6:,.0f} MB, {limits.seconds / 60:g} min"
    with gr.Tabs():
        with gr.Tab("File") as file_tab:
            file = gr.File(
                label=f"Image or video, {most}", height=170, elem_id="file",
                file_types=[*IMAGE_SUFFIXES, *VIDEO_SUFFIXES],
            )  # fmt: skip
        mirror = gr.WebcamOptions(mirror=False)
        with gr.Tab("Photo") as photo_tab:
            photo = gr.Image(
                label="Camera", sources=["webcam"], type="filepath", image_mode=None,
                webcam_options=mirror, buttons=[],
            )  # fmt: skip
        with gr.Tab("Film") as film_tab:
            film = gr.Video(
                label="Camera", sources=["webcam"], include_audio=True, webcam_options=mirror,
                buttons=[],
            )  # fmt: skip
    for number, own in enumerate((file_tab, photo_tab, film_tab)):
        own.select(functools.partial(int, number), None, tab, api_visibility="private")
    poses, dances = [*networks.pose.items()], [NONE, *networks.dance.items()]
    pose = gr.Dropdown(
        poses if poses and not networks.dance else [*poses, NONE], value=(poses or [NONE])[0][1],
        label="People by", visible=len(poses) > 1 or bool(networks.dance), elem_id="pose",
    )  # fmt: skip
    dance = gr.Dropdown(
        dances, value=dances[-1 if not poses else 0][1], label="Dances by",
        visible=bool(networks.dance), elem_id="dance",
    )  # fmt: skip
    with gr.Accordion("More", open=False, visible=bool(poses)):
        flip = gr.Checkbox(label="Look at the mirrored picture too: twice the time, more is found")
        smooth = gr.Dropdown(
            [("as found", ""), *((name.replace("_", " "), name) for name in METHODS)], value="",
            label="Motion in videos",
        )  # fmt: skip
    return Choices(tab, file, photo, film, pose, dance, flip, smooth)


def _make_results():
    plain = dict(interactive=False, show_label=False)
    empty = gr.HTML(EMPTY, elem_id="empty")
    with gr.Column(visible=False) as people_group:
        picture = gr.Image(elem_id="picture", buttons=["fullscreen"], **plain)
        video = gr.Video(elem_id="video", buttons=[], **plain)
        with gr.Tabs():
            with gr.Tab("People"):
                people = gr.HTML(elem_id="people", elem_classes="found")
            with gr.Tab("Keypoints"):
                keypoints = gr.Dataframe(
                    interactive=False, max_height=360, elem_id="keypoints", buttons=[],
                    label=f"At most {MOST_ROWS:,} rows; the file has all",
                )  # fmt: skip
    with gr.Column(visible=False) as dance_group:
        gr.HTML("<h3>The dance</h3>")
        answers = gr.HTML(elem_id="answers", elem_classes="found")
        dance = gr.Video(elem_id="dance_video", buttons=[], **plain)
        timeline = gr.Image(elem_id="timeline", buttons=["fullscreen"], **plain)
    downloads = gr.File(label="Take away", interactive=False, visible=False, elem_id="downloads")
    shown = picture, video, people, keypoints
    return Results(empty, people_group, *shown, dance_group, dance, answers, timeline, downloads)


def _await_findings(job: Job, seconds: float) -> tuple[Findings | None, str]:
    """What a job that is done has found, and what to say of it."""
    try:
        found = job.result()
        best = found.answers["top"][0] if found.answers else None
        says = f" {best['label']} {best['probability']:.2f}." if best else ""
        return found, show_note(f"Done in {seconds:.1f} s.{says}")
    except Stopped:
        return None, show_note("Stopped.")
    except UserError as error:
        return None, show_fault(re.sub(r"\S*/(?=[^/\s]+: )", "", str(error), count=1))
    except Exception:
        traceback.print_exc()
        return None, show_fault(CRASH)


def _hide(results: Results) -> dict:
    """The updates that take away what was found before."""
    gone = results.people_group, results.dance_group, results.downloads
    hidden = {part: gr.update(visible=False) for part in gone}
    return hidden | {results.empty: gr.update(visible=True)}


def _fill(results: Results, found: Findings) -> dict:
    """The updates that show what was found."""

    def show(path: pathlib.Path | None) -> dict:
        return gr.update(value=path and str(path), visible=path is not None)

    files = [str(path) for path in found.downloads]
    updates = {
        results.empty: gr.update(visible=False),
        results.downloads: gr.update(value=files, visible=True),
        results.people_group: gr.update(visible=found.people is not None),
        results.dance_group: gr.update(visible=found.dance is not None),
    }
    if found.people:
        table, is_video = pd.read_csv(found.table), found.kind == "video"
        updates |= {
            results.picture: show(None if is_video else found.people),
            results.video: show(found.people if is_video else None),
            results.people: show_people(table, found.kind, found.skeleton),
            results.keypoints: first_rows(table),
        }
    if found.dance:
        updates |= {
            results.dance: show(found.dance),
            results.timeline: show(found.timeline),
            results.answers: show_answers(found.answers),
        }
    return updates
