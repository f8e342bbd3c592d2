"""Finds people on images and videos, or names the dance of videos, by the checkpoint's network.

python predict.py --checkpoint=runs/a --input=photo.jpg --output=out
python predict.py --checkpoint=runs/a --input=dance.mp4 --output=out --flip
python predict.py --checkpoint=runs/a --input=folder/of/images --output=out --coco_json
python predict.py --checkpoint=runs/a --input='frames/tango/abc_*.jpg' --output=out --join=25
python predict.py --checkpoint=runs/a --input=dance.mp4 --output=out --smooth=one_euro --table=csv
python predict.py --checkpoint=checkpoints/i3d_rgb --input=dance.mp4 --output=out     # a classifier
python predict.py --checkpoint=runs/rhythm --pose_checkpoint=runs/a --input=dance.mp4 --output=out

A pose network draws people: OUTPUT gets <name>.png for an image and <name>.mp4 for a video, with
its times, and json/ with <name>_keypoints.json, as OpenPose writes it, for each frame. In a video
people are followed: a person keeps their colour and person_id (-1 is who appears for a moment).
A classifier names dances: OUTPUT gets <name>_classes.json and <name>.mp4, with the running
prediction drawn, for a video; and classes.csv for a folder of videos. One of keypoint sequences
follows the people that --pose_checkpoint finds (or that --keypoints holds), names each one's dance,
beside them in the video, and adds <name>_timeline.csv and .png.

No input is written over, nor a file that is there already, unless --overwrite is given. A file that
cannot be read does not end the others; the exit status is then 1.
"""

import itertools
import pathlib

from absl import flags

from danceflax import cli
from danceflax.errors import UserError
from danceflax.io.console import console, print_faults, show_progress, summarise, track
from danceflax.io.files import require_free, write_csv, write_json

FLAGS = flags.FLAGS
flags.DEFINE_string("checkpoint", None, "a workdir, a step in it, or converted weights")
flags.DEFINE_string("input", None, "an image, a video, a folder of them, or a pattern")
flags.DEFINE_string("output", None, "folder to write to, apart from the inputs")
flags.DEFINE_bool("overwrite", False, "replace what an earlier run wrote")
flags.DEFINE_bool("draw", True, "draw what is found")
POSE = cli.group_flags(
    "pose networks",
    flags.DEFINE_integer("height", None, "height images are scaled to, a multiple of 8"),
    flags.DEFINE_integer("batch_size", 8, "frames a step, over all devices", lower_bound=1),
    flags.DEFINE_bool("flip", False, "average with the mirrored image"),
    flags.DEFINE_list("scales", ["1"], "average over these sizes"),
    flags.DEFINE_list("rotations", ["0"], "look at the image turned so as well, e.g. 0,90,180,270"),
    flags.DEFINE_float("threshold", 0.05, "least confidence of a joint that is drawn"),
    flags.DEFINE_bool("json", True, "write OpenPose JSON for each frame"),
    flags.DEFINE_bool("coco_json", False, "write all people as COCO results as well"),
    flags.DEFINE_string("coco_images", None, "COCO file with the images' ids, if names are none"),
    flags.DEFINE_float("join", None, "all images are frames of one video, so many a second"),
    flags.DEFINE_enum(
        "smooth",
        None,
        ["fill", "one_euro", "savitzky_golay"],
        "of videos: fill short gaps of people, and smooth them (one_euro looks at the past only)",
    ),
    flags.DEFINE_list("table", [], "of videos: a table of all keypoints, as csv, parquet or both"),
    flags.DEFINE_bool("angles", False, "angles of joints, in degrees, in the tables"),
)
DANCE = cli.group_flags(
    "classifiers",
    flags.DEFINE_string("keypoints", None, "folder of the videos' OpenPose JSON, if it is needed"),
    flags.DEFINE_string("pose_checkpoint", None, "pose network of a classifier of sequences"),
    flags.DEFINE_integer("top", 5, "how many classes to list", lower_bound=1),
)
cli.require("checkpoint", "input", "output")


