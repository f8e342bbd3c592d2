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
A classifier names dances: OUTPUT gets <name>_classes.json, <name>_timeline.csv and .png, and
<name>.mp4, with the running prediction drawn, for a video; and classes.csv for a folder of videos.
One of keypoint sequences follows the people that --pose_checkpoint finds (or that --keypoints
holds) and names each one's dance, beside them in the video.

With --scheduler=HOST:PORT a Dask cluster does it, a video a task (data/README.md).

No input is written over, nor a file that is there already, unless --overwrite is given. A file that
cannot be read does not end the others; the exit status is then 1.
"""

import functools
import pathlib
import uuid

from absl import flags

from danceflax import cli
from danceflax.errors import UserError
from danceflax.io.console import print_faults, summarise

FLAGS = flags.FLAGS
flags.DEFINE_string("checkpoint", None, "a workdir, a step in it, or converted weights")
flags.DEFINE_string("input", None, "an image, a video, a folder of them, or a pattern")
flags.DEFINE_string("output", None, "folder to write to, apart from the inputs")
flags.DEFINE_bool("overwrite", False, "replace what an earlier run wrote")
flags.DEFINE_bool("draw", True, "draw what is found")
flags.DEFINE_string("scheduler", "", "address of a Dask cluster that does the work instead")
POSE = cli.group_flags(
    "pose networks",
    flags.DEFINE_integer("height", None, "height images are scaled to, a multiple of 8"),
    flags.DEFINE_integer("batch_size", 8, "frames a step, over all devices", lower_bound=1),
    flags.DEFINE_bool("flip", False, "average with the mirrored image"),
    flags.DEFINE_list("scales", ["1"], "average over these sizes"),
    flags.DEFINE_list("rotations", ["0"], "look at the image turned so as well, e.g. 0,90,180,270"),
    flags.DEFINE_float("threshold", 0.05, "least confidence of a joint that is drawn"),
    flags.DEFINE_bool("label", False, "write people's numbers beside them"),
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
    from danceflax.training.checkpoints import find_model, read_config  # with it JAX

    inputs, others = list_inputs(FLAGS.input)
    output = pathlib.Path(FLAGS.output).expanduser()
    require_apart(inputs, output)
    print_faults(summarise(others), "passed over")
    path = find_model(FLAGS.checkpoint)
    config = read_config(path)
    is_classifier = "class_names" in config
    cli.refuse_flags(POSE if is_classifier else DANCE, FLAGS.checkpoint)
    if not is_classifier:
        faults = find_poses(path, inputs, output)
    else:
        name = name_dancers if reads_sequences(config) else name_dances
        faults = name(path, config["class_names"], find_videos(inputs), output)
    return print_faults(faults, "failed")


def open_later(path, **options):
    """A function that loads the predictor, once in each process."""
    from danceflax.api import share_predictor

    return functools.partial(share_predictor, uuid.uuid4().hex, path, **options)


def find_poses(path, inputs, output):
    """Draws the people of each image and video and writes their keypoints; returns messages about
    files that cannot be read."""
    from danceflax.data.coco_files import image_ids
    from danceflax.pose.files import PeopleFiles

    images = [path for path, kind in inputs if kind == "image"]
    predictor = open_later(
        path,
        height=FLAGS.height,
        batch_size=FLAGS.batch_size,
        flip=FLAGS.flip,
        scales=cli.parse_numbers("scales", FLAGS.scales),
        rotations=cli.parse_numbers("rotations", FLAGS.rotations),
    )
    files = PeopleFiles(
        predictor,
        output,
        draw=FLAGS.draw,
        label=FLAGS.label,
        threshold=FLAGS.threshold,
        json=FLAGS.json,
        coco_ids=image_ids(images, FLAGS.coco_images) if FLAGS.coco_json else None,
        join=FLAGS.join,
        smooth=FLAGS.smooth,
        tables=FLAGS.table,
        angles=FLAGS.angles,
    )
    return files.write(inputs, FLAGS.overwrite, FLAGS.scheduler)


def name_dances(path, names, videos, output):
    """Names the dance of each video; returns messages about those that cannot be read."""
    from danceflax.dance import files

    predictor = open_later(path, keypoints=absolute(FLAGS.keypoints))
    return files.name_dances(predictor, names, videos, output, **dance_options())


def name_dancers(path, names, videos, output):
    """As `name_dances`, by keypoints, and each dancer's as well."""
    from danceflax.dance import files

    pose, keypoints = absolute(FLAGS.pose_checkpoint), absolute(FLAGS.keypoints)
    predictor = open_later(path, pose=pose, keypoints=keypoints)
    return files.name_dancers(predictor, names, videos, output, **dance_options())


def absolute(path):
    """A flag's path as other machines see it."""
    return path and str(pathlib.Path(path).absolute())


def find_videos(inputs):
    """The videos among the inputs. Raises UserError: there is none."""
    videos = [path for path, kind in inputs if kind == "video"]
    if not videos:
        raise UserError(f"{FLAGS.input}: a classifier takes videos, and there is none")
    return videos


def dance_options():
    """What both kinds of classifiers write, by the flags."""
    table = pathlib.Path(FLAGS.input).expanduser().is_dir()
    return dict(
        top=FLAGS.top,
        draw=FLAGS.draw,
        overwrite=FLAGS.overwrite,
        table=table,
        scheduler=FLAGS.scheduler,
    )


def run() -> None:
    """Does what the process's arguments say."""
    cli.run(main, __doc__)
