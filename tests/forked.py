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


def start(words, outputs, cwd=ROOT, env=None):
    """The multiprocessing.Process of `python *words`, which ends, with SIGTERM, when this one does.

    outputs: a pipe's end or the path of a file that is added to, for its output and for its errors.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTS)
    words, env = [str(word) for word in words], dict(env or os.environ)
    process = context.Process(target=_run, args=(words, outputs, str(cwd), env), daemon=True)
    process.start()
    return process


class Program:
    """What `start` makes as subprocess.Popen would, its output and errors as text in pipes."""

    def __init__(self, *words, cwd=ROOT, env=None):
        pipes = [multiprocessing.Pipe(duplex=False) for _ in range(2)]
        ends = [end for _, end in pipes]
        self._process = start(words, ends, cwd, env)
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


def _run(words, outputs, cwd, environment):
    for descriptor, output in zip((1, 2), outputs, strict=True):
        with open(output, "ab") if isinstance(output, os.PathLike) else output as file:
            os.dup2(file.fileno(), descriptor)
    multiprocessing.current_process()._config["daemon"] = False  # it may have workers of its own
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for name in {name.lower() for name in environment} & set(jax.config.values):
        text = environment[name.upper()]
        jax.config.update(name, int(text) if text.removeprefix("-").isdigit() else text)
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
