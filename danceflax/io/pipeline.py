"""Work that overlaps: stages of a stream in threads of their own, in order, a few items ahead.

A stage is an iterator over the one before it, so that a chain of them reads as one of generators:

    frames = run_ahead(read_video(path))                  # decoded in a thread,
    drawn = map_ahead(draw, frames)                       # drawn in a few,
    for picture in drawn: ...                             # used here

What a stage raises, its user sees, as of a plain generator, behind the items before it. A stage
that is left, by an error or Ctrl-C as well, ends those before it, and no thread stays behind.
"""

import concurrent.futures
import contextlib
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")

AHEAD = 4  # items that wait between two stages
THREADS = min(8, os.cpu_count() or 1)


def run_ahead(items: Iterable[Item], ahead: int = AHEAD) -> Iterator[Item]:
    """Passes items on in order, while a thread makes the next ones.

    Args:
      items: only the thread touches them.
      ahead: how many may be made before they are asked for.
    """
    made, room, left = queue.SimpleQueue(), threading.Semaphore(ahead), threading.Event()

    def make():
        fault = None
        try:
            with _closing(items):
                iterator = iter(items)
                while room.acquire() and not left.is_set():
                    made.put((next(iterator), None))
        except StopIteration:
            pass
        except BaseException as error:
            fault = error
        made.put((made, fault))  # the last

    thread = threading.Thread(target=make, name="run_ahead", daemon=True)
    thread.start()
    try:
        while (item := made.get())[0] is not made:
            room.release()
            yield item[0]
        if item[1] is not None:
            raise item[1]
    finally:
        left.set()
        room.release()
        thread.join()


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int = THREADS
) -> Iterator[Result]:
    """function(item) of each item, in order, computed in a few threads.

    Args:
      function: what OpenCV, PyAV or files keep busy; Python itself runs in one thread at a time.
      items: as many are taken ahead as there are threads.
      threads: how many work.
    """

    def begin(pool):
        with _closing(items):
            for item in items:
                yield pool.submit(function, item)

    with (
        concurrent.futures.ThreadPoolExecutor(threads, "map_ahead") as pool,
        contextlib.closing(run_ahead(begin(pool), threads)) as begun,
    ):
        for future in begun:
            yield future.result()


def _closing(items):
    """A context that ends a generator: a traceback may keep it alive for long."""
    is_generator = isinstance(items, Generator)
    return contextlib.closing(items) if is_generator else contextlib.nullcontext()
