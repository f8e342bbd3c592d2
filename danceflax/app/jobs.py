"""Work of a page: one piece at a time, in a thread that says how far it is and can be stopped."""

import collections
import concurrent.futures
import pathlib
import shutil
import tempfile
import threading
import typing
from collections.abc import Callable, Iterable

from danceflax.io.console import hear_progress

_worker = concurrent.futures.ThreadPoolExecutor(1, "danceflax")


class Stopped(Exception):
    """Somebody has stopped the work."""


class Progress(typing.NamedTuple):
    """How far some work is: `done` of `total` units; a total of None is not known."""

    what: str = "waiting for its turn"
    unit: str = ""
    done: int = 0
    total: int | None = None


class Job:
    """A call that waits for its turn and is made.

    Args:
      function: is called with `folder`.
      folder: of its own, that it writes to; goes with `close`.

    Attributes:
      progress: the `Progress` of what the call does now, as what it calls tells `show_progress`.
    """

    def __init__(self, function: Callable[[pathlib.Path], typing.Any], folder: pathlib.Path):
        self.progress, self.folder, self._stop = Progress(), folder, threading.Event()
        self._future = _worker.submit(self._run, function)

    @property
    def is_done(self) -> bool:
        """Whether `result` would come at once."""
        return self._future.done()

    def result(self) -> typing.Any:
        """What the call returns, or raises. Raises Stopped: it was stopped."""
        try:
            return self._future.result()
        except concurrent.futures.CancelledError:
            raise Stopped from None

    def stop(self) -> None:
        """Ends the work where it next tells its progress; what it has half written goes."""
        self._stop.set()
        self._future.cancel()

    def close(self, files: Iterable[pathlib.Path] = ()) -> None:
        """Stops the work; once it has ended, removes what it has written, and these files."""

        def remove(_):
            shutil.rmtree(self.folder, ignore_errors=True)
            for file in files:
                file.unlink(missing_ok=True)

        self.stop()
        self._future.add_done_callback(remove)

    def _run(self, function):
        self._hear("loading the network", "", 0, None)
        with hear_progress(self._hear):
            return function(self.folder)

    def _hear(self, *progress):
        if self._stop.is_set():
            raise Stopped
        self.progress = Progress(*progress)


class Jobs:
    """The last job of each page that is open, and what was uploaded there; `home` is where their
    folders lie."""

    def __init__(self, home: pathlib.Path):
        self._home, self._jobs, self._uploads = home, {}, collections.defaultdict(set)

    def begin(
        self, page: str, upload: pathlib.Path, function: Callable[[pathlib.Path], typing.Any]
    ) -> Job:
        """Begins a page's next job, on an upload; the one before goes, with what it has found."""
        if job := self._jobs.pop(page, None):
            job.close()
        self._uploads[page].add(upload)
        folder = pathlib.Path(tempfile.mkdtemp(dir=self._home))
        self._jobs[page] = Job(function, folder)
        return self._jobs[page]

    def stop(self, page: str) -> None:
        """Stops a page's job, if it has one."""
        if job := self._jobs.get(page):
            job.stop()

    def close(self, page: str) -> None:
        """Ends a page's job, if it has one, with what it has found and what was uploaded for it,
        unless another page has uploaded the same."""
        own = self._uploads.pop(page, set()).difference(*self._uploads.values())
        if job := self._jobs.pop(page, None):
            job.close(own)

    def close_all(self) -> None:
        """`close` of every page."""
        for page in list(self._jobs):
            self.close(page)
