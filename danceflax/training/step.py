"""The training step: a pure function from (state, batch) to (state, metrics)."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

AXIS = "batch"


class TrainState(flax.struct.PyTreeNode):
    """All that training carries from step to step. A checkpoint of it resumes exactly.

    Attributes:
      step: int32 [], optimizer steps done.
      params: trees of float32 arrays.
      model_state: the network's other collections (batch statistics), or {}.
      opt_state: optax's.
      average: exponential moving average of `params`, or None when it is off.
    """

    step: Any
    params: Any
    model_state: Any
    opt_state: Any
    average: Any = None

    @property
    def variables(self) -> dict[str, Any]:
        """What to use the network with: the averaged parameters where there are any."""
        params = self.params if self.average is None else self.average
        return {"params": params, **self.model_state}


def create_state(
    variables: Mapping[str, Any], optimizer: optax.GradientTransformation, average: bool = False
) -> TrainState:
    """A fresh state from a network's variables {"params": ..., other collections}."""
    model_state = {key: value for key, value in variables.items() if key != "params"}
    params = variables["params"]
    copy = jax.tree.map(jnp.copy, params) if average else None
    return TrainState(jnp.int32(0), params, model_state, optimizer.init(params), copy)


def make_train_step(
    loss_fn: Callable,
    optimizer: optax.GradientTransformation,
    trained: Any,
    *,
    seed: int = 0,
    accumulate: int = 1,
    average_decay: float = 0.0,
    schedules: Mapping[str, optax.Schedule] | None = None,
) -> Callable:
    """Builds the step. It runs under a mapped axis called `AXIS`, a shard of the batch each.

    Args:
      loss_fn: (params, model_state, batch, rng) -> (sum, (count, metrics, model_state)); the loss
        is sum / count over all devices, metrics are {name: (sum, count)}.
      optimizer: of `make_optimizer`, or another.
      trained: a tree of bool like the parameters; no gradient is computed where it is False.
      seed: of dropout and the like; the key of a step is a function of (seed, step, device).
      accumulate: parts the shard is cut into, one after the other: less memory, the same update.
      average_decay: of the moving average of the parameters per step; 0 switches it off.
      schedules: {group: learning rate as a function of the step}, reported as "lr/<group>".

    Returns:
      step(state, batch) -> (state, metrics); metrics are summed over devices and hold "loss" and
      "grad_norm", all (sum, count). Where one of these is not finite, the state stays as it was but
      for its step, s, which is now -1 - s: no further step changes it.
    """

    def loss_of_part(params, model_state, part, rng):
        params = jax.tree.map(
            lambda x, train: x if train else jax.lax.stop_gradient(x), params, trained
        )
        return loss_fn(params, model_state, part, rng)

    grad_fn = jax.value_and_grad(loss_of_part, has_aux=True)

    def gradients(state, batch, rng):
        if accumulate == 1:
            (total, (count, metrics, model_state)), grads = grad_fn(
                state.params, state.model_state, batch, rng
            )
            return grads, total, count, metrics, model_state
        parts = jax.tree.map(lambda x: x.reshape(accumulate, -1, *x.shape[1:]), batch)

        def one_part(carry, part_and_rng):
            model_state, sums = carry
            part, rng = part_and_rng
            (total, (count, metrics, model_state)), grads = grad_fn(
                state.params, model_state, part, rng
            )
            sums = jax.tree.map(jnp.add, sums, (grads, total, count, metrics))
            return (model_state, sums), None

        rngs = jax.random.split(rng, accumulate)
        first = jax.tree.map(lambda x: x[0], parts)
        shapes = jax.eval_shape(grad_fn, state.params, state.model_state, first, rngs[0])
        (total, (count, metrics, _)), grads = shapes
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (grads, total, count, metrics))
        (model_state, sums), _ = jax.lax.scan(one_part, (state.model_state, zeros), (parts, rngs))
        return *sums, model_state

    def train_step(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, tuple[Any, Any]]]:
        rng = jax.random.fold_in(jax.random.key(seed), state.step)
        rng = jax.random.fold_in(rng, jax.lax.axis_index(AXIS))
        grads, total, count, metrics, model_state = gradients(state, batch, rng)
        # Sums and counts are added before the division: devices need not hold equal weight.
        grads, total, count, metrics = jax.lax.psum((grads, total, count, metrics), AXIS)
        # The mean of the changes: statistics that are frozen stay as they are, bit for bit.
        model_state = jax.tree.map(
            lambda old, new: old + jax.lax.pmean(new - old, AXIS), state.model_state, model_state
        )
        grads = jax.tree.map(lambda g: g / jnp.maximum(count, 1.0), grads)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average_decay:
            # Early on the average follows quickly, so that the initial weights are soon forgotten.
            t = state.step.astype(jnp.float32)
            decay = jnp.minimum(average_decay, (1.0 + t) / (10.0 + t))
            average = jax.tree.map(lambda a, p: decay * a + (1.0 - decay) * p, average, params)
        grad_norm = optax.global_norm(grads)
        metrics |= {"loss": (total, count), "grad_norm": (grad_norm, 1.0)}
        for name, schedule in (schedules or {}).items():
            metrics[f"lr/{name}"] = (schedule(state.step), 1.0)
        new = TrainState(state.step + 1, params, model_state, opt_state, average)
        # A step that is not finite changes nothing, and none after it does: what led to it is kept.
        fine = (state.step >= 0) & jnp.isfinite(total) & jnp.isfinite(grad_norm)
        kept = state.replace(step=jnp.where(state.step >= 0, -1 - state.step, state.step))
        return jax.tree.map(lambda a, b: jnp.where(fine, a, b), new, kept), metrics

    return train_step
