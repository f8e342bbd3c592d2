"""Memory of `predict.py` over a long video: what the process holds while it finds and draws people.

    python benchmarks/bench_video_memory.py [--frames 1500]

A 1280x720 video, the demo's network with initial weights, people followed and drawn, JSON written.
Each line is the median over a tenth of the time; the first holds what starting takes.
"""

import argparse
import pathlib
import tempfile
import threading

import bench_predict
import numpy as np
from bench_growth import MEMORY, read_memory

from danceflax.io.console import console, print_table
from danceflax.pose.files import PeopleFiles

PAUSE = 0.1  # seconds between two looks


def measure(frames: int) -> np.ndarray:
    """[n, 2] MB over the time: all, and those that are no file's."""
    found, over = [], threading.Event()

    def look():
        while not over.wait(PAUSE):
            found.append(read_memory())

    predictor = bench_predict.make_predictor()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        bench_predict.write_video(folder / "in.mp4", frames)
        watch = threading.Thread(target=look)
        watch.start()
        try:
            PeopleFiles(lambda: predictor, folder / "out").write(
                [(folder / "in.mp4", "video")], False
            )
        finally:
            over.set()
            watch.join()
    return np.array(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=1500)
    parts = np.array_split(measure(parser.parse_args().frames), 10)
    rows = [(f"{i}0 %", *(f"{x:.0f}" for x in np.median(part, 0))) for i, part in enumerate(parts)]
    print_table("predict.py: memory", ("of the time", "MB", "MB of no file"), rows)
    first, last = (np.median(part, 0)[0] for part in (parts[1], parts[-2]))
    console.print(f"{MEMORY[0]}: {last / first - 1:+.1%} from the second tenth to the ninth")


if __name__ == "__main__":
    main()
