"""Finds people on images and videos, or names the dance of videos, by the checkpoint's network.

python predict.py --checkpoint=runs/a --input=photo.jpg --output=out
python predict.py --checkpoint=runs/a --input=dance.mp4 --output=out --flip
python predict.py --checkpoint=runs/a --input=folder/of/images --output=out --coco_json
python predict.py --checkpoint=runs/a --input='frames/tango/abc_*.jpg' --output=out --join=25
python predict.py --checkpoint=checkpoints/i3d_rgb --input=dance.mp4 --output=out     # a classifier

A pose network draws people: OUTPUT gets <name>.png for an image and <name>.webm (plays in a
browser) for a video, and json/ with <name>_keypoints.json, as OpenPose writes it, for each frame.
A classifier names dances: OUTPUT gets <name>_classes.json and <name>.webm, with the running
prediction drawn, for a video; and classes.csv for a folder of videos.
"""

import pathlib
from contextlib import nullcontext

from absl import flags

from danceflax import cli
from danceflax.errors import UserError
from danceflax.io.console import console, track
from danceflax.io.files import write_csv, write_json

FLAGS = flags.FLAGS
flags.DEFINE_string("checkpoint", None, "a workdir, a step in it, or converted weights")
flags.DEFINE_string("input", None, "an image, a video, a folder of them, or a pattern")
flags.DEFINE_string("output", None, "folder to write to")
flags.DEFINE_bool("draw", True, "draw what is found")
POSE = cli.group_flags(
    "pose networks",
    flags.DEFINE_integer("height", None, "height images are scaled to, a multiple of 8"),
    flags.DEFINE_integer("batch_size", 8, "frames a step, over all devices", lower_bound=1),
    flags.DEFINE_bool("flip", False, "average with the mirrored image"),
    flags.DEFINE_list("scales", ["1"], "average over these sizes"),
    flags.DEFINE_float("threshold", 0.05, "least confidence of a joint that is drawn"),
    flags.DEFINE_bool("json", True, "write OpenPose JSON for each frame"),
    flags.DEFINE_bool("coco_json", False, "write all people as COCO results as well"),
    flags.DEFINE_float("join", None, "draw all images as one video, so many a second"),
)
DANCE = cli.group_flags(
    "classifiers",
    flags.DEFINE_string("keypoints", None, "folder of the videos' OpenPose JSON, if it is needed"),
    flags.DEFINE_integer("top", 5, "how many classes to list", lower_bound=1),
)
cli.require("checkpoint", "input", "output")


def main(_):
    from danceflax.io.videos import list_inputs
    from danceflax.training.pretrained import load_checkpoint  # with it JAX

    inputs = list_inputs(FLAGS.input)
    stems = [path.stem for path, _ in inputs]
    for path, _ in inputs:
        if stems.count(path.stem) > 1:
            raise UserError(f"{path}: another input is called {path.stem} too; rename one of them")
    loaded = load_checkpoint(FLAGS.checkpoint)
    is_classifier = "class_names" in loaded[2]
    cli.refuse_flags(POSE if is_classifier else DANCE, FLAGS.checkpoint)
    predict = name_dances if is_classifier else find_poses
    predict(loaded, inputs, pathlib.Path(FLAGS.output))


