"""A third task, as small as they get: a linear network on numbers, to try the training with."""

import ast
import pathlib
import sys
import time

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from configs import openpose_base
from danceflax.errors import BadSampleError
from danceflax.training.task import Task, Work

NUM_SAMPLES = 50


def make_config(**changes):
    """A pose training's config, with what a toy needs of it."""
    config = openpose_base.get_config()
    config.optimizer.groups = ConfigDict({"all": openpose_base.group(".*", lr=1e-2)})
    config.update(steps=20, batch_size=8, log_every=5, eval_every=10, save_every=5)
    config.data.update(threads=2, patience=0.0)
    config.eval.batch_size = 8
    config.toy = ConfigDict(dict(home="", size=16, step_seconds=0.0, nan_at=-1, eval_seconds=0.0))
    config.update_from_flattened_dict(changes)
    return config


class Source:
    """Sample i is i + noise, and the file HOME/i as well, if there is a home."""

    def __init__(self, config):
        self._config = config
        self.home = config.home or None

    def __len__(self):
        return NUM_SAMPLES

    def __getitem__(self, index):
        if self.home and not (pathlib.Path(self.home) / str(index)).exists():
            raise BadSampleError(f"{self.home}/{index}: cannot be read")
        return {"x": float(index), "name": str(index)}


def make_task(config):
    toy = config.toy

    def transform(record, rng=None):
        time.sleep(toy.step_seconds / config.batch_size)
        noise = np.zeros(toy.size) if rng is None else rng.standard_normal(toy.size)
        x = (record["x"] / NUM_SAMPLES + noise).astype(np.float32)
        if record["name"] == str(toy.nan_at):
            x *= np.nan
        return {"x": x, "y": np.float32(record["x"]), "weight": np.float32(1)}

    def loss(params, model_state, batch, rng):
        del rng
        found = batch["x"] @ params["dense"]["kernel"] + params["dense"]["bias"]
        total = jnp.sum(batch["weight"] * (found - batch["y"] / NUM_SAMPLES) ** 2)
        return total, (jnp.sum(batch["weight"]), {}, model_state)

    def begin(variables, read, workdir):
        source = Source(toy)

        def evaluate(variables):
            error = count = 0.0
            kernel = np.asarray(variables["params"]["dense"]["kernel"])
            for batch, _ in read(source, transform, 8, training=False):
                time.sleep(toy.eval_seconds)
                error += float(np.sum(batch["weight"] * np.abs(batch["x"] @ kernel)))
                count += float(np.sum(batch["weight"]))
            return {"score": -error / count}, None

        return Work(source, transform, loss, evaluate)

    rng = np.random.default_rng(config.seed)
    kernel = rng.standard_normal(toy.size).astype(np.float32)
    variables = {"params": {"dense": {"kernel": kernel, "bias": np.zeros((), np.float32)}}}
    description = {"model": {"name": "toy", "options": {"size": toy.size}}}
    description["normalisation"] = {"mean": [0.0], "std": [1.0]}
    return Task("samples", ("score",), variables, config.optimizer.groups, description, begin)


def main(argv):
    """WORKDIR toy.size=16 steps=20 ...: trains, as the scripts do."""
    from danceflax.training.train import train

    changes = (word.split("=", 1) for word in argv[2:])
    config = make_config(**{key: ast.literal_eval(value) for key, value in changes})
    train(config, argv[1], make_task)


if __name__ == "__main__":
    from absl import logging

    from danceflax.cli import guard

    logging.set_verbosity(logging.WARNING)
    guard(main, sys.argv)
