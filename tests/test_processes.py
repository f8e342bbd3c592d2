"""Several processes, as several hosts of one training have them, read what one would."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import make_root

READ = """
import functools, sys
import numpy as np
from danceflax.data.letsdance import LetsDanceSource
from danceflax.data.loader import make_loader
from danceflax.pose.augment import augment, letterbox
from danceflax.skeleton import COCO18
root, index, count, output = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
source = LetsDanceSource(root, "all", COCO18)
shape = dict(size=(64, 64), stride=8, max_people=2)
options = dict(process_index=index, process_count=count)
crop = functools.partial(augment, skeleton=COCO18, **shape)
loader = make_loader(source, crop, 4, seed=5, threads=1 + index, **options)
batches = {f"train {step}": next(loader) for step in range(8)}
whole = make_loader(source, functools.partial(letterbox, **shape), 4, training=False, **options)
batches |= {f"val {step}": batch for step, batch in enumerate(whole)}
arrays = {f"{name} {key}": value for name, (batch, _) in batches.items()
          for key, value in batch.items()}
names = {f"{name} names": np.array(found) for name, (_, found) in batches.items()}
np.savez(output, **arrays, **names)
"""


@pytest.mark.parametrize("count", [2])
def test_processes_together_read_the_batches_of_one(count, tmp_path):
    make_root(tmp_path, num_frames=10, people=2)
    jobs = [(0, 1), *((index, count) for index in range(count))]
    outputs = [tmp_path / f"{index}of{total}.npz" for index, total in jobs]
    processes = [
        subprocess.Popen([sys.executable, "-c", READ, tmp_path, str(index), str(total), output])
        for (index, total), output in zip(jobs, outputs, strict=True)
    ]
    assert [process.wait(120) for process in processes] == [0] * len(jobs)
    whole, *parts = (np.load(output) for output in outputs)
    assert len([name for name in whole.files if name.endswith(" image")]) == 8 + 3
    for name in whole.files:
        joined = np.concatenate([part[name] for part in parts])
        np.testing.assert_array_equal(joined, whole[name], err_msg=name)
        assert len(parts[0][name]) == 4 // count
