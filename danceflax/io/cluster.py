"""A Dask cluster that does tasks, in place of this machine's processes.

Its machines see the data under the same paths, and have this package. Dask does the tasks of a
worker that is gone again, on another: a task is whole or not at all, and may be done twice.
"""

import concurrent.futures
import functools
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2

from danceflax.errors import UserError
from danceflax.io.console import errors

PATIENCE = 10  # seconds that a scheduler may take to answer


def map_cluster(function: Callable[[Any], Any], tasks: Sequence, address: str) -> Iterator:
    """Yields function(task) for each task, in order, of the cluster whose scheduler is at an
    address, host:port or with a protocol before it. What has not begun is cancelled at an error, or
    if the iterator is closed.

    Raises:
      UserError: Dask is not installed, the scheduler does not answer, or the cluster fails.
    """
    distributed = _import_distributed()
    with _connect(distributed, address) as client:
        if not client.nthreads():
            errors.print(f"{address}: the cluster has no worker yet; waiting for one")
        pool = client.get_executor(pure=False)  # a task is for its files, whoever asked before
        try:
            yield from pool.map(functools.partial(_do_task, function), tasks)
        except distributed.KilledWorker as error:
            died = f"{error.allowed_failures + 1} workers died of a task"
            raise UserError(f"--scheduler={address}: {died}; their logs say why") from None
        except concurrent.futures.CancelledError:
            message = "the cluster has ended, or lost what it did; the same command goes on"
            raise UserError(f"--scheduler={address}: {message}") from None
        except OSError as error:
            message = f"{error}; all machines must see the data under the same paths"
            raise UserError(f"--scheduler={address}: {message}") from None
        except (ImportError, RuntimeError) as error:
            missing = error.__cause__ or error
            if not isinstance(missing, ImportError):
                raise
            message = f"{missing}; all machines need the packages of this one"
            raise UserError(f"--scheduler={address}: {message}") from None
        finally:
            pool.shutdown(wait=False)


def _import_distributed():
    try:
        import distributed
    except ImportError:
        raise UserError("--scheduler needs Dask: pip install 'danceflax[cluster]'") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # they are told in a line
    return distributed


def _connect(distributed, address):
    if not re.fullmatch(r"(\w+://)?[^/\s]+:\d+", address):
        raise UserError(f"--scheduler={address}: expected HOST:PORT of a Dask scheduler")
    try:
        return distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"--scheduler={address}: no Dask scheduler answers: {error}") from None


def _do_task(function, task):
    cv2.setNumThreads(1)  # a worker's threads are what it was given
    return function(task)
