"""Stages in threads: order, bounds, errors as of plain generators, and no thread that stays."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from danceflax.io.pipeline import map_ahead, run_ahead

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_thread_stays():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def numbers(stop=None, made=None, closed=None):
    """0, 1, 2, ...; fails at `stop`; notes what it made, and that it was closed."""
    try:
        number = 0
        while True:
            if number == stop:
                raise LookupError(f"no {number}")
            if made is not None:
                made.append(number)
            yield number
            number += 1
    finally:
        if closed is not None:
            closed.append(threading.current_thread())


def slow_square(number):
    time.sleep(0.002 * (3 - number % 3))  # later ones are done first
    return number**2


def test_all_items_come_in_order():
    chain = map_ahead(slow_square, run_ahead(iter(range(40)), 3), threads=4)
    assert list(run_ahead(chain)) == [n**2 for n in range(40)]
    assert list(run_ahead([])) == list(map_ahead(slow_square, [])) == []


def test_no_more_is_made_than_may_wait():
    made = []
    stage = run_ahead(numbers(made=made), 3)
    for taken in range(1, 5):
        next(stage)
        time.sleep(0.02)
        assert len(made) <= taken + 3
    stage.close()
    made.clear()
    stage = map_ahead(str, numbers(made=made), threads=2)
    assert next(stage) == "0"
    time.sleep(0.02)
    assert len(made) <= 3
    stage.close()


@pytest.mark.parametrize("stage", [run_ahead, lambda items: map_ahead(abs, items)])
def test_a_fault_comes_behind_the_items_before_it(stage):
    seen = []
    with pytest.raises(LookupError, match="no 5"):
        for item in stage(run_ahead(numbers(stop=5))):
            seen.append(item)
    assert seen == [0, 1, 2, 3, 4]


def test_a_fault_of_a_function():
    seen = []
    with pytest.raises(ZeroDivisionError):
        for item in map_ahead(lambda n: 12 // (4 - n), run_ahead(numbers())):
            seen.append(item)
    assert seen == [3, 4, 6, 12]


def test_who_leaves_a_chain_ends_all_of_it():
    closed = []
    for number in map_ahead(slow_square, run_ahead(run_ahead(numbers(closed=closed)))):
        if number == 9:
            break
    del number
    assert len(closed) == 1 and closed[0] is not threading.main_thread()


def test_stages_overlap():
    """Three stages of 10 ms an item take hardly longer than one."""

    def rest(item):
        time.sleep(0.01)
        return item

    start = time.perf_counter()
    chain = run_ahead(rest(i) for i in run_ahead(rest(i) for i in range(30)))
    assert [rest(i) for i in chain] == list(range(30))
    assert time.perf_counter() - start < 0.6  # one after the other: 0.9


ENDLESS = """
import itertools, time
from danceflax import cli
from danceflax.io.pipeline import map_ahead, run_ahead

def main(_):
    for n in map_ahead(str, run_ahead(itertools.count())):
        print(n, flush=True)
        time.sleep(0.01)

cli.run(main, "")
"""


def test_ctrl_c_ends_a_chain():
    command = [sys.executable, "-c", ENDLESS]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"0\n"
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and b"stopped by SIGINT" in errors
    assert b"Traceback" not in errors
