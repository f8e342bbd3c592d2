"""The decoder of decode.cpp, compiled by the system's g++, where there is one."""

import ctypes
import pathlib
import shutil
import subprocess
from collections.abc import Callable

import numpy as np

from danceflax.pose.decode import fill_options
from danceflax.skeleton import FOOT_JOINTS

SOURCE = pathlib.Path(__file__).with_name("decode.cpp")
WHOLE = "max_peaks max_people min_joints samples".split()
REAL = "peak_threshold paf_threshold paf_ratio min_score stride".split()


class Options(ctypes.Structure):
    """As decode.cpp has it."""

    _fields_ = [(name, ctypes.c_int32) for name in ["height", "width", "joints", "limbs", *WHOLE]]
    _fields_ += [(name, ctypes.c_float) for name in REAL]


def compile_decoder(folder: pathlib.Path) -> ctypes.CDLL | None:
    """The library, made in a folder; None: there is no compiler here."""
    if not (compiler := shutil.which("g++")):
        return None
    library = pathlib.Path(folder, "decode.so")
    flags = ["-O3", "-march=native", "-std=c++17", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(SOURCE), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def make_compiled_decoder(library: ctypes.CDLL, skeleton) -> Callable:
    """`danceflax.pose.decode.make_decoder(skeleton)`, of numpy arrays: decode(heatmaps, pafs)."""
    options = fill_options({"rule": "global"})
    limbs = np.array(skeleton.limbs, np.int32)
    counted = np.array([name not in FOOT_JOINTS for name in skeleton.joints], np.uint8)

    def decode(heatmaps, pafs):
        batch, height, width, _ = heatmaps.shape
        values = [options[name] for name in (*WHOLE, *REAL)]
        given = Options(height, width, skeleton.num_joints, len(limbs), *values)
        people = np.empty((batch, options["max_people"], skeleton.num_joints, 3), np.float32)
        scores = np.empty((batch, options["max_people"]), np.float32)
        inputs = [np.ascontiguousarray(x, np.float32) for x in (heatmaps, pafs)]
        pointers = [x.ctypes.data_as(ctypes.c_void_p) for x in (*inputs, limbs, counted)]
        answers = [x.ctypes.data_as(ctypes.c_void_p) for x in (people, scores)]
        library.decode(*pointers[:2], batch, ctypes.byref(given), *pointers[2:], *answers)
        return people, scores

    return decode
