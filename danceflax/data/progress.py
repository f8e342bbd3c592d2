"""Shows how far long work is: a bar on a terminal, now and then a line elsewhere."""

import contextlib
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 10.0  # between the lines of a log file


@contextlib.contextmanager
def show_progress(what, unit):
    """A context whose value is called as progress(done, total); `what` is being done to `unit`s.

    On a terminal it draws a bar; into a pipe or file it prints a line every LINE_SECONDS and one
    when all is done.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TextColumn(unit), TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    last = time.monotonic()

    def show(done, total):
        nonlocal last
        if done == total or time.monotonic() - last > LINE_SECONDS:
            last = time.monotonic()
            console.print(f"{what}: {done:,} of {total:,} {unit}", markup=False)

    yield show
