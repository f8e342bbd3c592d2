"""What a classifier says of video files, written: answers as JSON and CSV, timelines, drawings."""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from danceflax.dance.draw import draw_prediction, draw_timeline
from danceflax.dance.predict import DancePredictor, Window
from danceflax.dance.sequences.predict import SequencePredictor, join_answers
from danceflax.errors import UserError
from danceflax.io.console import console, show_progress, track
from danceflax.io.files import remove_leftovers, require_free, write_csv, write_json
from danceflax.io.frame_store import FrameStore
from danceflax.io.pipeline import map_ahead
from danceflax.io.videos import VideoWriter, read_video
from danceflax.io.workers import run_tasks
from danceflax.people import keypoint_boxes
from danceflax.pose.labels import draw_names


def name_dances(
    open_predictor: Callable[[], DancePredictor],
    names: Sequence[str],
    videos: Sequence[pathlib.Path],
    output: pathlib.Path,
    **options: Any,
) -> list[str]:
    """Writes <name>_classes.json, <name>_timeline.csv and .png and <name>.mp4 of each video; see
    `_name_videos`."""
    return _name_videos(_name_dance, open_predictor, names, videos, output, **options)


def _name_dance(predictor, path, output, draw, top):
    names, windows = predictor.class_names, predictor.stream(path, frames=draw)
    if draw:
        windows = _draw_running(windows, names, output / f"{path.stem}.mp4")
    windows = [_forget_frames(window) for window in windows]
    spans = np.array([(w.first / w.fps, (w.last + 1) / w.fps) for w in windows])
    found = np.stack([window.probabilities for window in windows])
    _write_timeline(output, path, ["all"], [spans], [found], names)
    return found.mean(0), {}


def name_dancers(
    open_predictor: Callable[[], SequencePredictor],
    names: Sequence[str],
    videos: Sequence[pathlib.Path],
    output: pathlib.Path,
    **options: Any,
) -> list[str]:
    """As `name_dances`, by keypoints, and each dancer's as well."""
    return _name_videos(_name_dancers, open_predictor, names, videos, output, **options)


def _name_dancers(predictor, path, output, draw, top):
    names = predictor.class_names
    opened, kept = read_video(path), FrameStore()
    options = {"keep": kept.append} if draw else {}
    with show_progress(f"following the dancers of {path.stem}", "frames") as progress:
        followed = predictor.follow(path, lambda done: progress(done, opened.count), **options)
    dancers = predictor.find_dancers(followed, str(path))
    curves = [d.spans for d in dancers], [d.probabilities for d in dancers]
    _write_timeline(output, path, [d.number for d in dancers], *curves, names)
    if draw:
        _draw_dancers(kept, opened.fps, followed, dancers, names, output / f"{path.stem}.mp4")
    each = [
        {"dancer": d.number, "windows": len(d.spans), "top": list_best(d.answer, names, top)}
        for d in dancers
    ]
    return join_answers(dancers), {"dancers": each}


def timeline_rows(
    dancers: Sequence[int | str],
    spans: Sequence[Float[np.ndarray, "_ 2"]],
    probabilities: Sequence[Float[np.ndarray, "_ C"]],
    class_names: Sequence[str],
) -> list[list]:
    """The rows of the timeline's CSV: a window each, its seconds, its dance, all probabilities."""
    rows = [["dancer", "start", "end", "dance", *class_names]]
    for dancer, windows, answers in zip(dancers, spans, probabilities, strict=True):
        for (start, end), found in zip(windows, answers, strict=True):
            values = [round(float(value), 6) for value in found]
            best = class_names[int(found.argmax())]
            rows.append([dancer, round(start, 3), round(end, 3), best, *values])
    return rows


def list_best(
    probabilities: Float[np.ndarray, " C"], names: Sequence[str], count: int
) -> list[dict[str, Any]]:
    """[{"label", "probability"}] of the likeliest classes."""
    best = (-probabilities).argsort(kind="stable")[:count]
    return [{"label": names[k], "probability": round(float(probabilities[k]), 6)} for k in best]


