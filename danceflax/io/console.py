"""The screen: what is said, tables, and how far some work is."""

import contextlib
import contextvars
import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

LINE_SECONDS = 10.0  # between the lines of a log file
FILE_WIDTH = 200  # columns of a table in a file, where nothing wraps


class _Screen(Console):
    """What cannot be shown, for a full disk or a closed pipe, stops no work."""

    def print(self, *args, **options):
        with contextlib.suppress(OSError):
            super().print(*args, **options)

    def on_broken_pipe(self):
        with open(os.devnull, "w") as nothing:  # where what is left in Python's buffer goes
            os.dup2(nothing.fileno(), self.file.fileno())


# The standard output. `quiet` is set in all processes of a run but the first.
console = _Screen(soft_wrap=True, highlight=False, markup=False)
errors = _Screen(stderr=True, soft_wrap=True, highlight=False, markup=False)

_listener = contextvars.ContextVar("listener", default=None)


@contextlib.contextmanager
def hear_progress(listener: Callable[[str, str, int, int | None], None]) -> Iterator[None]:
    """A block in which progress is told to listener(what, unit, done, total) instead of shown, in
    this thread alone. What it raises ends the work."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextlib.contextmanager
def show_progress(what: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """A context whose value is called as progress(done, total); `what` is being done to `unit`s.

    On a terminal it draws a bar; into a pipe or file, or in a thread of a cluster's worker, it
    prints a line every LINE_SECONDS and one when all is done. A total of None is not known.
    In a block of `hear_progress` nothing is shown.
    """
    if listener := _listener.get():
        yield functools.partial(listener, what, unit)
        return
    if errors.is_terminal and threading.current_thread() is threading.main_thread():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TextColumn(unit), TimeRemainingColumn(), console=errors) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    last = time.monotonic()

    def show(done, total):
        nonlocal last
        if done == total or time.monotonic() - last > LINE_SECONDS:
            last = time.monotonic()
            errors.print(f"{what}: {done:,} of {'?' if total is None else f'{total:,}'} {unit}")

    yield show


def track(items: Iterable, total: int | None, what: str, unit: str) -> Iterator:
    """Passes items on, showing how many have passed."""
    with show_progress(what, unit) as progress:
        for done, item in enumerate(items, 1):
            yield item
            progress(done, total)


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Prints a table on the standard output; columns of numbers go to the right."""
    rows = [[f"{x:,}" if isinstance(x, int) else str(x) for x in row] for row in rows]
    table = Table(title=title, title_justify="left", header_style="bold")
    for i, name in enumerate(header):
        numeric = all(row[i].replace(",", "").replace(".", "").isdigit() for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table, width=None if console.is_terminal else FILE_WIDTH)


def print_faults(messages: Iterable[str], kind: str = "left out") -> int:
    """Prints what went wrong, a line each after its kind. 1 if there was anything, for the exit
    status, else 0."""
    messages = list(messages)
    for message in messages:
        errors.print(f"{kind}: {message}")
    return 1 if messages else 0


def summarise(names: Sequence[str], most: int = 5) -> list[str]:
    """One line that counts names and says the first of them; none if there are none."""
    if not names:
        return []
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return [f"{len(names):,}: {', '.join(names[:most])}{rest}"]
