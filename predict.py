"""Finds people on images and videos: draws them, and writes OpenPose JSON for each frame.

python predict.py --checkpoint=runs/a --input=photo.jpg --output=out
python predict.py --checkpoint=runs/a --input=dance.mp4 --output=out --flip
python predict.py --checkpoint=runs/a --input=folder/of/images --output=out --coco_json

OUTPUT gets <name>.png for an image and <name>.webm (plays in a browser) for a video, and json/ with
<name>_keypoints.json for each frame.
"""

import itertools
import pathlib

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict
from rich.progress import track

from configs import openpose_base
from danceflax import api, cli
from danceflax.data.images import read_image
from danceflax.models.openpose import STRIDE
from danceflax.normalisation import normalise
from danceflax.pose.augment import letterbox, transform_people
from danceflax.pose.decode import make_decoder
from danceflax.pose.evaluation import person_results
from danceflax.pose.inference import make_estimator
from danceflax.pose.openpose_json import write_people
from danceflax.pose.render import draw_people
from danceflax.skeleton import Skeleton
from danceflax.training import parallel
from danceflax.training.report import console, write_json
from danceflax.video.files import VideoWriter, list_inputs, read_video

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "a workdir, a step in it, or converted weights")
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
