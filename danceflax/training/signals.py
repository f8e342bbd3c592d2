"""Stopping on SIGTERM and SIGINT: finish the step, save, leave with a status that says so."""

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from danceflax.io.console import errors


class Stopped(Exception):
    """Raised between the batches of an evaluation that a request to stop has cut short."""


class StopRequest:
    """Turns the first SIGTERM or SIGINT inside `with` into a request; a second one ends at once.

    Before `begin` there is nothing to save: at start-up, and while the first step is compiled, the
    first signal ends the process. A thread of its own sees to that, for a compiler lets no Python
    handler run.

    Attributes:
      signal: the signal that asked, or None.
    """

    def __init__(self) -> None:
        self.signal = None
        self._begun = False

    def __enter__(self) -> "StopRequest":
        kinds = (signal.SIGTERM, signal.SIGINT)
        self._previous = {kind: signal.signal(kind, lambda *_: None) for kind in kinds}
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for kind, handler in self._previous.items():
            signal.signal(kind, handler)
        os.close(self._write)
        self._thread.join()
        os.close(self._read)

    def begin(self) -> None:
        """From now on a signal waits for the step in work."""
        self._begun = True

    @property
    def status(self) -> int:
        """The exit status of a run that a signal has stopped, as a shell has it: 143 or 130."""
        return 128 + self.signal

    def agreed(self, ask: bool = True) -> bool:
        """True if this process was asked to stop; with several processes, if any was.

        All processes must stop at the same step, so they compare notes, and only when `ask` says so
        (the same on all of them).
        """
        if jax.process_count() > 1:
            if not ask:
                return False
            asked = multihost_utils.process_allgather(np.int32(self.signal or 0))
            if highest := int(np.max(asked)):
                self.signal = signal.Signals(highest)
        return self.signal is not None

    def between(self, batches: Iterable) -> Iterator:
        """Passes batches on. Raises Stopped before the next one: this run is asked to stop."""
        for batch in batches:
            if self.agreed():
                raise Stopped
            yield batch

    def _watch(self):
        while number := os.read(self._read, 1):
            kind = signal.Signals(number[0])
            if kind not in self._previous:
                continue
            if self.signal or not self._begun:
                when = "again" if self.signal else "before the first step; nothing was to be saved"
                errors.print(f"stopped by {kind.name} {when}")
                os._exit(128 + kind)
            self.signal = kind
