"""Two baselines on keypoint sequences, on the folds that `train_classifier.py` makes.

python benchmarks/bench_sequences.py --config.data.root=data/mocap --config.data.fps=25 \
    --config.data.train_split=clips.csv --config.data.group=recording --config.data.folds=5

A logistic regression on mean and spread of joint speeds, and a kernel SVM on the spectra, means and
spreads of joints about the hips, in torsos; both learn from mirrored windows as well. The networks'
figures on the same folds are what `train_classifier.py` prints with the same fields. Needs
scikit-learn.
"""

import time

import numpy as np
from absl import app
from ml_collections import config_flags
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from danceflax import skeleton as skeletons
from danceflax.configs import sequence
from danceflax.dance.crossvalidate import summarise
from danceflax.dance.evaluate import Answers
from danceflax.dance.sequences.augment import read_windows
from danceflax.dance.sequences.body import make_body
from danceflax.dance.sequences.people import PeopleSource
from danceflax.data.folds import split_folds
from danceflax.data.sources import open_clips

CONFIG = config_flags.DEFINE_config_dict("config", sequence.get_config())
HARMONICS = 16


def find_speeds(windows):
    """[N, T, J, 2] -> [N, 2 J]: mean and spread of each joint's speed."""
    speeds = np.linalg.norm(np.diff(windows, axis=1), axis=-1)
    return np.concatenate([speeds.mean(1), speeds.std(1)], -1)


def find_spectra(windows):
    """[N, T, J, 2] -> [N, D]: amplitudes, means and spreads."""
    spectra = np.abs(np.fft.rfft(windows - windows.mean(1, keepdims=True), axis=1))
    found = [spectra[:, 1:HARMONICS], windows.mean(1), windows.std(1)]
    return np.concatenate([x.reshape(len(windows), -1) for x in found], -1)


def find_answers(model, features, windows, labels, chosen, flip):
    """`Answers` of each fold, windows of its clips by a model fitted to the other folds."""
    answers, size = [], windows.shape[1]
    for held in chosen:
        inner = windows[~held].reshape(-1, *windows.shape[2:])
        x = features(np.concatenate([inner, inner[:, :, flip] * (-1, 1)]))
        model.fit(x, np.tile(np.repeat(labels[~held], size), 2))
        x = features(windows[held].reshape(-1, *windows.shape[2:]))
        scores = np.exp(model.decision_function(x))
        scores = scores / scores.sum(-1, keepdims=True)
        shape = (-1, size, scores.shape[-1])
        answers.append(Answers(scores.reshape(shape), labels[held], []))
    return answers


def main(_):
    config = CONFIG.value
    skeleton = skeletons.load(config.streams.people.skeleton)
    body, clips = make_body(skeleton), open_clips(config.data, config.data.train_split)
    source = PeopleSource(clips, skeleton)
    options = dict(clip=config.clip, people=config.streams.people, views=config.eval, body=body)
    people = np.stack([read_windows(source[i], **options)["people"] for i in range(len(source))])
    places = people[:, :, :, 0, :, :2].astype(float)  # [N, V, T, J, 2] of the first person
    hips = places[..., list(body.centre), :].mean(-2, keepdims=True)

    chosen, groups = [], []
    for fold in range(config.data.folds):
        config.data.fold = fold
        _, val = split_folds(clips, config.data)
        names = {(clip.dance, clip.name) for clip in val.clips}
        chosen.append(np.array([(c.dance, c.name) in names for c in clips.clips]))
        groups += val.groups
    baselines = {
        "logistic regression, speeds": (
            LogisticRegression(max_iter=500, class_weight="balanced"), find_speeds, places,
        ),
        "kernel SVM, spectra": (
            SVC(C=10, class_weight="balanced"), find_spectra, places - hips,
        ),
    }  # fmt: skip
    for name, (model, features, windows) in baselines.items():
        start = time.perf_counter()
        pipeline = make_pipeline(StandardScaler(), model)
        answers = find_answers(pipeline, features, windows, clips.labels, chosen, body.flip)
        figures = summarise(answers, groups, clips.class_names)
        pair, accuracy = next(iter(figures["pairs"].items()))
        print(
            f"{name}: mean class accuracy {figures['metrics']['mean_class_accuracy']:.4f}, worst "
            f"pair {pair} {accuracy:.4f}, {figures['groups_right']} of {figures['groups']} groups "
            f"by vote, {time.perf_counter() - start:.0f} s"
        )


if __name__ == "__main__":
    app.run(main)
