"""What a person sees of a training: a progress bar, metrics.jsonl, TensorBoard."""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from danceflax.io.console import console
from danceflax.io.images import encode_image
from danceflax.training.logs import Logs


class Report:
    """Writes WORKDIR/metrics.jsonl, TensorBoard events in WORKDIR/tensorboard, and the screen; at
    the end WORKDIR/curves.png.

    On a terminal a progress bar runs; into a pipe go plain lines, one a logged step. Only the first
    process of a multi-host training writes. Nothing that cannot be written stops a training.

    Args:
      workdir: made if needed.
      steps: of the whole training.
      first: the step it begins at.
      batch_size: samples a step, for the speed.
      samples: what they are called in the speed.
      trackers: of `open_trackers`; they get all that TensorBoard gets.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        steps: int,
        first: int,
        batch_size: int,
        samples: str = "images",
        trackers: Sequence[Any] = (),
    ):
        self.active, self.samples = not console.quiet, samples
        self.steps, self.batch_size, self._trackers = steps, batch_size, trackers
        self._logged, self._time = first, time.monotonic()
        self._bar = self._logs = None
        if not self.active:
            return
        self._logs, self._workdir = Logs(workdir, first), workdir
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("", total=steps, completed=first, text="compiling")
            self._bar.start()

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def advance(self, step: int) -> None:
        """A step was dispatched."""
        if self._bar:
            self._bar.update(self._task, completed=step)

    def scalars(
        self,
        step: int,
        split: str,
        values: Mapping[str, float],
        shown: Mapping[str, float] | None = None,
    ) -> None:
        """Logs {name: number} of a split ("train", "val") at a step; the screen gets `shown`."""
        if not self.active:
            return
        values = dict(values)
        if split == "train":
            now = time.monotonic()
            done = (step - self._logged) * self.batch_size
            speed = done / max(now - self._time, 1e-9)
            values[f"{self.samples}_per_second"] = speed
            self._logged, self._time = step, now
        line = {"step": step, "split": split} | {k: _round(v) for k, v in values.items()}
        self._logs.write_line(line)
        named = {f"{split}/{name}": x for name, x in values.items()}
        self._logs.write_scalars(step, named)
        for tracker in self._trackers:
            tracker.scalars(step, named)
        if split != "train":
            text = "  ".join(f"{name} {value:.4g}" for name, value in (shown or values).items())
            console.print(f"step {step}  {split}  {text}")
        elif self._bar:
            text = f"loss {values['loss']:.4g}  {speed:.1f} {self.samples}/s"
            self._bar.update(self._task, text=text)
        else:
            left = (self.steps - step) * self.batch_size / speed
            console.print(
                f"step {step}/{self.steps}  loss {values['loss']:.4g}  "
                f"{speed:.1f} {self.samples}/s  {_duration(left)} left"
            )

    def picture(self, step: int, name: str, image: UInt8[np.ndarray, "H W 3"]) -> None:
        """Logs an RGB image to TensorBoard."""
        if not self.active:
            return
        self._logs.write_image(step, name, encode_image(image, ".png"), image.shape[:2])
        for tracker in self._trackers:
            tracker.picture(step, name, image)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves the time spent inside `with` out of the training's speed."""
        start = time.monotonic()
        yield
        self._time += time.monotonic() - start

    def close(self) -> None:
        if self._bar:
            self._bar.stop()
        if self._logs:
            from danceflax.training.curves import draw_curves  # with it matplotlib

            self._logs.close()
            draw_curves(self._workdir)
        for tracker in self._trackers:
            tracker.close()


def _round(value):
    value = np.asarray(value).item()
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
