"""From video to dance by keypoints alone: one answer a dancer, and one a video, over time."""

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Float, UInt8

from danceflax.dance.classifiers import assemble
from danceflax.dance.evaluate import make_classify
from danceflax.dance.inputs import PEOPLE, make_mirror, make_prepare
from danceflax.dance.loss import make_apply
from danceflax.dance.sequences.augment import place_windows
from danceflax.dance.sequences.body import make_body, normalise
from danceflax.dance.sequences.people import gather_people, map_people, read_file, resample
from danceflax.errors import UserError
from danceflax.io.videos import read_video
from danceflax.models.registry import describe_network
from danceflax.people import UNKNOWN
from danceflax.pose.predict import PosePredictor
from danceflax.training.pretrained import load_checkpoint

LEAST_SEEN = 0.5  # of a window's frames, for it to count
OVERLAP = 2  # windows over a moment
BATCH = 32  # windows that the network sees at once


class Dancer(NamedTuple):
    """One person of a video.

    Attributes:
      number: from 0 on; who is seen most, and largest, comes first.
      person: the place among the people of `Followed`.
      spans: [W, 2] first and last second of each window in which the person is seen.
      probabilities: [W, C] of the classes.
    """

    number: int
    person: int
    spans: Float[np.ndarray, "W 2"]
    probabilities: Float[np.ndarray, "W C"]

    def __repr__(self) -> str:
        seen = f"{self.spans.min():.2f} to {self.spans.max():.2f} s"
        return f"Dancer({self.number}, {len(self.spans)} windows, {seen})"

    @property
    def answer(self) -> Float[np.ndarray, " C"]:
        """The mean over the windows."""
        return self.probabilities.mean(0)

    def at(self, time: float) -> Float[np.ndarray, " C"]:
        """What the window says whose middle is nearest to that second."""
        return self.probabilities[np.abs(self.spans.mean(1) - time).argmin()]


class Followed(NamedTuple):
    """A video's people: [N, P, J, 3] (x, y, visibility) in pixels, and the frames' times [N], s."""

    people: Float[np.ndarray, "N P J 3"]
    times: Float[np.ndarray, " N"]

    def __repr__(self) -> str:
        return f"Followed({self.people.shape[1]} people, {len(self.times)} frames)"


