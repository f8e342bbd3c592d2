"""A training's log files. What cannot be written of them is left out, and the training goes on."""

import contextlib
import errno
import functools
import json
import os
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from danceflax.errors import UserError
from danceflax.io.console import errors
from danceflax.io.files import open_regular, write_text

FLUSH_SECONDS = 10.0  # how long TensorBoard may have to wait for what was logged


class Logs:
    """Writes WORKDIR/metrics.jsonl, and TensorBoard events in WORKDIR/tensorboard.

    On a full disk or one that is gone, a line on the screen says so, once; a whole line or record
    is written or none, and each new one is tried.

    Args:
      workdir: made if needed.
      first: the step that a training begins at: what was logged of later ones, and what a killed
        one has cut short, goes.
    """

    def __init__(self, workdir: str | os.PathLike, first: int):
        self._workdir, self._silent = pathlib.Path(workdir), False
        self._lines = self._events = None
        self._flushed = time.monotonic()
        with self._bearing_errors():
            self._workdir.mkdir(parents=True, exist_ok=True)
            _drop_after(self._workdir / "metrics.jsonl", first)

    def write_line(self, values: Mapping[str, Any]) -> None:
        """Adds a line to metrics.jsonl."""
        with self._bearing_errors():
            if self._lines is None:
                path = self._workdir / "metrics.jsonl"
                self._lines = open(path, "ab", buffering=0, opener=open_regular)  # noqa: SIM115
            data, start = json.dumps(values).encode() + b"\n", self._lines.tell()
            if self._lines.write(data) != len(data):
                self._lines.truncate(start)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write_events(self, step: int, values: Sequence[Any]) -> None:
        """Adds TensorBoard's summary values of a step."""
        EventsWriter, Event, Summary = _load_tensorboard()
        with self._bearing_errors():
            if self._events is None:
                folder = self._workdir / "tensorboard"
                folder.mkdir(exist_ok=True)
                self._events = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
            event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
            self._events.write_event(event)
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self._events.flush()
                self._flushed = time.monotonic()

    def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds {tag: number} to TensorBoard."""
        _, _, Summary = _load_tensorboard()
        values = values.items()
        self.write_events(step, [Summary.Value(tag=tag, simple_value=x) for tag, x in values])

    def write_image(self, step: int, tag: str, png: bytes, size: tuple[int, int]) -> None:
        """Adds a picture to TensorBoard: the bytes of a PNG of that (height, width)."""
        _, _, Summary = _load_tensorboard()
        image = Summary.Image(encoded_image_string=png, height=size[0], width=size[1], colorspace=3)
        self.write_events(step, [Summary.Value(tag=tag, image=image)])

    def close(self) -> None:
        with self._bearing_errors():
            if self._events:
                self._events.close()
            if self._lines:
                self._lines.close()

    @contextlib.contextmanager
    def _bearing_errors(self):
        try:
            yield
        except (OSError, UserError) as error:
            lines, events, self._lines, self._events = self._lines, self._events, None, None
            for file in (lines, events):
                with contextlib.suppress(OSError):
                    file and file.close()
            if not self._silent:
                reason = getattr(error, "strerror", None) or error
                errors.print(f"{self._workdir}: logs cannot be written: {reason}; going on without")
            self._silent = True


@functools.cache
def _load_tensorboard():
    """tensorboardX's EventsWriter, Event and Summary. It would import PyTorch, where that is
    installed, for seconds and for nothing that is used here: it finds none."""
    hide = "torch" not in sys.modules
    if hide:
        sys.modules["torch"] = None
    try:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary
    finally:
        if hide:
            del sys.modules["torch"]
    return EventsWriter, Event, Summary


def _drop_after(path, step):
    """Rewrites a file of JSON lines with those up to a step; a line that is none goes, too."""

    def is_kept(line):
        try:
            return json.loads(line)["step"] <= step
        except (ValueError, KeyError, TypeError, RecursionError):
            return False

    if path.exists():
        with open(path, errors="replace", opener=open_regular) as file:
            lines = file.read().splitlines()
        write_text(path, "".join(f"{line}\n" for line in lines if is_kept(line)))