def main(_):
    from danceflax.dance.inputs import reads_sequences
    from danceflax.io.listing import list_inputs, require_apart
    from danceflax.training.pretrained import load_checkpoint  # with it JAX

    inputs, others = list_inputs(FLAGS.input)
    output = pathlib.Path(FLAGS.output).expanduser()
    require_apart(inputs, output)
    print_faults(summarise(others), "passed over")
    loaded = load_checkpoint(FLAGS.checkpoint)
    is_classifier = "class_names" in loaded[2]
    cli.refuse_flags(POSE if is_classifier else DANCE, FLAGS.checkpoint)
    predict = name_dances if is_classifier else find_poses
    predict = name_dancers if reads_sequences(loaded[2]) else predict
    return print_faults(predict(loaded, inputs, output), "failed")


def name_dances(loaded, inputs, output):
    """Writes <name>_classes.json and <name>.mp4 of each video, and classes.csv of a folder. Returns
    messages about videos that cannot be read."""
    import numpy as np

    from danceflax.dance.predict import DancePredictor

    videos = [path for path, kind in inputs if kind == "video"]
    if not videos:
        raise UserError(f"{FLAGS.input}: a classifier takes videos, and there is none")
    written = [output / f"{path.stem}_classes.json" for path in videos] + [output / "classes.csv"]
    written += [output / f"{path.stem}.mp4" for path in videos if FLAGS.draw]
    require_free(written, FLAGS.overwrite)
    predictor = DancePredictor(*loaded, keypoints=FLAGS.keypoints)
    names, rows, faults = predictor.class_names, [], []
    count = min(FLAGS.top, len(names))
    for path in videos:
        try:
            windows = predictor.stream(path, frames=FLAGS.draw)
            mean = np.mean(draw_running(windows, names, output / f"{path.stem}.mp4"), 0)
        except UserError as error:
            faults.append(str(error))
            continue
        top = list_best(mean, names, count)
        write_json(output / f"{path.stem}_classes.json", {"input": str(path), "top": top})
        listed = ", ".join(f"{item['label']} {item['probability']:.3f}" for item in top)
        console.print(f"{path.name}: {listed}")
        rows.append([str(path), *(value for item in top for value in item.values())])
    if len(videos) > 1 or pathlib.Path(FLAGS.input).is_dir():
        columns = [f"{key}{k}" for k in range(1, count + 1) for key in ("label", "probability")]
        write_csv(output / "classes.csv", [["input", *columns], *rows])
    console.print(f"{len(rows)} of {len(videos)} videos: see {output}")
    return faults


def list_best(probabilities, names, count):
    """[{"label", "probability"}] of the likeliest classes."""
    best = (-probabilities).argsort(kind="stable")[:count]
    return [{"label": names[k], "probability": round(float(probabilities[k]), 6)} for k in best]


