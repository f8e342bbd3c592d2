"""OpenPose's JSON, and the frames it is of, to a Let's Dance root.

OpenPose writes <name>_<frame>_keypoints.json (and <frame> counts from 0). Either the frames are
images <name>_<frame>.jpg, or they were just extracted from the video <name> (`video/extract.py`
leaves a note of how): then the keypoints of the frames that were kept are taken, and scaled to the
size they were shrunk to.
"""

import json
import pathlib
import re

from danceflax.data.keypoint_files import parse_keypoints
from danceflax.data.root import IMAGE_SUFFIXES
from danceflax.errors import BadSampleError, UserError
from danceflax.io.files import write_bytes, write_text
from danceflax.io.images import read_image, write_image

SUFFIX = "_keypoints.json"
FILE = re.compile(r"(.+)_(\d+)_keypoints\.json")


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


def import_extracted(root, dance, clip, keypoints, source_frame):
    """Imports the keypoints of a clip whose frames were extracted from a video.

    Args:
      root, dance, clip: where the frames are.
      keypoints: {frame number from 0: keypoint file} of the whole video.
      source_frame: (k, video's rate, kept rate) -> the video's frame that kept frame k is.

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
        number = source_frame(k, made["video_fps"], made["fps"])
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
