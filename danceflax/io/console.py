"""What a command shows: how far its work is, and tables."""

import contextlib
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

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


def print_rows(title, columns, rows):
    """Prints a table on the standard output."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=200)  # a file wraps nothing
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row))
    console.print(table)


def print_faults(messages):
    """Prints what went wrong, a line each; 1 if there was anything, for the exit status, or 0."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for message in messages:
        console.print(f"left out: {message}")
    return 1 if messages else 0
