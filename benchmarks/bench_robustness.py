"""What a sequence classifier stands: keypoints lost, frames lost, noise, other frame rates.

python benchmarks/bench_robustness.py --run=runs/folds --output=robustness.png \
    --config.data.root=data/mocap --config.data.fps=25 --config.data.train_split=clips.csv \
    --config.data.group=recording --config.data.folds=5

RUN is the workdir of a cross-validation with these fields. Every clip, or config.eval.limit of each
fold, is spoilt and then judged by the network that has not seen its recording. Mean class accuracy
of all windows, as a table and as curves.
"""

import functools

import matplotlib.figure
import numpy as np
from absl import app, flags
from ml_collections import config_flags

from danceflax.configs import sequence
from danceflax.dance.crossvalidate import make_judge
from danceflax.dance.evaluate import measure
from danceflax.dance.inputs import open_people
from danceflax.dance.sequences.body import make_body
from danceflax.data.folds import split_folds
from danceflax.data.sources import Subset, open_clips

CONFIG = config_flags.DEFINE_config_dict("config", sequence.get_config())
RUN = flags.DEFINE_string("run", None, "workdir of a cross-validation", required=True)
OUTPUT = flags.DEFINE_string("output", "robustness.png", "the picture")
WHOLE = "as they are", 0.0
TORSO = 60.0  # pixels: what noise is said for
SHARES, NOISES = (0.1, 0.2, 0.3, 0.4, 0.5), (2.0, 4.0, 6.0, 8.0, 10.0)


def lose_joints(people, times, rng, share):
    """Detections lost one by one."""
    return people * (rng.random(people.shape[:3]) >= share)[..., None], times


def hide_joints(people, times, rng, share):
    """Joints that are never found in the clip."""
    return people * (rng.random((1, *people.shape[1:3])) >= share)[..., None], times


def lose_frames(people, times, rng, share):
    """Frames in which nobody is found."""
    return people * (rng.random((len(people), 1, 1, 1)) >= share), times


def move_joints(people, times, rng, pixels, body):
    """Normal noise of that deviation in x and in y, were the torso `TORSO` pixels long."""
    ends = [people[:, 0, list(joints), :2].mean(1) for joints in (body.centre, body.top)]
    torso = np.median(np.linalg.norm(ends[0] - ends[1], axis=-1))
    noise = rng.standard_normal((*people.shape[:3], 2)) * pixels * torso / TORSO
    return np.concatenate([people[..., :2] + noise, people[..., 2:]], -1, dtype=np.float32), times


def halve_rate(people, times, rng, known):
    """Every second frame; its times as they are, or as if no frame were missing."""
    return people[::2], times[::2] if known else times[: len(times[::2])]


class Spoilt:
    """A source whose people are spoilt, each clip by a chance of its own."""

    def __init__(self, source, spoil):
        self._source, self._spoil, self.home = source, spoil, source.home

    def __len__(self):
        return len(self._source)

    def __getitem__(self, i):
        record = self._source[i]
        people, times = self._spoil(record["people"], record["times"], np.random.default_rng(i))
        return record | {"people": people.astype(np.float32), "times": times}


def make_trials(body):
    """{(title, level): spoil(people, times, rng)}; what is spoilt at level 0 is nothing."""
    move = functools.partial(move_joints, body=body)
    curves = {
        "joints lost, one by one": (lose_joints, "share", SHARES),
        "joints never found": (hide_joints, "share", SHARES),
        "frames lost": (lose_frames, "share", SHARES),
        "noise, px at a torso of 60": (move, "pixels", NOISES),
    }
    trials = {
        (title, level): functools.partial(spoil, **{name: level})
        for title, (spoil, name, levels) in curves.items()
        for level in levels
    }
    trials[WHOLE] = lambda people, times, rng: (people, times)
    trials["half the frame rate", "known"] = functools.partial(halve_rate, known=True)
    trials["half the frame rate", "taken for whole"] = functools.partial(halve_rate, known=False)
    return trials


def find_accuracies(config, clips, trials):
    """{(title, level): mean class accuracy} over all folds."""
    answers = {trial: [] for trial in trials}
    for fold in range(config.data.folds):
        config.data.fold = fold
        _, val = split_folds(clips, config.data)
        val = Subset(val, config.eval.limit)
        judge, _ = make_judge(f"{RUN.value}/fold{fold}", config)
        for trial, spoil in trials.items():
            answers[trial].append(judge(Spoilt(val, spoil)))
    found = {}
    for trial, of_folds in answers.items():
        views = [answer.probabilities for answer in of_folds]
        labels = [np.repeat(a.labels, a.probabilities.shape[1]) for a in of_folds]
        windows = np.concatenate([view.reshape(-1, view.shape[-1]) for view in views])
        found[trial] = measure(windows, np.concatenate(labels))["mean_class_accuracy"]
    return found


def draw(found, path):
    """The curves, one a panel."""
    titles = dict.fromkeys(title for title, level in found if level and not isinstance(level, str))
    curves = {
        title: {0.0: found[WHOLE]}
        | {of: value for (name, of), value in found.items() if name == title}
        for title in titles
    }
    figure = matplotlib.figure.Figure(figsize=(3 * len(curves), 2.8), layout="constrained")
    for axes, (title, levels) in zip(figure.subplots(1, len(curves), sharey=True), curves.items()):  # noqa: B905
        axes.plot(list(levels), list(levels.values()), "o-")
        axes.set(title=title, ylim=(0, 1.02))
        axes.grid(alpha=0.3)
    figure.get_axes()[0].set_ylabel("mean class accuracy")
    figure.savefig(path, dpi=110)


def main(_):
    config = CONFIG.value
    clips = open_people(open_clips(config.data, config.data.train_split), config.streams)
    found = find_accuracies(config, clips, make_trials(make_body(clips.skeleton)))
    for (title, level), accuracy in found.items():
        print(f"{title} {level}: {accuracy:.3f}")
    draw(found, OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
