"""Time and peak memory of converting a caffemodel as large as the published COCO network (209 MB).

  python benchmarks/bench_convert.py [--runs=3]

The file has random weights under the published layer names. Each run is a process of its own, from
the command to the finished checkpoint, imports included; memory is the process's peak resident set.
PyTorch, where it is installed, is kept from being imported (tensorboardX would): it is no
dependency of the project.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))

import caffe_files

ROOT = pathlib.Path(__file__).parent.parent

CHILD = """
import resource, sys
sys.modules["torch"] = None
from danceflax.scripts import convert_weights
convert_weights.convert_file("caffe", "openpose_coco", *sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "net.caffemodel"
        weights = caffe_files.random_weights(caffe_files.coco_layers())
        path.write_bytes(caffe_files.caffemodel(weights))
        size = path.stat().st_size
        print(f"file: {size / 1e6:.1f} MB, {os.cpu_count()} cores")
        for run in range(runs):
            command = [sys.executable, "-c", CHILD, str(path), f"{folder}/checkpoint{run}"]
            start = time.perf_counter()
            done = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            )
            seconds, peak = time.perf_counter() - start, int(done.stdout)
            print(
                f"run {run + 1}: {seconds:.1f} s, peak memory {peak / 1e6:.0f} MB = "
                f"{peak / size:.2f} x the file"
            )


if __name__ == "__main__":
    main()
