"""The people of image and video files, written: OpenPose JSON, COCO results, tables, drawings."""

import contextlib
import functools
import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from danceflax.errors import UserError
from danceflax.io.console import console, print_faults, show_progress, track
from danceflax.io.files import remove_leftovers, require_free, write_json
from danceflax.io.images import read_images, write_image
from danceflax.io.pipeline import map_ahead, run_ahead
from danceflax.io.videos import VideoWriter, read_video
from danceflax.io.workers import run_tasks
from danceflax.people import keypoint_boxes
from danceflax.pose.draw import draw_people
from danceflax.pose.follow import follow_people
from danceflax.pose.labels import draw_names
from danceflax.pose.metrics import person_results
from danceflax.pose.openpose_json import write_people
from danceflax.pose.predict import PosePredictor
from danceflax.pose.table import check_format, tabulate_people, write_table

IMAGES = 256  # that one task of a cluster takes


class Found(NamedTuple):
    """What a task brings back: COCO results, and messages about files that cannot be read and
    about what was lost of a video."""

    results: list[dict[str, Any]]
    faults: list[str]
    lost: list[str]


class PeopleFiles:
    """Finds the people of images and videos and writes them to a folder.

    Args:
      open_predictor: gives the `PosePredictor` that finds them; for a cluster, of module level, or
        a partial of such, and quick when it is called again.
      output: the folder.
      draw: write <name>.png of an image, <name>.mp4 of a video.
      label: write people's numbers beside them: person_id, in an image their place in the file.
      threshold: least confidence of a joint that is drawn.
      json: write json/<name>_keypoints.json of each frame, as OpenPose does.
      coco_ids: {image's name: its id}; write coco_results.json as well. None: do not.
      join: all images are frames of one video, so many a second; None: each is by itself.
      smooth: how the people of videos are smoothed, see `follow_people`.
      tables: formats of tables of all keypoints of a video.
      angles: whether tables hold angles of joints.

    Raises:
      UserError: a format of tables is not known, or its package is missing.
    """

    def __init__(
        self,
        open_predictor: Callable[[], PosePredictor],
        output: pathlib.Path,
        *,
        draw: bool = True,
        label: bool = False,
        threshold: float = 0.05,
        json: bool = True,
        coco_ids: Mapping[str, Any] | None = None,
        join: float | None = None,
        smooth: str | None = None,
        tables: Sequence[str] = (),
        angles: bool = False,
    ):
        self.open_predictor, self.output = open_predictor, output.absolute()
        self.draw, self.label, self.threshold = draw, label, threshold
        self.json, self.join = json, join
        self.smooth, self.angles = smooth, angles
        self.tables, self.coco_ids = [check_format(kind) for kind in tables], coco_ids

    def write(
        self, inputs: Sequence[tuple[pathlib.Path, str]], overwrite: bool, scheduler: str = ""
    ) -> list[str]:
        """Messages about files that cannot be read.

        Args:
          inputs: (path, "image" or "video") each.
          overwrite: replace files that are there.
          scheduler: address of a Dask cluster that does the work; a task is a video, or some
            images.

        Raises:
          UserError: a file is there already, the predictor cannot be opened, or the cluster fails.
        """
        images = [path.absolute() for path, kind in inputs if kind == "image"]
        videos = [path.absolute() for path, kind in inputs if kind == "video"]
        require_free(self._list_outputs(images, videos), overwrite)
        remove_leftovers(self.output, deep=True)
        size = IMAGES if scheduler and not self.join else len(images)
        tasks = [images[i : i + size] for i in range(0, len(images), size or 1)] + videos
        shown = show_progress("finding people", "tasks") if scheduler else contextlib.nullcontext()
        results, faults = [], []
        with shown as progress:  # on this machine each task shows its own
            workers = None if scheduler else 1
            for found in run_tasks(self._do, tasks, workers, progress, scheduler):
                results += found.results
                faults += found.faults
                print_faults(found.lost, "lost")
        remove_leftovers(self.output, deep=True)  # of a cluster's worker that was killed
        if self.coco_ids is not None:
            write_json(self.output / "coco_results.json", results)
        done = len(inputs) - len(faults)
        console.print(f"{done} of {len(inputs)} images and videos: see {self.output}")
        return faults

    def _do(self, task):
        """The `Found` of a list of images, or of a video."""
        predictor, found = self.open_predictor(), Found([], [], [])
        if isinstance(task, list):
            (self._join_images if self.join else self._write_images)(predictor, task, found)
            return found._replace(faults=list(dict.fromkeys(found.faults)))  # joined: read twice
        try:
            self._write_video(predictor, task, found)
        except UserError as error:
            found.faults.append(str(error))
        return found

    def _list_outputs(self, images, videos):
        stems = [path.stem for path in videos] + ["images"] * bool(self.join and images)
        yield from [self.output / "coco_results.json"] * (self.coco_ids is not None)
        yield from (self.output / f"{stem}.{kind}" for stem in stems for kind in self.tables)
        if self.draw:
            yield from (self.output / f"{stem}.mp4" for stem in stems)
            yield from (self.output / f"{path.stem}.png" for path in images if not self.join)
        first = [path.stem for path in images] + [f"{path.stem}_{0:012d}" for path in videos]
        yield from (self._json_file(name) for name in first if self.json)

    def _json_file(self, name):
        return self.output / "json" / f"{name}_keypoints.json"

    def _keep(self, found, skeleton, name, people, scores, person_ids=None):
        """Writes the people of a frame."""
        if self.json:
            write_people(self._json_file(name), people, person_ids)
        if self.coco_ids is not None:
            image_id = self.coco_ids.get(name, name)
            found.results.extend(person_results(people, scores, image_id, skeleton))

    def _write_images(self, predictor, images, found):
        """Writes and draws the people of images that are each by itself."""

        def write(item):
            path, frame, people, scores = item
            if self.draw:
                drawn = self._draw(predictor.skeleton, frame, people)
                write_image(self.output / f"{path.stem}.png", drawn)
            return path.stem, people, scores

        stream = map_ahead(write, predictor.stream(read_images(images, found.faults)))
        for item in track(stream, len(images), "finding people", "images"):
            self._keep(found, predictor.skeleton, *item)

    def _join_images(self, predictor, images, found):
        names = []

        def read():
            for i, (path, frame) in enumerate(read_images(images, found.faults)):
                names.append(path.stem)
                yield i / self.join, frame

        clip = "images", read(), read(), names, len(images), self.join
        self._follow(predictor, found, *clip)

    def _write_video(self, predictor, path, found):
        opened = read_video(path)
        names = (f"{path.stem}_{i:012d}" for i in itertools.count())
        clip = path.stem, opened, read_video(path), names, opened.count, opened.fps
        self._follow(predictor, found, *clip)
        if opened.lost:
            found.lost.append(opened.describe_loss())

    def _follow(self, predictor, found, stem, frames, again, names, count, fps):
        """Writes and draws the people of a clip; `again` are its frames, read a second time."""
        show = functools.partial(
            track, total=count, what=f"finding people in {stem}", unit="frames"
        )
        times, *clip = follow_people(predictor, frames, self.smooth, where=stem, show=show)
        for name, people, numbers, scores in zip(names, *clip, strict=False):
            self._keep(found, predictor.skeleton, name, people, scores, numbers)
        if self.tables:
            table = tabulate_people(*clip[:2], times, predictor.skeleton, self.angles)
            for kind in self.tables:
                write_table(self.output / f"{stem}.{kind}", table)
        if self.draw:
            self._draw_video(predictor.skeleton, stem, again, clip[:2], fps)

    def _draw_video(self, skeleton, stem, frames, clip, fps):
        """Writes the video with the people of each frame and their numbers, `clip`."""

        def draw(item):
            (time, frame), people, numbers = item
            return self._draw(skeleton, frame, people, numbers), time

        drawn = map_ahead(draw, zip(run_ahead(frames), *clip, strict=True))
        with VideoWriter(self.output / f"{stem}.mp4") as video:
            for picture, time in track(drawn, len(clip[0]), f"drawing {stem}", "frames"):
                video.write(picture, time, fps)

    def _draw(self, skeleton, frame, people, numbers=None):
        drawn = draw_people(frame, people, skeleton, self.threshold, ids=numbers)
        if not self.label:
            return drawn
        numbers = range(len(people)) if numbers is None else numbers
        labels = [str(number) if number >= 0 else "" for number in numbers]
        return draw_names(drawn, keypoint_boxes(people), labels)
