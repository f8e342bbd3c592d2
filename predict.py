"""Finds people on images and videos: draws them, and writes OpenPose JSON for each frame.

python predict.py --checkpoint=runs/a --input=photo.jpg --output=out
python predict.py --checkpoint=runs/a --input=dance.mp4 --output=out --flip
python predict.py --checkpoint=runs/a --input=folder/of/images --output=out --coco_json

OUTPUT gets <name>.png for an image and <name>.webm (plays in a browser) for a video, and json/ with
<name>_keypoints.json for each frame.
"""

import pathlib

import cv2
from absl import flags
from ml_collections import ConfigDict
from rich.progress import track

from configs import openpose_base
from danceflax import api, cli
from danceflax.data.images import read_image
from danceflax.errors import UserError
from danceflax.models.openpose import STRIDE
from danceflax.normalisation import normalise
from danceflax.pose.decode import make_decoder
from danceflax.pose.evaluation import person_results
from danceflax.pose.inference import make_estimator
from danceflax.pose.openpose_json import write_people
from danceflax.pose.predictor import find_people
from danceflax.pose.render import draw_people
from danceflax.skeleton import Skeleton
from danceflax.training import parallel
from danceflax.training.report import console, write_json
from danceflax.video.files import VideoWriter, list_inputs, read_video

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a workdir, a step in it, or converted weights"
)
INPUT = flags.DEFINE_string("input", None, "an image, a video, or a folder of images and videos")
OUTPUT = flags.DEFINE_string("output", None, "folder to write to")
HEIGHT = flags.DEFINE_integer("height", None, "height images are scaled to, a multiple of 8")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "frames a step, over all devices")
FLIP = flags.DEFINE_bool("flip", False, "average with the mirrored image")
SCALES = flags.DEFINE_list("scales", ["1"], "average over these sizes")
THRESHOLD = flags.DEFINE_float("threshold", 0.05, "least confidence of a joint that is drawn")
JSON = flags.DEFINE_bool("json", True, "write OpenPose JSON for each frame")
COCO_JSON = flags.DEFINE_bool("coco_json", False, "write all people as COCO results as well")
DRAW = flags.DEFINE_bool("draw", True, "draw the people")
cli.require("checkpoint", "input", "output")


def main(_):
    inputs = list_inputs(INPUT.value)
    stems = [path.stem for path, _ in inputs]
    for path, _ in inputs:
        if stems.count(path.stem) > 1:
            raise UserError(f"{path}: another input is called {path.stem} too; rename one of them")
    run, skeleton, height = load_estimator()
    output = pathlib.Path(OUTPUT.value)
    (output / "json").mkdir(parents=True, exist_ok=True)
    results = []

    def finish(name, frame, people, scores):
        """Writes what was found on a frame; returns the drawn frame."""
        if JSON.value:
            write_people(output / "json" / f"{name}_keypoints.json", people)
        if COCO_JSON.value:
            results.extend(person_results(people, scores, name, skeleton))
        return draw_people(frame, people, skeleton, THRESHOLD.value) if DRAW.value else None

    images = [path for path, kind in inputs if kind == "image"]
    frames = ((path.stem, read_image(path)) for path in images)
    found = find_people(run, frames, height, BATCH_SIZE.value, STRIDE)
    for name, frame, people, scores in show_progress(found, len(images), "images"):
        drawn = finish(name, frame, people, scores)
        if drawn is not None:
            write_image(output / f"{name}.png", drawn)

    for path in (path for path, kind in inputs if kind == "video"):
        frames, fps, count = read_video(path)
        frames = ((f"{path.stem}_{i:012d}", frame) for i, frame in enumerate(frames))
        found = show_progress(
            find_people(run, frames, height, BATCH_SIZE.value, STRIDE), count, path.name
        )
        if not DRAW.value:
            for item in found:
                finish(*item)
            continue
        with VideoWriter(output / f"{path.stem}.webm", fps) as video:
            for item in found:
                video.write(finish(*item))
    if COCO_JSON.value:
        write_json(output / "coco_results.json", results)
    console.print(f"{len(images)} images, {len(inputs) - len(images)} videos: see {output}")


def load_estimator():
    """(images -> people and scores over the devices, skeleton, input height) of the checkpoint."""
    model, variables, checkpoint = api.load_checkpoint(CHECKPOINT.value)
    if "skeleton" not in checkpoint:
        raise UserError(f"{CHECKPOINT.value} holds {checkpoint['model']['name']}, no pose network")
    parallel.check_batch_size(BATCH_SIZE.value, where="batch_size")
    skeleton = Skeleton.from_dict(checkpoint["skeleton"])
    config = ConfigDict(checkpoint.get("training") or openpose_base.get_config())
    height = HEIGHT.value or config.eval.size[0]
    if height % STRIDE or height <= 0:
        raise UserError(f"--height={height} is not a multiple of {STRIDE}")

    def apply(variables, images):
        return model.apply(variables, normalise(images, checkpoint["normalisation"]))

    estimate = make_estimator(
        apply,
        skeleton,
        make_decoder(skeleton, stride=STRIDE, **config.decode),
        stride=STRIDE,
        flip=FLIP.value,
        scales=cli.parse_numbers("scales", SCALES.value),
    )
    mapped = parallel.map_inference(estimate)
    variables = parallel.replicate(variables)
    return lambda images: mapped(variables, images), skeleton, height


def show_progress(items, total, what):
    """Passes items on behind a progress bar, on a terminal."""
    return track(items, what, total=total, console=console, disable=not console.is_terminal)


def write_image(path, image):
    """Writes an RGB image as PNG."""
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())


if __name__ == "__main__":
    cli.run(main, __doc__)
