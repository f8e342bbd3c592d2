"""The people of image and video files, written: OpenPose JSON, COCO results, tables, drawings."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from danceflax.errors import UserError
from danceflax.io.console import console, print_faults, track
from danceflax.io.files import require_free, write_json
from danceflax.io.images import read_image, write_image
from danceflax.io.videos import VideoWriter, read_video
from danceflax.pose.draw import draw_people
from danceflax.pose.follow import follow_people
from danceflax.pose.metrics import person_results
from danceflax.pose.openpose_json import write_people
from danceflax.pose.predict import PosePredictor
from danceflax.pose.table import check_format, tabulate_people, write_table


class PeopleFiles:
    """Finds the people of images and videos and writes them to a folder.

    Args:
      predictor: that finds them.
      output: the folder.
      draw: write <name>.png of an image, <name>.mp4 of a video.
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
        predictor: PosePredictor,
        output: pathlib.Path,
        *,
        draw: bool = True,
        threshold: float = 0.05,
        json: bool = True,
        coco_ids: Mapping[str, Any] | None = None,
        join: float | None = None,
        smooth: str | None = None,
        tables: Sequence[str] = (),
        angles: bool = False,
    ):
        self.predictor, self.output, self.skeleton = predictor, output, predictor.skeleton
        self.draw, self.threshold, self.json, self.join = draw, threshold, json, join
        self.smooth, self.angles = smooth, angles
        self.tables, self.coco_ids = [check_format(kind) for kind in tables], coco_ids
        self.results, self.faults = [], []

    def write(self, inputs: Sequence[tuple[pathlib.Path, str]], overwrite: bool) -> list[str]:
        """Messages about files that cannot be read.

        Args:
          inputs: (path, "image" or "video") each.
          overwrite: replace files that are there.

        Raises:
          UserError: a file is there already.
        """
        images = [path for path, kind in inputs if kind == "image"]
        videos = [path for path, kind in inputs if kind == "video"]
        require_free(self._list_outputs(images, videos), overwrite)
        if images:
            (self._join_images if self.join else self._write_images)(images)
        for path in videos:
            try:
                self._write_video(path)
            except UserError as error:
                self.faults.append(str(error))
        if self.coco_ids is not None:
            write_json(self.output / "coco_results.json", self.results)
        done = len(inputs) - len(self.faults)
        console.print(f"{done} of {len(inputs)} images and videos: see {self.output}")
        return self.faults

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

    def _keep(self, name, people, scores, person_ids=None):
        """Writes the people found on a frame."""
        if self.json:
            write_people(self._json_file(name), people, person_ids)
        if self.coco_ids is not None:
            image_id = self.coco_ids.get(name, name)
            self.results += person_results(people, scores, image_id, self.skeleton)

    def _read_images(self, images):
        for path in images:
            try:
                yield path.stem, read_image(path)
            except UserError as error:
                self.faults.append(str(error))

    def _write_images(self, images):
        found = self.predictor.stream(self._read_images(images))
        for name, frame, *item in track(found, len(images), "finding people", "images"):
            self._keep(name, *item)
            if self.draw:
                drawn = draw_people(frame, item[0], self.skeleton, self.threshold)
                write_image(self.output / f"{name}.png", drawn)

    def _join_images(self, images):
        names = []

        def read():
            for i, (name, frame) in enumerate(self._read_images(images)):
                names.append(name)
                yield i / self.join, frame

        self._follow("images", read(), read(), names, len(images), self.join)
        self.faults = list(dict.fromkeys(self.faults))  # they were read twice

    def _write_video(self, path):
        opened = read_video(path)
        names = (f"{path.stem}_{i:012d}" for i in itertools.count())
        self._follow(path.stem, opened, read_video(path), names, opened.count, opened.fps)
        if opened.lost:
            print_faults([opened.describe_loss()], "lost")

    def _follow(self, stem, frames, again, names, count, fps):
        """Writes and draws the people of a clip; `again` are its frames, read a second time."""
        frames = track(frames, count, f"finding people in {stem}", "frames")
        times, *found = follow_people(self.predictor, frames, self.smooth, where=stem)
        for name, people, numbers, scores in zip(names, *found, strict=False):
            self._keep(name, people, scores, numbers)
        if self.tables:
            table = tabulate_people(*found[:2], times, self.skeleton, self.angles)
            for kind in self.tables:
                write_table(self.output / f"{stem}.{kind}", table)
        if self.draw:
            again = track(again, len(times), f"drawing {stem}", "frames")
            with VideoWriter(self.output / f"{stem}.mp4") as video:
                for (time, frame), people, numbers in zip(again, *found[:2], strict=True):
                    drawn = draw_people(frame, people, self.skeleton, self.threshold, ids=numbers)
                    video.write(drawn, time, fps)