def name_dancers(loaded, inputs, output):
    """Writes <name>_classes.json, <name>_timeline.csv and .png and <name>.mp4 of each video, by its
    keypoints, and classes.csv of a folder. Returns messages about videos that cannot be read."""
    from danceflax.dance.draw import draw_timeline
    from danceflax.dance.sequences import predict
    from danceflax.io.videos import read_video

    videos = [path for path, kind in inputs if kind == "video"]
    if not videos:
        raise UserError(f"{FLAGS.input}: a classifier takes videos, and there is none")
    endings = ["_classes.json", "_timeline.csv", "_timeline.png"] + [".mp4"] * FLAGS.draw
    written = [output / f"{path.stem}{ending}" for path in videos for ending in endings]
    require_free([*written, output / "classes.csv"], FLAGS.overwrite)
    predictor = predict.SequencePredictor(
        *loaded, pose=FLAGS.pose_checkpoint, keypoints=FLAGS.keypoints
    )
    names, rows, faults = predictor.class_names, [], []
    count = min(FLAGS.top, len(names))
    for path in videos:
        try:
            with show_progress(path.name, "frames") as progress:
                total = read_video(path).count
                followed = predictor.follow(path, lambda done, total=total: progress(done, total))
            dancers = predictor.find_dancers(followed, str(path))
        except UserError as error:
            faults.append(str(error))
            continue
        top = list_best(predict.join_answers(dancers), names, count)
        each = [
            {"dancer": d.number, "windows": len(d.spans), "top": list_best(d.answer, names, count)}
            for d in dancers
        ]
        write_json(
            output / f"{path.stem}_classes.json", {"input": str(path), "top": top, "dancers": each}
        )
        write_csv(output / f"{path.stem}_timeline.csv", predict.timeline_rows(dancers, names))
        curves = [d.spans for d in dancers], [d.probabilities for d in dancers]
        draw_timeline(output / f"{path.stem}_timeline.png", *curves, names)
        if FLAGS.draw:
            draw_dancers(path, followed, dancers, names, output / f"{path.stem}.mp4")
        listed = ", ".join(f"dancer {d['dancer']} {d['top'][0]['label']}" for d in each)
        console.print(f"{path.name}: {top[0]['label']} {top[0]['probability']:.3f} ({listed})")
        rows.append([str(path), *(value for item in top for value in item.values())])
    if len(videos) > 1 or pathlib.Path(FLAGS.input).is_dir():
        columns = [f"{key}{k}" for k in range(1, count + 1) for key in ("label", "probability")]
        write_csv(output / "classes.csv", [["input", *columns], *rows])
    console.print(f"{len(rows)} of {len(videos)} videos: see {output}")
    return faults


def draw_dancers(path, followed, dancers, names, output):
    """Writes the video with each dancer's skeleton, number and dance of the moment."""
    from danceflax.dance.draw import draw_names
    from danceflax.io.videos import VideoWriter, read_video
    from danceflax.people import keypoint_boxes

    opened = read_video(path)
    with VideoWriter(output) as video:
        for number, (time, frame) in enumerate(opened):
            people = followed.people[number][[d.person for d in dancers]]
            labels = [
                f"{d.number} {names[d.at(time).argmax()]}" if (person[:, 2] > 0).any() else ""
                for d, person in zip(dancers, people, strict=True)
            ]
            video.write(draw_names(frame, keypoint_boxes(people), labels), time, opened.fps)


def draw_running(windows, names, path):
    """Writes the video with the three best classes of the window that each frame lies in; returns
    the probabilities of all windows."""
    import numpy as np

    from danceflax.dance.draw import draw_prediction
    from danceflax.io.videos import VideoWriter

    if not FLAGS.draw:
        return [window.probabilities for window in windows]
    found = []
    with VideoWriter(path) as video:
        for window in track(windows, None, path.stem, "windows"):
            best = np.argsort(-window.probabilities, kind="stable")[:3]
            for time, frame in window.frames:
                labels = [names[k] for k in best]
                drawn = draw_prediction(frame, labels, window.probabilities[best])
                video.write(drawn, time, window.fps)
            found.append(window.probabilities)
    return found


