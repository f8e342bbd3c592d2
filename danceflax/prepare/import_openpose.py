"""OpenPose's JSON, and the frames it is of, to a Let's Dance root.

OpenPose writes <name>_<frame>_keypoints.json (and <frame> counts from 0), or <name>_keypoints.json
of a photograph. Either the frames are images <name>_<frame>.jpg, or they were just extracted from
the video <name> (`prepare/frames.py` leaves a note of how): then the keypoints of the frames that
were kept are taken, and scaled to the size they were shrunk to.

People who have no number in these files are followed and get one. What is in the root stays as it
is: only files that are not there are written.
"""

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from danceflax.data.clip_table import ClipNote, add_clips
from danceflax.data.keypoint_files import parse_keypoints, read_numbered
from danceflax.errors import BadSampleError, UserError
from danceflax.io.console import console, print_faults, summarise
from danceflax.io.files import remove_leftovers, write_bytes
from danceflax.io.images import decode_image, find_image, read_bytes
from danceflax.io.listing import count_key, list_folder
from danceflax.io.videos import DEFAULT_FPS
from danceflax.people import UNKNOWN
from danceflax.pose.track import link_people
from danceflax.prepare.frames import extract
from danceflax.prepare.video_tasks import NOTES, name_clip, note_of, plan_extraction
from danceflax.skeleton import SKELETONS

SUFFIX = "_keypoints.json"
FILE = re.compile(r"(.+?)(?:_(\d+))?_keypoints\.json")
PHOTO = 1  # the frame's number of a photograph, whose file has none


def run(
    json: str,
    root: str,
    frames: str = "",
    videos: str = "",
    dance: str = "",
    fps: float = 0.0,
    cut: float = 0.0,
    short_side: int = 0,
    quality: int = 95,
    workers: int | None = None,
    scheduler: str = "",
) -> int:
    """Imports OpenPose JSON and the images or videos it is of into a root.

    python prepare_data.py import-openpose --root=data/mine --json=out --frames=images --dance=tango
    python prepare_data.py import-openpose --root=data/mine --json=out --videos=demo.mp4 \\
        --dance=ballet --fps=12.5 --short_side=360

    Files are called <name>_<frame>_keypoints.json; images <name>_<frame>.jpg, or of another kind,
    or videos <name>.mp4. Of videos, the frames are extracted as by `frames`, and keypoints follow
    their size. Files that are in the root already stay as they are.

    Args:
      json: folder of the JSON files that OpenPose wrote.
      root: the data root to write into.
      frames: folder of the images.
      videos: a video, a folder of videos, or one with a folder for each dance.
      dance: the dance, where folders do not say.
      fps: of videos: frames a second to keep; 0 keeps all. Of images: how many make a second.
      cut: seconds that videos are cut into clips of; 0 makes one clip of each.
      short_side: pixels that larger frames shrink to; 0: none.
      quality: of the JPEGs, 1 to 100.
      workers: processes that extract frames; by default one a core.
      scheduler: address of a Dask cluster to extract them instead, see data/README.md.
    """
    found, others = list_keypoints(json)
    for name in ("frames", "keypoints"):
        remove_leftovers(pathlib.Path(root, name), deep=True)
    faults = []
    if videos:
        options = (dance, fps, short_side, quality, cut)
        tasks, passed = plan_extraction(videos, root, *options)
        faults = extract(tasks, root, workers, scheduler)
        results = [
            import_extracted(root, task.dance, task.name, found.get(task.name, {}))
            for task in tasks
            if note_of(task).exists()
        ]
        known = {task.name for task in tasks}
        unused = [found[name].values() for name in found if name not in known]
        others += passed + [str(path) for paths in unused for path in paths]
    elif frames and dance:
        folder = pathlib.Path(frames).expanduser()
        clips = {name: name_clip(name) for name in found}
        results = [
            import_frames(root, dance, clip, found[name], folder, fps or DEFAULT_FPS)
            for name, clip in clips.items()
        ]
        if fps:
            add_clips(root, {f"{dance}/{clip}": ClipNote(fps=fps) for clip in clips.values()})
    else:
        raise UserError("give --videos, or --frames and --dance")
    count = sum(count for count, _ in results)
    console.print(f"{root}: {count:,} frames with keypoints")
    print_faults(summarise(others), "passed over")
    return print_faults([*faults, *(message for _, messages in results for message in messages)])


def list_keypoints(
    folder: str | os.PathLike,
) -> tuple[dict[str, dict[int, pathlib.Path]], list[str]]:
    """({name: {frame number: file}} of a folder of OpenPose JSON, names of its other files).

    Raises:
      UserError: there is no such folder, or no such file in it.
    """
    folder = pathlib.Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of OpenPose JSON")
    found, others = {}, []
    for name in sorted(list_folder(folder), key=count_key):
        if match := FILE.fullmatch(name):
            found.setdefault(match[1], {})[int(match[2] or PHOTO)] = folder / name
        else:
            others.append(str(folder / name))
    if not found:
        raise UserError(f"{folder}: holds no <name>_<frame>{SUFFIX}, as OpenPose writes them")
    return found, others


