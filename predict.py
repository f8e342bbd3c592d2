"""Finds people on images and videos, or names the dance of videos, by the checkpoint's network.

python predict.py --checkpoint=runs/a --input=photo.jpg --output=out
python predict.py --checkpoint=runs/a --input=dance.mp4 --output=out --flip
python predict.py --checkpoint=runs/a --input=folder/of/images --output=out --coco_json
python predict.py --checkpoint=runs/a --input='frames/tango/abc_*.jpg' --output=out --join=25
python predict.py --checkpoint=weights/i3d_rgb --input=dance.mp4 --output=out      # a classifier

A pose network draws people: OUTPUT gets <name>.png for an image and <name>.webm (plays in a
browser) for a video, and json/ with <name>_keypoints.json, as OpenPose writes it, for each frame.
A classifier names dances: OUTPUT gets <name>_classes.json and <name>.webm, with the running
prediction drawn, for a video; and classes.csv for a folder of videos.
"""

import csv
import os
import pathlib
from contextlib import nullcontext

import cv2
import numpy as np
from absl import flags
from rich.progress import track

from danceflax import api, cli
from danceflax.dance import classifiers
from danceflax.dance.predict import make_video_classifier
from danceflax.dance.windows import draw_prediction
from danceflax.errors import UserError
from danceflax.io.console import console
from danceflax.io.files import write_json
from danceflax.io.images import read_image
from danceflax.io.videos import VideoWriter, list_inputs, read_video
from danceflax.pose.draw import draw_people
from danceflax.pose.metrics import person_results
from danceflax.pose.openpose_json import write_people
from danceflax.pose.predict import PosePredictor

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a workdir, a step in it, or converted weights"
)
INPUT = flags.DEFINE_string("input", None, "an image, a video, a folder of them, or a pattern")
OUTPUT = flags.DEFINE_string("output", None, "folder to write to")
HEIGHT = flags.DEFINE_integer("height", None, "height images are scaled to, a multiple of 8")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "frames a step, over all devices")
FLIP = flags.DEFINE_bool("flip", False, "average with the mirrored image")
SCALES = flags.DEFINE_list("scales", ["1"], "average over these sizes")
THRESHOLD = flags.DEFINE_float("threshold", 0.05, "least confidence of a joint that is drawn")
JSON = flags.DEFINE_bool("json", True, "write OpenPose JSON for each frame")
COCO_JSON = flags.DEFINE_bool("coco_json", False, "write all people as COCO results as well")
JOIN = flags.DEFINE_float("join", None, "draw all images as one video, so many a second")
DRAW = flags.DEFINE_bool("draw", True, "draw the people")
KEYPOINTS = flags.DEFINE_string(
    "keypoints", None, "classifiers that read keypoints: folder of OpenPose JSON of the videos"
)
TOP = flags.DEFINE_integer("top", 5, "classifiers: how many classes to list")
cli.require("checkpoint", "input", "output")


def main(_):
    inputs = list_inputs(INPUT.value)
    stems = [path.stem for path, _ in inputs]
    for path, _ in inputs:
        if stems.count(path.stem) > 1:
            raise UserError(f"{path}: another input is called {path.stem} too; rename one of them")
    loaded = api.load_checkpoint(CHECKPOINT.value)
    output = pathlib.Path(OUTPUT.value)
    if "class_names" in loaded[2]:
        name_dances(loaded, inputs, output)
    else:
        find_poses(loaded, inputs, output)


def name_dances(loaded, inputs, output):
    """Writes <name>_classes.json and <name>.webm of each video, and classes.csv of a folder."""
    model, variables, checkpoint = loaded
    names, videos = checkpoint["class_names"], [path for path, kind in inputs if kind == "video"]
    if not videos:
        raise UserError(f"{INPUT.value}: a classifier takes videos, and there is none")
    classifier = classifiers.assemble(model, checkpoint)
    classify = make_video_classifier(classifier, variables, KEYPOINTS.value)
    rows, count = [], min(TOP.value, len(names))
    for path in videos:
        spans, probabilities = classify(path)
        mean = probabilities.mean(0)
        top = [
            {"label": names[k], "probability": round(float(mean[k]), 6)}
            for k in np.argsort(-mean, kind="stable")[:count]
        ]
        write_json(output / f"{path.stem}_classes.json", {"input": str(path), "top": top})
        listed = ", ".join(f"{item['label']} {item['probability']:.3f}" for item in top)
        console.print(f"{path.name}: {listed}")
        rows.append([str(path), *(value for item in top for value in item.values())])
        if DRAW.value:
            draw_running(path, spans, probabilities, names, output / f"{path.stem}.webm")
    if len(videos) > 1 or pathlib.Path(INPUT.value).is_dir():
        columns = [f"{key}{k}" for k in range(1, count + 1) for key in ("label", "probability")]
        partial = output / "classes.csv.partial"
        with open(partial, "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([["input", *columns], *rows])
        os.replace(partial, output / "classes.csv")
    console.print(f"{len(videos)} videos: see {output}")


def draw_running(path, spans, probabilities, names, output):
    """Writes the video with the three best classes of the window that each frame lies in."""
    frames, fps, count = read_video(path)
    ends = np.array([last for _, last in spans])
    with VideoWriter(output, fps) as video:
        for i, frame in show_progress(enumerate(frames), count, path.name):
            found = probabilities[min(np.searchsorted(ends, i), len(ends) - 1)]
            best = np.argsort(-found, kind="stable")[:3]
            video.write(draw_prediction(frame, [names[k] for k in best], found[best]))


def find_poses(loaded, inputs, output):
    """Draws the people of each image and video and writes their keypoints."""
    predictor = PosePredictor(
        *loaded,
        height=HEIGHT.value,
        batch_size=BATCH_SIZE.value,
        flip=FLIP.value,
        scales=cli.parse_numbers("scales", SCALES.value),
    )
    skeleton = predictor.skeleton
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
    found = predictor.stream(frames)
    with VideoWriter(output / "images.webm", JOIN.value) if JOIN.value else nullcontext() as video:
        for name, frame, people, scores in show_progress(found, len(images), "images"):
            drawn = finish(name, frame, people, scores)
            if drawn is not None and video:
                video.write(drawn)
            elif drawn is not None:
                write_image(output / f"{name}.png", drawn)

    for path in (path for path, kind in inputs if kind == "video"):
        frames, fps, count = read_video(path)
        frames = ((f"{path.stem}_{i:012d}", frame) for i, frame in enumerate(frames))
        found = show_progress(predictor.stream(frames), count, path.name)
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


def show_progress(items, total, what):
    """Passes items on behind a progress bar, on a terminal."""
    return track(items, what, total=total, console=console, disable=not console.is_terminal)


def write_image(path, image):
    """Writes an RGB image as PNG."""
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())


if __name__ == "__main__":
    cli.run(main, __doc__)
