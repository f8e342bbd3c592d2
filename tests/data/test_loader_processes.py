"""Several processes, as several hosts of one training have them, read what one would."""

import functools
import itertools
import pathlib
import subprocess
import sys

import numpy as np
from conftest import make_root

from danceflax.data.frames import LetsDanceSource
from danceflax.data.loader import make_loader
from danceflax.pose.augment import augment, letterbox
from danceflax.skeleton import COCO18


def read(root, process_index, process_count):
    """{what: array} of eight steps of training and one evaluation, as one process reads them."""
    source = LetsDanceSource(root, "all", COCO18)
    shape = dict(size=(64, 64), stride=8, max_people=2)
    options = dict(process_index=process_index, process_count=process_count)
    crop = functools.partial(augment, skeleton=COCO18, **shape)
    training = make_loader(source, crop, 4, seed=5, threads=1 + process_index, **options)
    whole = functools.partial(letterbox, **shape)
    evaluation = make_loader(source, whole, 4, training=False, **options)
    arrays = {}
    for step, (batch, names) in enumerate([*itertools.islice(training, 8), *evaluation]):
        arrays |= {f"{step} {key}": value for key, value in batch.items()}
        arrays[f"{step} names"] = np.array(names)
    return arrays


def test_two_processes_together_read_the_batches_of_one(tmp_path):
    make_root(tmp_path, num_frames=10, people=2)
    outputs = [tmp_path / f"{index}.npz" for index in range(2)]
    code = (
        "import sys, numpy\n"
        "sys.path.insert(0, '..')\n"
        "import test_loader_processes\n"
        "root, index, output = sys.argv[1:]\n"
        "numpy.savez(output, **test_loader_processes.read(root, int(index), 2))\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path, str(index), output],
            cwd=pathlib.Path(__file__).parent,
        )
        for index, output in enumerate(outputs)
    ]
    whole = read(tmp_path, 0, 1)
    assert [process.wait(120) for process in processes] == [0, 0]
    parts = [np.load(output) for output in outputs]
    assert len([name for name in whole if name.endswith(" image")]) == 8 + 3
    for name, expected in whole.items():
        joined = np.concatenate([part[name] for part in parts])
        np.testing.assert_array_equal(joined, expected, err_msg=name)
        assert len(parts[0][name]) == 2
