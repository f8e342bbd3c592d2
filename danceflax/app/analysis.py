"""From an upload to files, as predict.py writes them: people, and the dance of a video."""

import functools
import json
import pathlib
import typing
import zipfile
from collections.abc import Sequence

import numpy as np

from danceflax.api import load_predictor
from danceflax.app.uploads import Limits, check_upload
from danceflax.dance import files as dance_files
from danceflax.dance.inputs import needed, reads_sequences
from danceflax.errors import UserError
from danceflax.io.console import track
from danceflax.io.files import write_whole
from danceflax.pose.files import PeopleFiles
from danceflax.pose.openpose_json import read_people
from danceflax.pose.table import tabulate_people, write_table
from danceflax.skeleton import Skeleton
from danceflax.training.checkpoints import find_model, read_config

# One network of each kind stays in memory, so that the next upload need not wait for it.
open_pose, open_dance = (functools.lru_cache(maxsize=1)(load_predictor) for _ in range(2))
NO_INPUTS = {"streams": (), "pose": None}  # of published classifiers, which read pictures


class Request(typing.NamedTuple):
    """What is to be done with an upload.

    Attributes:
      path: of the upload.
      pose, dance: checkpoints, or "".
      flip: average with the mirrored image.
      smooth: how people of videos are smoothed, one of `smooth.METHODS`, or "".
      batch_size: frames a step; None: one a device.
      limits: of what is taken.
    """

    path: pathlib.Path
    pose: str
    dance: str
    flip: bool
    smooth: str
    batch_size: int | None
    limits: Limits


class Findings(typing.NamedTuple):
    """What was found, as files.

    Attributes:
      kind: "image" or "video".
      people, table, skeleton: the picture or video with people drawn, the keypoints as CSV, and
        what they are of; None without a pose network.
      dance, timeline, answers: the video with dances drawn, a picture of what is danced when, and
        the answers as `dance.files` writes them; None without a classifier, and of an image.
      downloads: all files that a person may take away.
    """

    kind: str
    people: pathlib.Path | None = None
    table: pathlib.Path | None = None
    skeleton: Skeleton | None = None
    dance: pathlib.Path | None = None
    timeline: pathlib.Path | None = None
    answers: dict[str, typing.Any] | None = None
    downloads: tuple[pathlib.Path, ...] = ()


def analyse(request: Request, output: pathlib.Path) -> Findings:
    """Finds the people of an upload and names the dance of a video, and writes both to a folder.

    Raises:
      UserError: the upload or a network is not what is needed.
    """
    found = Findings(check_upload(request.path, request.limits))
    if found.kind == "image" and not request.pose:
        raise UserError(f"{request.path}: a dance is named in videos, and this is an image")
    if request.pose:
        found = find_people(request, found, output / "people")
    if request.dance and found.kind == "video":
        found = name_dance(request, found, output / "dance", output / "people" / "json")
    return found


def find_people(request: Request, found: Findings, output: pathlib.Path) -> Findings:
    """Adds the people. The JSON of a video, a file a frame, can be taken away as one archive."""
    path, is_video = request.path, found.kind == "video"
    options = dict(flip=request.flip, batch_size=request.batch_size)
    open_predictor = functools.partial(open_pose, request.pose, **options)
    skeleton = open_predictor().skeleton
    files = PeopleFiles(
        open_predictor, output, label=True, smooth=request.smooth or None, tables=["csv"]
    )
    if faults := files.write([(path, found.kind)], overwrite=False):
        raise UserError(faults[0])
    drawn = output / f"{path.stem}{'.mp4' if is_video else '.png'}"
    table = output / f"{path.stem}.csv"
    if is_video:
        keypoints = output / f"{path.stem}_json.zip"
        zip_files(sorted((output / "json").iterdir()), keypoints)
    else:
        keypoints = output / "json" / f"{path.stem}_keypoints.json"
        people, _ = read_people(keypoints)
        people = people.reshape(-1, skeleton.num_joints, 3)  # if nobody is there, too
        write_table(table, tabulate_people([people], [np.arange(len(people))], [0.0], skeleton))
    return found._replace(
        people=drawn, table=table, skeleton=skeleton, downloads=(drawn, keypoints, table)
    )


def name_dance(
    request: Request, found: Findings, output: pathlib.Path, keypoints: pathlib.Path
) -> Findings:
    """Adds the dance; `keypoints` is the folder of the JSON that `find_people` has written."""
    path, config = request.path, read_config(find_model(request.dance))
    open_predictor = functools.partial(open_dance, request.dance)
    if "people" in needed(config.get("inputs") or NO_INPUTS):
        if not request.pose:
            raise UserError(f"{request.dance}: reads keypoints; choose a pose network as well")
        open_predictor = functools.partial(load_predictor, request.dance, keypoints=keypoints)
    name = dance_files.name_dancers if reads_sequences(config) else dance_files.name_dances
    if faults := name(open_predictor, config["class_names"], [path], output):
        raise UserError(faults[0])
    dance = output / f"{path.stem}.mp4"
    dance = dance.rename(dance.with_stem(f"{path.stem}_dance"))  # people's drawing has that name
    endings = ("timeline.png", "classes.json", "timeline.csv")
    timeline, answers, table = (output / f"{path.stem}_{ending}" for ending in endings)
    return found._replace(
        dance=dance,
        timeline=timeline,
        answers=json.loads(answers.read_text()),
        downloads=(*found.downloads, dance, timeline, answers, table),
    )


def zip_files(files: Sequence[pathlib.Path], path: pathlib.Path) -> None:
    """Writes files into a ZIP archive, without their folders."""
    with (
        write_whole(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for file in track(files, len(files), "packing keypoints", "files"):
            archive.write(file, file.name)
