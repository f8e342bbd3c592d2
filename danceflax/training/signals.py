"""Stopping on SIGTERM and SIGINT: finish the step, save, leave."""

import signal

import jax
import numpy as np
from jax.experimental import multihost_utils


class StopRequest:
    """Turns the first SIGTERM or SIGINT inside `with` into a request; a second one ends at once."""

    def __init__(self):
        self.signal = None

    def __enter__(self):
        kinds = (signal.SIGTERM, signal.SIGINT)
        self._previous = {kind: signal.signal(kind, self._handle) for kind in kinds}
        return self

    def __exit__(self, *_):
        for kind, handler in self._previous.items():
            signal.signal(kind, handler)

    def _handle(self, kind, _):
        self.signal = signal.Signals(kind)
        for kind, handler in self._previous.items():
            signal.signal(kind, handler)

    def agreed(self, ask):
        """True if this process was asked to stop; with several processes, if any was.

        All processes must stop at the same step, so they compare notes, and only when `ask` says so
        (the same on all of them).
        """
        if jax.process_count() == 1:
            return self.signal is not None
        if not ask:
            return False
        asked = np.array(self.signal is not None)
        return bool(np.any(multihost_utils.process_allgather(asked)))
