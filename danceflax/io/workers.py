"""One function over many tasks, in processes or on a cluster, with progress."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cv2

from danceflax.errors import UserError
from danceflax.io.cluster import map_cluster


def run_tasks(
    function: Callable[[Any], Any],
    tasks: Iterable,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    scheduler: str = "",
) -> Iterator:
    """Yields function(task) for each task, in order.

    Args:
      function, tasks: of module level and plain data, for the processes are fresh ones.
      workers: processes, by default one a CPU core; with 1 the work is done here.
      progress: called as progress(done, total) after each task.
      scheduler: address of a Dask cluster that does the work instead of processes here.
    """
    if workers is not None and workers < 1:
        raise UserError(f"--workers={workers}: expected 1 or more processes")
    if workers is not None and scheduler:
        raise UserError("--workers is for processes here, --scheduler for a cluster; give one")
    tasks = list(tasks)
    if progress:
        progress(0, len(tasks))
    if scheduler:
        results = map_cluster(function, tasks, scheduler)
    else:
        results = _results(function, tasks, workers)
    for done, result in enumerate(results, 1):
        if progress:
            progress(done, len(tasks))
        yield result


def _results(function, tasks, workers):
    workers = min(workers or os.cpu_count(), len(tasks))
    if workers <= 1:
        yield from map(function, tasks)
        return
    # Fresh processes: a forked one would inherit the threads' locks of OpenCV and JAX.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin_worker
    ) as pool:
        try:
            with _interrupts_ignored():
                results = pool.map(function, tasks)
            yield from results
        except BaseException:
            # In this order: that a process ends under tasks that were cancelled is, up to Python
            # 3.11, an error of the pool's own thread.
            pool.shutdown(wait=False, cancel_futures=True)
            started = set(multiprocessing.active_children()) - others
            for process in started:
                process.terminate()  # the task at hand may take minutes
            for process in started:
                process.join()
            raise


def _begin_worker():
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """Ends this process when the one that started it has been killed: nobody else would."""
    multiprocessing.parent_process().join()
    os._exit(1)


@contextlib.contextmanager
def _interrupts_ignored():
    """Processes started in this block do not answer to Ctrl-C; who started them does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
