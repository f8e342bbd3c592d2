"""Loops of a CPU: what is sparse is gone through number by number, as a program in C would.

A sort of all places, nearly all of them empty, takes longer by far. What stands here is for
`lax.platform_dependent`: elsewhere, sorts and many at once are what is fast.
"""

import importlib.metadata
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array, Bool, Float, Int, Num

KNOWN = "0.10.", "0.11.", "0.12."  # jaxlib; a later one may mean something else by the marks


def can_mark() -> bool:
    """Whether this jaxlib is known to heed the marks of `one_function`."""
    return importlib.metadata.version("jaxlib").startswith(KNOWN)


def one_function(run: Callable) -> Callable:
    """`run`, compiled by XLA's CPU backend to one function, in which a step of a loop takes some
    nanoseconds; else each operation of each step is a function of its own, and takes a tenth of a
    microsecond.

    That backend marks the smallest of loops so by itself. It ends the process if it meets here what
    it does not expect: `run` may hold loops of single numbers and fill arrays, but no scatter, no
    sort and no other work on large arrays, and its arguments may be no constants.
    """

    @jax.jit
    def unmarked(*arguments):
        with set_xla_metadata(xla_cpu_small_call=None, inlineable=None):
            return run(*arguments)

    def marked(*arguments):
        with set_xla_metadata(xla_cpu_small_call="true", inlineable="false"):
            return unmarked(*arguments)

    return marked


def get(x: Num[Array, "N ..."], i: Int[Array, ""]) -> Num[Array, "..."]:
    """x[i], 0 <= i."""
    return lax.dynamic_index_in_dim(x, i, keepdims=False, allow_negative_indices=False)


def put(x: Num[Array, "N ..."], i: Int[Array, ""], value: Num[Array, "..."]) -> Num[Array, "N ..."]:
    """x.at[i].set(value), 0 <= i, written in place and without a scatter."""
    return lax.dynamic_update_index_in_dim(x, value, i, 0, allow_negative_indices=False)


class Best(NamedTuple):
    """The best values of each of some owners, best first; of equals the first place is the better.

    Attributes:
      values: k for each owner, one owner after the other, and one place for what falls behind.
      places: where they come from.
      held: how many each owner has.
    """

    values: Float[Array, " N+1"]
    places: Int[Array, " N+1"]
    held: Int[Array, " O"]

    @classmethod
    def of_none(cls, owners: int, k: int) -> "Best":
        """An empty table."""
        values = jnp.zeros(owners * k + 1), jnp.zeros(owners * k + 1, jnp.int32)
        return cls(*values, jnp.zeros(owners, jnp.int32))

    def insert(
        self,
        owner: Int[Array, ""],
        value: Float[Array, ""],
        place: Int[Array, ""],
        exists: Bool[Array, ""] | bool = True,
    ) -> "Best":
        """The table with one value more, if it exists and its owner has less than k better ones."""
        last = len(self.values) - 1
        k = last // len(self.held)
        first, held = owner * k, get(self.held, owner)

        def is_better(state):
            slot, values, places = state
            before = first + jnp.maximum(slot - 1, 0)
            rival = get(values, before)
            better = (value > rival) | ((value == rival) & (place < get(places, before)))
            return exists & (slot > 0) & better

        def move(state):
            slot, values, places = state
            here, to = first + slot - 1, jnp.where(slot < k, first + slot, last)
            values, places = put(values, to, get(values, here)), put(places, to, get(places, here))
            return slot - 1, values, places

        slot, values, places = lax.while_loop(is_better, move, (held, self.values, self.places))
        to = jnp.where(exists & (slot < k), first + slot, last)
        held = put(self.held, owner, jnp.minimum(held + exists, k))
        return Best(put(values, to, value), put(places, to, place), held)