class SequencePredictor:
    """Says who dances what, by keypoints.

        predictor = danceflax.load_predictor("runs/rhythm", pose="runs/a")
        dancers = predictor.find_dancers(predictor.follow("dance.mp4"))
        probabilities = predictor("dance.mp4")

    Args:
      model, variables, config: of `danceflax.load_checkpoint`, of a sequence classifier.
      pose: a `PosePredictor`, or the path of a pose checkpoint.
      keypoints: folder of OpenPose JSON <stem>_<12-digit frame>_keypoints.json, instead of `pose`.

    Attributes:
      class_names: the C dances.
      checkpoint: the path that it was loaded from, if it was.
      skeleton: of the people.

    Raises:
      UserError: not one of `pose` and `keypoints` is given; the checkpoint reads no sequences.
    """

    checkpoint = ""

    def __init__(
        self,
        model: nn.Module,
        variables: Mapping[str, Any],
        config: Mapping[str, Any],
        *,
        pose: PosePredictor | str | os.PathLike | None = None,
        keypoints: str | os.PathLike | None = None,
    ):
        self.class_names = config["class_names"]
        classifier = assemble(model, config)
        if PEOPLE not in classifier.inputs["streams"]:
            raise UserError("this classifier reads pictures; a sequence network is needed")
        if (pose is None) == (keypoints is None):
            raise UserError(
                "this classifier reads keypoints: give --pose_checkpoint, a pose network, or "
                "--keypoints, a folder of OpenPose JSON of the same video"
            )
        if isinstance(pose, str | os.PathLike):
            pose = PosePredictor(*load_checkpoint(pose))
        self.skeleton, self._body = classifier.skeleton, make_body(classifier.skeleton)
        self._clip, self._options = classifier.inputs["clip"], classifier.inputs["people"]
        self._pose, self._keypoints = pose, keypoints
        prepare, mirror = make_prepare(classifier), make_mirror(classifier)
        self._classify = jax.jit(make_classify(prepare, make_apply(model), mirror))
        self._network = describe_network(model, variables)
        self._variables = jax.device_put(dict(variables))

    def __repr__(self) -> str:
        dances = f"{len(self.class_names)} dances: {', '.join(self.class_names)}"
        network = f"{self.checkpoint!r}: {self._network}; {self.skeleton!r}"
        return f"SequencePredictor({network}; {dances})"

    def __call__(self, video: str | os.PathLike) -> Float[np.ndarray, " C"]:
        """The probabilities of a video's dance; see `join_answers`."""
        return join_answers(self.find_dancers(self.follow(video)))

    def follow(
        self,
        video: str | os.PathLike,
        progress: Callable[[int], None] = lambda done: None,
        keep: Callable[[float, UInt8[np.ndarray, "H W 3"]], None] = lambda time, frame: None,
    ) -> Followed:
        """The people of a video, who keep the numbers that keypoint files give them.

        Args:
          video: the file.
          progress: called with the number of frames done.
          keep: called with each frame and its time, seconds, as it is read.

        Raises:
          UserError: the video cannot be read, has no keypoint files where they are asked for, or
            nobody is in it; or the skeletons do not fit.
        """
        times, frames, ids = [], [], []

        def read():
            for time, frame in read_video(video):
                times.append(time)
                keep(time, frame)
                yield None, frame

        if self._keypoints is None:
            joints = self._pose.skeleton.joints
            for done, (_, _, people, _) in enumerate(self._pose.stream(read()), 1):
                frames.append(map_people(people, joints, self.skeleton, video))
                ids.append(np.full(len(frames[-1]), UNKNOWN))
                progress(done)
        else:
            for done, _ in enumerate(read(), 1):
                people, numbers = self._read(pathlib.Path(video), done - 1)
                frames.append(people)
                ids.append(numbers)
                progress(done)
        people = gather_people(frames, ids, np.array(times), self.skeleton)
        if not people.shape[1]:
            raise UserError(f"{video}: nobody is on any of its {len(frames)} frames")
        return Followed(people, np.array(times))

    def find_dancers(self, followed: Followed, where: str = "the video") -> list[Dancer]:
        """Everyone who is seen for at least half a window, with their answers.

        Raises:
          UserError: the video is much shorter than a window, or nobody is seen for so long.
        """
        record = {"times": followed.times, "where": where}
        (first, last), step = place_windows(record, self._clip)
        span = step * (self._clip["frames"] - 1)
        count = 1 + int(np.ceil((last - first) / max(span / OVERLAP, 1e-9)))
        starts = np.linspace(first, last, count)
        gap, steps = self._options["longest_gap"], step * np.arange(self._clip["frames"])
        windows = [resample(*followed, start + steps, gap) for start in starts]
        windows = np.stack(windows)  # [W, T, P, J, 3]
        shown = (windows[..., 2] > 0).any(-1).mean(1) >= LEAST_SEEN  # [W, P]
        spans = np.stack([starts, np.minimum(starts + span, followed.times[-1])], -1)
        dancers = []
        for p in np.flatnonzero(shown.any(0)).tolist():
            own = [normalise(window[:, [p]], self._body) for window in windows[shown[:, p], :]]
            probabilities = self._judge(np.stack(own))
            dancers.append(Dancer(len(dancers), p, spans[shown[:, p]], probabilities))
        if not dancers:
            raise UserError(
                f"{where}: nobody is seen for {LEAST_SEEN * span:.2f} s in a row, half a window"
            )
        return dancers

    def _judge(self, windows):
        """[W, T, 1, J, 3] -> [W, C], `BATCH` at a time."""
        rest = -len(windows) % BATCH
        padded = np.concatenate([windows, np.zeros((rest, *windows.shape[1:]), np.float32)])
        others = self._options["max_people"] - 1  # places that nobody takes
        padded = np.pad(padded, ((0, 0), (0, 0), (0, others), (0, 0), (0, 0)))
        found = [
            np.asarray(self._classify(self._variables, {"people": padded[i : i + BATCH, None]}))
            for i in range(0, len(padded), BATCH)
        ]
        return np.concatenate(found)[: len(windows)]

    def _read(self, video, number):
        path = pathlib.Path(self._keypoints, f"{video.stem}_{number:012d}_keypoints.json")
        if not number and not path.exists():
            raise UserError(f"{path}: no such file; expected one for each frame of {video}")
        return read_file(path, self.skeleton)


def join_answers(dancers: list[Dancer]) -> Float[np.ndarray, " C"]:
    """One answer a video: the mean over all windows of all dancers, so that whoever is seen longer
    says more."""
    return np.concatenate([dancer.probabilities for dancer in dancers]).mean(0)