def _name_videos(
    name: Callable,
    open_predictor: Callable,
    names: Sequence[str],
    videos: Sequence[pathlib.Path],
    output: pathlib.Path,
    *,
    top: int = 5,
    draw: bool = True,
    overwrite: bool = False,
    table: bool = False,
    scheduler: str = "",
) -> list[str]:
    """Names the dance of each video and writes what was found.

    Args:
      name: (predictor, path, output, draw, top) -> (probabilities of the classes, what else the
        JSON file is to hold).
      open_predictor: gives the predictor; for a cluster, of module level, or a partial of such, and
        quick when it is called again.
      names: of the classes.
      videos: the files.
      output: the folder to write to.
      top: how many classes to list.
      draw: write the videos with what was found.
      overwrite: replace files that are there.
      table: write classes.csv of one video as well.
      scheduler: address of a Dask cluster that does the work; a task is a video.

    Returns:
      Messages about the videos that cannot be read.

    Raises:
      UserError: a file is there already, the predictor cannot be opened, or the cluster fails.
    """
    endings = ["_classes.json", "_timeline.csv", "_timeline.png"] + [".mp4"] * draw
    written = [output / f"{path.stem}{ending}" for path in videos for ending in endings]
    require_free([*written, output / "classes.csv"], overwrite)
    remove_leftovers(output)
    rows, faults, count = [], [], min(top, len(names))
    task = functools.partial(_try, name, open_predictor, output.absolute(), draw, top)
    tasks = [path.absolute() for path in videos]
    shown = show_progress("naming", "videos") if scheduler else contextlib.nullcontext()
    with shown as progress:  # on this machine each task shows its own
        answers = run_tasks(task, tasks, None if scheduler else 1, progress, scheduler)
        for path, (fault, probabilities, more) in zip(videos, answers, strict=True):
            if fault:
                faults.append(fault)
                continue
            best = list_best(probabilities, names, count)
            answer = {"input": str(path), "top": best} | more
            write_json(output / f"{path.stem}_classes.json", answer)
            each = [f"dancer {d['dancer']} {d['top'][0]['label']}" for d in more.get("dancers", ())]
            listed = ", ".join(f"{item['label']} {item['probability']:.3f}" for item in best)
            console.print(f"{path.name}: {listed}" + (f" ({', '.join(each)})" if each else ""))
            rows.append([str(path), *(value for item in best for value in item.values())])
    remove_leftovers(output)  # of a cluster's worker that was killed
    if len(videos) > 1 or table:
        columns = [f"{key}{k}" for k in range(1, count + 1) for key in ("label", "probability")]
        write_csv(output / "classes.csv", [["input", *columns], *rows])
    console.print(f"{len(rows)} of {len(videos)} videos: see {output}")
    return faults


def _try(name, open_predictor, output, draw, top, path):
    """(what is wrong with the video or None, probabilities, what else was found)."""
    predictor = open_predictor()
    try:
        return None, *name(predictor, path, output, draw, top)
    except UserError as error:
        return str(error), None, None


def _draw_running(windows: Iterable[Window], names, path):
    """Writes the video with the three best classes of the window that each frame lies in; returns
    the windows, without their frames."""
    seen = []

    def list_frames():
        for window in windows:
            seen.append(_forget_frames(window))
            best = np.argsort(-window.probabilities, kind="stable")[:3]
            shown = [names[k] for k in best], window.probabilities[best]
            for time, frame in window.frames:
                yield (frame, *shown), time, window.fps

    def draw(item):
        return draw_prediction(*item[0]), *item[1:]

    with VideoWriter(path) as video:
        for item in track(map_ahead(draw, list_frames()), None, f"naming {path.stem}", "frames"):
            video.write(*item)
    return seen


def _forget_frames(window):
    return window._replace(frames=iter(()))


def _write_timeline(output, path, dancers, spans, probabilities, names):
    """Writes what is danced when, by each dancer's windows, as a table and as a picture."""
    stem = output / f"{path.stem}_timeline"
    write_csv(f"{stem}.csv", timeline_rows(dancers, spans, probabilities, names))
    panels = [f"dancer {number}" if number != "all" else "" for number in dancers]
    draw_timeline(f"{stem}.png", panels, spans, probabilities, names)


def _draw_dancers(frames, fps, followed, dancers, names, output):
    """Writes the video with each dancer's number and dance of the moment."""
    places = [d.person for d in dancers]

    def draw(item):
        (time, frame), people = item
        labels = [
            f"{d.number} {names[d.at(time).argmax()]}" if (person[:, 2] > 0).any() else ""
            for d, person in zip(dancers, people, strict=True)
        ]
        return draw_names(frame, keypoint_boxes(people), labels), time

    clip = zip(frames, followed.people[:, places], strict=True)
    with VideoWriter(output) as video:
        for picture, time in map_ahead(draw, clip):
            video.write(picture, time, fps)
