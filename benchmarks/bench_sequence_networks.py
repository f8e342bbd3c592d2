"""The networks of configs/sequence.py: parameters, a training step, and the time to judge a window.

    python benchmarks/bench_sequence_networks.py [--rounds 5]

Each as its config has it, on made-up windows of one dancer; a step is of the config's batch, the
time to train of its steps without reading and validation. Processor seconds, since other work may
be beside. Prints a table; there is no peer.
"""

import argparse
import statistics

import jax
import jax.numpy as jnp
import numpy as np
import optax
from harness import race

from danceflax import skeleton as skeletons
from danceflax.cli.compilation import choose_convolutions
from danceflax.configs import sequence
from danceflax.dance import classifiers

DANCES = ("cha-cha", "rumba", "salsa", "waltz")


def spend(run, rounds):
    """Processor seconds of one run, the median."""
    (spent,) = race({"": lambda: jax.block_until_ready(run())}, rounds).values()
    return statistics.median(turn.cpu for turn in spent)


def make_runs(name):
    """(config, count of parameters, step(), judge()) of a network."""
    config = sequence.get_config(name)
    classifier, variables = classifiers.create(config, DANCES)
    model, rest = classifier.model, dict(variables)
    params = rest.pop("params")
    joints = skeletons.load(config.streams.people.skeleton).num_joints
    shape = (config.batch_size, config.clip.frames, config.streams.people.max_people, joints, 2)
    places = np.random.default_rng(0).normal(size=shape).astype("f")
    x = jnp.concatenate([places, np.ones((*shape[:-1], 1), "f")], -1)
    optimizer = optax.adamw(1e-3)

    def loss(params, rest):
        rngs = {"dropout": jax.random.key(0)}
        logits, rest = model.apply({"params": params, **rest}, x, True, rngs=rngs, mutable=[*rest])
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), rest

    labels = jnp.arange(len(x)) % len(DANCES)

    @jax.jit
    def step(params, rest, moments):
        gradients, rest = jax.grad(loss, has_aux=True)(params, rest)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), rest, moments

    judge = jax.jit(lambda variables: model.apply(variables, x))
    state = params, rest, optimizer.init(params)
    count = sum(p.size for p in jax.tree.leaves(params))
    return config, count, lambda: step(*state), lambda: judge({"params": params, **rest})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    choose_convolutions()
    print("network, parameters, step of a batch (s), to train (min), a window (ms)")
    for name in sequence.NETWORKS:
        config, count, step, judge = make_runs(name)
        seconds, window = spend(step, rounds), spend(judge, rounds) / config.batch_size
        print(
            f"{name}, {count:,}, {seconds:.3f} of {config.batch_size}, "
            f"{seconds * config.steps / 60:.1f}, {window * 1e3:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
