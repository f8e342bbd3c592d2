"""A sweep over fields of a config with Optuna: the recipe of docs/sweeps.md.

    pip install optuna
    python docs/sweep.py 20 train_openpose.py --config=configs/openpose_body25.py:demo \\
        --config.steps=600

The first number is how many trainings to run; the rest is the training's command, without its
workdir. Edit FIELDS and SCORE. The study is kept in runs/sweep/study.db: the same command goes on.
"""

import json
import pathlib
import subprocess
import sys

import optuna

FOLDER = pathlib.Path("runs/sweep")
SCORE = "PCK"  # a figure of the last validation line of metrics.jsonl; larger is better
FIELDS = {
    "optimizer.groups.paf.lr": lambda trial, name: trial.suggest_float(name, 1e-4, 1e-2, log=True),
    "optimizer.groups.heatmap.lr": lambda trial, name: trial.suggest_float(
        name, 1e-4, 1e-2, log=True
    ),
    "augment.rotation": lambda trial, name: trial.suggest_float(name, 0.0, 60.0),
    "targets.sigma": lambda trial, name: trial.suggest_categorical(name, [5.0, 7.0, 9.0]),
}


def run_trial(trial, command):
    """Trains once with the fields that the trial suggests; the score it ends with."""
    workdir = FOLDER / f"{trial.number:04}"
    fields = [f"--config.{name}={suggest(trial, name)}" for name, suggest in FIELDS.items()]
    done = subprocess.run([sys.executable, *command, f"--workdir={workdir}", *fields])
    if done.returncode:
        raise optuna.TrialPruned  # for example a loss that was not finite
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [line[SCORE] for line in lines if line["split"] == "val"][-1]


def main():
    count, *command = sys.argv[1:]
    FOLDER.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="sweep",
        storage=f"sqlite:///{FOLDER}/study.db",
        direction="maximize",
        load_if_exists=True,
    )
    study.optimize(lambda trial: run_trial(trial, command), n_trials=int(count))
    print(f"best {SCORE} {study.best_value:.4g} in {FOLDER}/{study.best_trial.number:04}:")
    print(" ".join(f"--config.{name}={value}" for name, value in study.best_params.items()))


if __name__ == "__main__":
    main()