def import_frames(
    root: str | os.PathLike,
    dance: str,
    clip: str,
    keypoints: Mapping[int, pathlib.Path],
    frames: pathlib.Path,
    fps: float = DEFAULT_FPS,
) -> tuple[int, list[str]]:
    """Imports a clip whose frames are images: both kinds of files are copied.

    Args:
      root, dance, clip: where to.
      keypoints: {frame number: keypoint file}.
      frames: the folder of the images <name>_<frame>.jpg, or of another kind.
      fps: how many frames make a second.

    Returns:
      How many frames were imported, and messages about those that were not.
    """
    root, faults, count = pathlib.Path(root), [], 0
    ids = number_people(keypoints, fps)
    for number, path in sorted(keypoints.items()):
        stem = path.name.removesuffix(SUFFIX)
        image = pathlib.Path(find_image(frames / f"{stem}.jpg"))
        name = f"{dance}/{clip}_{number:04d}"
        try:
            if not image.exists():
                raise BadSampleError(f"{path}: there is no image {image}")
            data = read_bytes(image, image)
            decode_image(data, image)
            text = scale_keypoints(path, (1.0, 1.0), ids.get(number))
            _add(root / f"keypoints/{name}.json", text.encode())  # first: a frame never lacks them
            _add(root / f"frames/{name}{image.suffix.lower()}", data)
        except BadSampleError as error:
            faults.append(str(error))
        else:
            count += 1
    return count, faults


def import_extracted(
    root: str | os.PathLike, dance: str, name: str, keypoints: Mapping[int, pathlib.Path]
) -> tuple[int, list[str]]:
    """Imports the keypoints of the clips whose frames were extracted from a video.

    Args:
      root, dance: where the frames are.
      name: of the video.
      keypoints: {frame number from 0: keypoint file} of the whole video.

    Returns:
      As `import_frames`.

    Raises:
      UserError: the clips were not extracted.
    """
    root, faults, count = pathlib.Path(root), [], 0
    note = root / NOTES / dance / f"{name}.json"
    if not note.is_file():
        raise UserError(f"{note}: the video's frames are not there; extract them first")
    made = json.loads(note.read_text())
    ids = number_people(keypoints, video_rate(made))
    factors = [new / old for new, old in zip(made["size"], made["video_size"], strict=True)]
    for clip, entry in made["clips"].items():
        for number, position in zip(entry["numbers"], entry["positions"], strict=True):
            try:
                if position not in keypoints:
                    raise BadSampleError(f"{made['video']}: frame {position} has no keypoint file")
                text = scale_keypoints(keypoints[position], factors, ids.get(position))
                _add(root / f"keypoints/{dance}/{clip}_{number:04d}.json", text.encode())
            except BadSampleError as error:
                faults.append(str(error))
            else:
                count += 1
    return count, faults


def video_rate(made: Mapping[str, Any]) -> float:
    """How many of a video's frames make a second, by which of them were kept."""
    first = next(iter(made["clips"].values()), {"positions": [0], "numbers": [0]})
    kept, numbers = (np.ptp(first[key]) for key in ("positions", "numbers"))
    return made["rate"] * (kept / numbers if numbers else 1.0)


def number_people(
    keypoints: Mapping[int, pathlib.Path], fps: float
) -> dict[int, Int[np.ndarray, " _"]]:
    """{frame number: numbers of its people} of a video's people, followed from frame to frame.

    Empty where the files have numbers already, or there is nothing to follow: one frame, or bodies
    of two kinds. Files that cannot be read are left out.

    Args:
      keypoints: {frame number: keypoint file}.
      fps: how many frames make a second.
    """
    found = {}
    for number, path in sorted(keypoints.items()):
        with contextlib.suppress(BadSampleError):  # it is named when it is imported
            found[number] = read_numbered(path)
    bodies = {joints for people, joints, _ in found.values() if len(people)}
    known = any((ids != UNKNOWN).any() for _, _, ids in found.values())
    if known or len(found) < 2 or len(bodies) != 1:
        return {}
    (joints,) = bodies
    skeleton = next(body for body in SKELETONS.values() if body.joints == joints)
    frames = [people.reshape(-1, len(joints), 3) for people, _, _ in found.values()]
    ids = link_people(frames, [number / fps for number in found], skeleton)
    return dict(zip(found, ids, strict=True))


def _add(path, data):
    """Writes a file that is not there. Raises BadSampleError: another of that name is."""
    if not path.exists():
        write_bytes(path, data)
    elif path.read_bytes() != data:
        raise BadSampleError(f"{path}: is there already and holds something else; left as it is")


def scale_keypoints(
    path: pathlib.Path, factors: Sequence[float], ids: Int[np.ndarray, " P"] | None = None
) -> str:
    """The text of an OpenPose file, with (x, y) of a picture that grew by the two factors and the
    numbers of its people, if given.

    Joints not found stay 0, 0, 0; everything else stays as it is.

    Raises:
      BadSampleError: the file is not what OpenPose writes of BODY_25 or COCO.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        data = json.loads(text)
        entries = data["people"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadSampleError(f"{path}: not OpenPose JSON ({error!r})") from None
    parse_keypoints(text, path)
    numbered = ids is not None and (ids != UNKNOWN).any()
    if tuple(factors) == (1.0, 1.0) and not numbered:
        return text
    for n, entry in enumerate(entries):
        if numbered:
            entry["person_id"] = [int(ids[n])]
        if tuple(factors) == (1.0, 1.0):
            continue
        for key in ("pose_keypoints_2d", "pose_keypoints"):
            values = entry.get(key, ())
            for i in range(0, len(values), 3):
                if values[i + 2] > 0:  # pixel centres are at integers
                    for axis in (0, 1):
                        scaled = (values[i + axis] + 0.5) * factors[axis] - 0.5
                        values[i + axis] = round(scaled, 3)
    return json.dumps(data)