def find_poses(loaded, inputs, output):
    """Draws the people of each image and video and writes their keypoints. Returns messages about
    files that cannot be read, and about frames that were lost."""
    from danceflax.data.coco_files import image_ids
    from danceflax.io.images import read_image, write_image
    from danceflax.io.videos import VideoWriter, read_video
    from danceflax.pose.draw import draw_people
    from danceflax.pose.follow import follow_people
    from danceflax.pose.metrics import person_results
    from danceflax.pose.openpose_json import write_people
    from danceflax.pose.predict import PosePredictor
    from danceflax.pose.table import check_format, tabulate_people, write_table

    images = [path for path, kind in inputs if kind == "image"]
    videos = [path for path, kind in inputs if kind == "video"]
    stems = [path.stem for path in videos] + ["images"] * bool(FLAGS.join and images)
    formats = [check_format(kind) for kind in FLAGS.table]
    written = [output / "coco_results.json"] if FLAGS.coco_json else []
    written += [output / f"{stem}.{kind}" for stem in stems for kind in formats]
    if FLAGS.draw:
        written += [output / f"{stem}.mp4" for stem in stems]
        written += [output / f"{path.stem}.png" for path in images if not FLAGS.join]
    first = [path.stem for path in images] + [f"{path.stem}_{0:012d}" for path in videos]
    written += [output / "json" / f"{name}_keypoints.json" for name in first if FLAGS.json]
    require_free(written, FLAGS.overwrite)
    ids = image_ids(images, FLAGS.coco_images) if FLAGS.coco_json else {}

    predictor = PosePredictor(
        *loaded,
        height=FLAGS.height,
        batch_size=FLAGS.batch_size,
        flip=FLAGS.flip,
        scales=cli.parse_numbers("scales", FLAGS.scales),
        rotations=cli.parse_numbers("rotations", FLAGS.rotations),
    )
    skeleton = predictor.skeleton
    entries, faults = [], []

    def keep(name, people, scores, person_ids=None):
        """Writes the people found on a frame."""
        if FLAGS.json:
            write_people(output / "json" / f"{name}_keypoints.json", people, person_ids)
        if FLAGS.coco_json:
            entries.extend(person_results(people, scores, ids.get(name, name), skeleton))

    def read_images():
        for path in images:
            try:
                yield path.stem, read_image(path)
            except UserError as error:
                faults.append(str(error))

    def draw_images():
        found = predictor.stream(read_images())
        for name, frame, *item in track(found, len(images), "finding people", "images"):
            keep(name, *item)
            if FLAGS.draw:
                drawn = draw_people(frame, item[0], skeleton, FLAGS.threshold)
                write_image(output / f"{name}.png", drawn)

    def follow(stem, frames, again, names, count, fps):
        """Writes and draws the people of a clip; `again` are its frames, read a second time."""
        frames = track(frames, count, f"finding people in {stem}", "frames")
        times, *found = follow_people(predictor, frames, FLAGS.smooth, where=stem)
        for name, people, numbers, scores in zip(names, *found, strict=False):
            keep(name, people, scores, numbers)
        if formats:
            table = tabulate_people(*found[:2], times, skeleton, FLAGS.angles)
            for kind in formats:
                write_table(output / f"{stem}.{kind}", table)
        if FLAGS.draw:
            again = track(again, len(times), f"drawing {stem}", "frames")
            with VideoWriter(output / f"{stem}.mp4") as video:
                for (time, frame), people, numbers in zip(again, *found[:2], strict=True):
                    drawn = draw_people(frame, people, skeleton, FLAGS.threshold, ids=numbers)
                    video.write(drawn, time, fps)

    def follow_video(path):
        opened = read_video(path)
        names = (f"{path.stem}_{i:012d}" for i in itertools.count())
        follow(path.stem, opened, read_video(path), names, opened.count, opened.fps)
        if opened.lost:
            print_faults([opened.describe_loss()], "lost")

    def follow_images():
        names = []

        def read():
            for i, (name, frame) in enumerate(read_images()):
                names.append(name)
                yield i / FLAGS.join, frame

        follow("images", read(), read(), names, len(images), FLAGS.join)
        faults[:] = dict.fromkeys(faults)  # they were read twice

    if images:
        (follow_images if FLAGS.join else draw_images)()
    for path in videos:
        try:
            follow_video(path)
        except UserError as error:
            faults.append(str(error))
    if FLAGS.coco_json:
        write_json(output / "coco_results.json", entries)
    done = len(inputs) - len(faults)
    console.print(f"{done} of {len(inputs)} images and videos: see {output}")
    return faults


if __name__ == "__main__":
    cli.run(main, __doc__)
