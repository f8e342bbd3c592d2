"""OpenPose's JSON, and the frames it is of, to a Let's Dance root.

OpenPose writes <name>_<frame>_keypoints.json (and <frame> counts from 0). Either the frames are
images <name>_<frame>.jpg, or they were just extracted from the video <name> (`prepare/frames.py`
leaves a note of how): then the keypoints of the frames that were kept are taken, and scaled to the
size they were shrunk to.
"""

import json
import pathlib
import re

from danceflax.data.keypoint_files import parse_keypoints
from danceflax.data.root import IMAGE_SUFFIXES
from danceflax.errors import BadSampleError, UserError
from danceflax.io.console import console, print_faults
from danceflax.io.files import write_bytes, write_text
from danceflax.io.images import read_image, write_image
from danceflax.prepare import frames as extraction

SUFFIX = "_keypoints.json"
FILE = re.compile(r"(.+)_(\d+)_keypoints\.json")


def run(
    json: str,
    root: str,
    frames: str = "",
    videos: str = "",
    dance: str = "",
    fps: float = 0.0,
    short_side: int = 0,
    quality: int = 95,
    workers: int | None = None,
) -> int:
    """Imports OpenPose JSON and the images or videos it is of into a root.

    python prepare_data.py import-openpose --root=data/mine --json=out --frames=images --dance=tango
    python prepare_data.py import-openpose --root=data/mine --json=out --videos=demo.mp4 \\
        --dance=ballet --fps=12.5 --short_side=360

    Files are called <name>_<frame>_keypoints.json; images <name>_<frame>.jpg or .png, or videos
    <name>.mp4. Of videos, the frames are extracted as by `frames`, and keypoints follow their size.

    Args:
      json: folder of the JSON files that OpenPose wrote.
      root: the data root to write into.
      frames: folder of the images.
      videos: a video, a folder of videos, or one with a folder for each dance.
      dance: the dance, where folders do not say.
      fps: frames a second to keep; 0 keeps all.
      short_side: pixels that larger frames shrink to; 0: none.
      quality: of the JPEGs, 1 to 100.
      workers: processes; by default one a core.
    """
    found = list_keypoints(json)
    if videos:
        tasks = extraction.plan_extraction(videos, root, dance, fps, short_side, quality)
        extraction.run(videos, root, dance, fps, short_side, quality, workers)
        results = [
            import_extracted(root, t.dance, t.clip, found.get(pathlib.Path(t.video).stem, {}))
            for t in tasks
        ]
    elif frames and dance:
        folder = pathlib.Path(frames)
        results = [
            import_frames(root, dance, extraction.name_clip(name, dance), numbered, folder)
            for name, numbered in found.items()
        ]
    else:
        raise UserError("give --videos, or --frames and --dance")
    count = sum(count for count, _ in results)
    console.print(f"{root}: {count:,} frames with keypoints, of {len(results)} clips")
    return print_faults(message for _, messages in results for message in messages)


def list_keypoints(folder):
    """{name: {frame number: file}} of a folder of OpenPose JSON.

    Raises:
      UserError: there is no such folder, or no such file in it.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of OpenPose JSON")
    found = {}
    for path in sorted(folder.iterdir()):
        if match := FILE.fullmatch(path.name):
            found.setdefault(match[1], {})[int(match[2])] = path
    if not found:
        raise UserError(f"{folder}: holds no <name>_<frame>{SUFFIX}, as OpenPose writes them")
    return found


def import_frames(root, dance, clip, keypoints, frames):
    """Imports a clip whose frames are images: both kinds of files are copied.

    Args:
      root, dance, clip: where to.
      keypoints: {frame number: keypoint file}.
      frames: the folder of the images <name>_<frame>.jpg, or .png, which becomes .jpg.

    Returns:
      (number of frames imported, list of messages about those that were not).
    """
    root, faults, count = pathlib.Path(root), [], 0
    for number, path in sorted(keypoints.items()):
        stem = path.name.removesuffix(SUFFIX)
        image = next((f for s in IMAGE_SUFFIXES if (f := frames / f"{stem}{s}").is_file()), None)
        try:
            if image is None:
                raise BadSampleError(f"{path}: there is no image {frames / stem}.jpg")
            pixels = read_image(image)
            text = scale_keypoints(path, (1.0, 1.0))
        except BadSampleError as error:
            faults.append(str(error))
            continue
        name = f"{dance}/{clip}_{number:04d}"
        frame = root / f"frames/{name}.jpg"
        write_text(root / f"keypoints/{name}.json", text)  # first: a frame is never without
        if image.suffix == ".png":
            write_image(frame, pixels)
        else:
            write_bytes(frame, image.read_bytes())
        count += 1
    return count, faults


def import_extracted(root, dance, clip, keypoints):
    """Imports the keypoints of a clip whose frames were extracted from a video.

    Args:
      root, dance, clip: where the frames are.
      keypoints: {frame number from 0: keypoint file} of the whole video.

    Returns:
      As `import_frames`.

    Raises:
      UserError: the clip was not extracted.
    """
    root, faults, count = pathlib.Path(root), [], 0
    note = root / "extracted" / dance / f"{clip}.json"
    if not note.is_file():
        raise UserError(f"{note}: the clip's frames are not there; extract them first")
    made = json.loads(note.read_text())
    factors = [new / old for new, old in zip(made["size"], made["video_size"], strict=True)]
    for k in range(made["frames"]):
        number = extraction.source_frame(k, made["video_fps"], made["fps"])
        try:
            if number not in keypoints:
                raise BadSampleError(f"{made['video']}: frame {number} has no keypoint file")
            text = scale_keypoints(keypoints[number], factors)
        except BadSampleError as error:
            faults.append(str(error))
            continue
        write_text(root / f"keypoints/{dance}/{clip}_{k + 1:04d}.json", text)
        count += 1
    return count, faults


def scale_keypoints(path, factors):
    """The text of an OpenPose file, with (x, y) of a picture that grew by the two factors.

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
    if tuple(factors) == (1.0, 1.0):
        return text
    for entry in entries:
        for key in ("pose_keypoints_2d", "pose_keypoints"):
            values = entry.get(key, ())
            for i in range(0, len(values), 3):
                if values[i + 2] > 0:  # pixel centres are at integers
                    for axis in (0, 1):
                        scaled = (values[i + axis] + 0.5) * factors[axis] - 0.5
                        values[i + axis] = round(scaled, 3)
    return json.dumps(data)
