"""Classifies videos that are on no data root."""

import jax
import numpy as np

from danceflax.dance import loss
from danceflax.dance.inputs import make_prepare, make_transforms, needed
from danceflax.dance.windows import read_windows
from danceflax.errors import UserError


def make_video_classifier(classifier, variables, keypoints=None):
    """Builds classify_video(path) -> (spans, probabilities).

    Args:
      classifier, variables: as `network.load` gives them.
      keypoints: folder of OpenPose JSON, for a classifier that reads keypoints.

    Returns:
      classify_video(path) -> (list of (first, last) frame numbers of each window, float32
      [windows, C]); the mean over windows is the video's answer.

    Raises:
      UserError: keypoints are needed and not given.
    """
    inputs = classifier.inputs
    if "people" in needed(inputs) and not keypoints:
        raise UserError(
            "this classifier reads keypoints: run predict.py with a pose checkpoint on the same "
            "input first, then give its OUTPUT/json as --keypoints"
        )
    flow = inputs["flow"] and dict(inputs["flow"])
    if flow and flow["source"] == "files":
        flow["source"] = "dis"  # what prepare_data.py flow computes unless told otherwise
    clip = dict(inputs["clip"], eval_clips=1)
    _, view = make_transforms(classifier._replace(inputs=inputs | {"clip": clip, "flow": flow}))
    # One window at a time, on the first device: a few frames a second are enough here.
    apply = loss.make_apply(classifier.model)
    classify = jax.jit(loss.make_classify(make_prepare(classifier), apply))
    variables = jax.device_put(variables)

    def classify_video(path):
        spans, probabilities = [], []
        for span, record in read_windows(path, clip, keypoints):
            item = {key: value[None] for key, value in view(record).items()}
            probabilities.append(np.asarray(classify(variables, item))[0])
            spans.append(span)
        return spans, np.stack(probabilities)

    return classify_video
