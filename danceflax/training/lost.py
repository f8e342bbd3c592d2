"""Several processes end together: where one has gone, the others say so in a line, status 3."""

import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator

import jax

from danceflax.errors import UserError
from danceflax.io.console import errors

LOST = "another process of this run has ended; the same commands go on from the last checkpoint"
STATUS = 3
# What collectives say in an exception; and JAX's runtime, in C++, before it aborts.
_RAISED = re.compile("gloo|nccl|heartbeat|coordination", re.IGNORECASE)
_PRINTED = re.compile(
    b"error from coordination service|distributed service detected fatal|stopped sending heartbeats"
)


@contextlib.contextmanager
def leave_together() -> Iterator[None]:
    """A context in which an error ends this process at once, where there are others: to wait for
    them at the end, as JAX does, would be to wait for those that wait for this one."""
    try:
        yield
    except (UserError, ValueError, RuntimeError) as error:
        if jax.process_count() == 1:
            raise
        if isinstance(error, UserError):
            errors.print(f"error: {error}")
            os._exit(2)
        if _RAISED.search(str(error)):
            _leave()
        raise


def watch_runtime() -> None:
    """Leaves as soon as JAX's runtime says, on the standard error, that it has lost a process.

    It says so on a page, and aborts; it has no other way to tell. From now on what C++ writes there
    comes by this process, which passes the rest on. Python's sys.stderr does without.
    """
    screen = os.dup(2)
    read, write = os.pipe()
    os.dup2(write, 2)
    os.close(write)
    sys.stderr = open(screen, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    # The handler of SIGABRT is C's `sleep`, which takes the signal's number, six, for seconds: so
    # long whoever aborts waits for the thread below to be quicker.
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    libc.signal(signal.SIGABRT, ctypes.cast(libc.sleep, ctypes.c_void_p))
    threading.Thread(target=_pass_on, args=(read, screen), daemon=True).start()


def _pass_on(read, screen):
    while said := os.read(read, 1 << 16):
        if _PRINTED.search(said):
            _leave()
        with contextlib.suppress(OSError):  # a screen that has gone
            os.write(screen, said)


def _leave():
    errors.print(LOST)
    os._exit(STATUS)
