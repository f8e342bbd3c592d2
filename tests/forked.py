"""Python programs as processes that are forked from one which has imported what all need: to start
an interpreter and to import JAX costs three CPU seconds, a fork next to none."""

import atexit
import multiprocessing
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import threading

import jax

ROOT = pathlib.Path(__file__).parents[1]
IMPORTS = [
    "danceflax.dance.task", "danceflax.pose.task", "danceflax.training.train", "tensorboardX",
]  # fmt: skip


class Program:
    """`python *words`, as subprocess.Popen starts it, its output and errors as text in pipes.

    It ends, with SIGTERM, when this process does.
    """

    def __init__(self, *words, cwd=ROOT, env=None):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTS)
        pipes = [context.Pipe(duplex=False) for _ in range(2)]
        what = [str(word) for word in words], str(cwd), dict(env or os.environ)
        ends = [end for _, end in pipes]
        self._process = context.Process(target=_run, args=(*what, ends), daemon=True)
        self._process.start()
        for end in ends:
            end.close()
        self.pid = self._process.pid
        self.stdout, self.stderr = (os.fdopen(os.dup(pipe.fileno())) for pipe, _ in pipes)

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self.returncode

    def send_signal(self, kind):
        if self.returncode is None:
            os.kill(self.pid, kind)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.pid, timeout)
        return self.returncode

    def communicate(self, timeout=None):
        """(what it has printed, its errors). One that is not through in time is killed."""
        killer = threading.Timer(timeout or threading.TIMEOUT_MAX, self.kill)
        errors = []
        reader = threading.Thread(target=lambda: errors.append(self.stderr.read()))
        for thread in (killer, reader):
            thread.daemon = True
            thread.start()
        output = self.stdout.read()
        reader.join()
        self.wait()
        killer.cancel()
        return output, errors[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.wait()


def _run(words, cwd, environment, pipes):
    for descriptor, pipe in zip((1, 2), pipes, strict=True):
        os.dup2(pipe.fileno(), descriptor)
        pipe.close()
    multiprocessing.current_process()._config["daemon"] = False  # it may have workers of its own
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for name in {name.lower() for name in environment} & set(jax.config.values):
        text = environment[name.upper()]
        jax.config.update(name, int(text) if text.isdigit() else text)
    sys.path[:0] = [folder for folder in environment.get("PYTHONPATH", "").split(":") if folder]
    try:
        first, *rest = words
        if first == "-c":
            sys.argv = [first, *rest[1:]]
            exec(rest[0], {"__name__": "__main__"})
        elif first == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            sys.path.insert(0, os.path.dirname(os.path.abspath(first)))
            runpy.run_path(first, run_name="__main__")
    finally:  # as an interpreter ends
        threading._shutdown()
        atexit._run_exitfuncs()
