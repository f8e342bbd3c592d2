"""docs/export.md's program, run on an exported network where this project is not there."""

import pathlib
import re
import subprocess
import sys
import textwrap

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import random_variables

from danceflax import skeleton
from danceflax.export import onnx_file, plain_decoder
from danceflax.export.forward import make_forward
from danceflax.models.normalisation import OPENPOSE
from danceflax.models.registry import create_model
from danceflax.pose.decode import make_decoder

ROOT = pathlib.Path(__file__).parents[2]
# A network that knows nothing finds people only if it is not asked much.
DECODE = dict(rule="global", peak_threshold=0.1, paf_ratio=0.2, min_joints=2, min_score=0.0)


@pytest.fixture(scope="module")
def forward():
    model = create_model("openpose_coco", skeleton="coco18", width=0.1, stages=1)
    variables = random_variables(model, jnp.zeros((1, 16, 16, 3)))
    config = {"model": {"name": "openpose_coco", "options": {}}, "normalisation": OPENPOSE}
    config |= {"skeleton": skeleton.load("coco18").to_dict(), "training": {"decode": DECODE}}
    return make_forward(model, dict(variables), config)


def test_the_page_s_program_finds_whom_we_find(forward, tmp_path):
    pytest.importorskip("onnxruntime")
    onnx_file.write(forward, tmp_path / "dance.onnx")
    picture = np.random.default_rng(0).integers(0, 256, (12, 20, 3)).astype(np.uint8)
    picture = cv2.resize(picture, (600, 368), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "photo.png"), picture)
    (tmp_path / "plain_decoder.py").write_text(pathlib.Path(plain_decoder.__file__).read_text())
    program = re.search(
        r"^    import json\n.*? - 0\.5$", (ROOT / "docs/export.md").read_text(), re.M | re.S
    )
    alone = "import sys; sys.modules.update(danceflax=None, jax=None)\n"
    program = alone + textwrap.dedent(program[0]).replace("photo.jpg", "photo.png")
    program += "\nimport numpy\nnumpy.savez('found.npz', people=people, scores=scores)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    found = np.load(tmp_path / "found.npz")

    maps = jax.jit(forward.function)(picture[None, ..., ::-1])
    people, scores = make_decoder(skeleton.load("coco18"), **DECODE)(*maps)
    count = int((np.array(scores[0]) > 0).sum())
    assert 2 <= count == len(found["scores"])
    np.testing.assert_allclose(found["scores"], scores[0, :count], atol=1e-4)
    np.testing.assert_allclose(found["people"], people[0, :count], atol=0.05)