def name_dances(loaded, inputs, output):
    """Writes <name>_classes.json and <name>.webm of each video, and classes.csv of a folder."""
    import numpy as np

    from danceflax.dance.predict import DancePredictor

    videos = [path for path, kind in inputs if kind == "video"]
    if not videos:
        raise UserError(f"{FLAGS.input}: a classifier takes videos, and there is none")
    predictor = DancePredictor(*loaded, keypoints=FLAGS.keypoints)
    names, rows = predictor.class_names, []
    count = min(FLAGS.top, len(names))
    for path in videos:
        windows = predictor.stream(path, frames=FLAGS.draw)
        mean = np.mean(draw_running(windows, names, output / f"{path.stem}.webm"), 0)
        top = [
            {"label": names[k], "probability": round(float(mean[k]), 6)}
            for k in np.argsort(-mean, kind="stable")[:count]
        ]
        write_json(output / f"{path.stem}_classes.json", {"input": str(path), "top": top})
        listed = ", ".join(f"{item['label']} {item['probability']:.3f}" for item in top)
        console.print(f"{path.name}: {listed}")
        rows.append([str(path), *(value for item in top for value in item.values())])
    if len(videos) > 1 or pathlib.Path(FLAGS.input).is_dir():
        columns = [f"{key}{k}" for k in range(1, count + 1) for key in ("label", "probability")]
        write_csv(output / "classes.csv", [["input", *columns], *rows])
    console.print(f"{len(videos)} videos: see {output}")


def draw_running(windows, names, path):
    """Writes the video with the three best classes of the window that each frame lies in; returns
    the probabilities of all windows."""
    import numpy as np

    from danceflax.dance.draw import draw_prediction
    from danceflax.io.videos import VideoWriter

    if not FLAGS.draw:
        return [window.probabilities for window in windows]
    path.parent.mkdir(parents=True, exist_ok=True)
    found = []
    with VideoWriter(path, None) as video:
        for window in track(windows, None, path.stem, "windows"):
            video.fps = window.fps
            best = np.argsort(-window.probabilities, kind="stable")[:3]
            for frame in window.frames:
                labels = [names[k] for k in best]
                video.write(draw_prediction(frame, labels, window.probabilities[best]))
            found.append(window.probabilities)
    return found


def find_poses(loaded, inputs, output):
    """Draws the people of each image and video and writes their keypoints."""
    from danceflax.io.images import read_image, write_image
    from danceflax.io.videos import VideoWriter, read_video
    from danceflax.pose.draw import draw_people
    from danceflax.pose.metrics import person_results
    from danceflax.pose.openpose_json import write_people
    from danceflax.pose.predict import PosePredictor

    predictor = PosePredictor(
        *loaded,
        height=FLAGS.height,
        batch_size=FLAGS.batch_size,
        flip=FLAGS.flip,
        scales=cli.parse_numbers("scales", FLAGS.scales),
    )
    skeleton = predictor.skeleton
    (output / "json").mkdir(parents=True, exist_ok=True)
    results = []

    def finish(name, frame, people, scores):
        """Writes what was found on a frame; returns the drawn frame."""
        if FLAGS.json:
            write_people(output / "json" / f"{name}_keypoints.json", people)
        if FLAGS.coco_json:
            results.extend(person_results(people, scores, name, skeleton))
        return draw_people(frame, people, skeleton, FLAGS.threshold) if FLAGS.draw else None

    images = [path for path, kind in inputs if kind == "image"]
    found = predictor.stream((path.stem, read_image(path)) for path in images)
    with VideoWriter(output / "images.webm", FLAGS.join) if FLAGS.join else nullcontext() as video:
        for name, frame, people, scores in track(found, len(images), "finding people", "images"):
            drawn = finish(name, frame, people, scores)
            if drawn is not None and video:
                video.write(drawn)
            elif drawn is not None:
                write_image(output / f"{name}.png", drawn)

    for path in (path for path, kind in inputs if kind == "video"):
        frames, fps, count = read_video(path)
        frames = ((f"{path.stem}_{i:012d}", frame) for i, frame in enumerate(frames))
        found = track(predictor.stream(frames), count, path.name, "frames")
        drawing = VideoWriter(output / f"{path.stem}.webm", fps) if FLAGS.draw else nullcontext()
        with drawing as video:
            for item in found:
                drawn = finish(*item)
                if video:
                    video.write(drawn)
    if FLAGS.coco_json:
        write_json(output / "coco_results.json", results)
    console.print(f"{len(images)} images, {len(inputs) - len(images)} videos: see {output}")


if __name__ == "__main__":
    cli.run(main, __doc__)
