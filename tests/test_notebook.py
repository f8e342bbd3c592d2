"""The notebook, from its first cell to its last, at a tiny size; frozen parts compile sooner."""

import pathlib

import nbformat
from nbclient import NotebookClient

NOTEBOOK = pathlib.Path(__file__).parents[1] / "docs/notebooks/first_picture.ipynb"
TINY = (
    "steps=2 batch_size=2 eval_every=0 save_every=2 model.width=0.1 model.paf_stages=1 "
    "model.heatmap_stages=1 augment.size=64,64 eval.size=64,64 eval.limit=2 eval.batch_size=2 "
    "eval.pictures=0 eval.flip=True init_allow_missing=.* "
    "optimizer.groups.feature.train=False optimizer.groups.paf.train=False"
).split()


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert NOTEBOOK.stat().st_size < 200_000
    (parameters,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    parameters.source += f"""
ROOT, WORKDIR, CLIPS, FRAMES = "{tmp_path}/data", "{tmp_path}/run", "1,1,1", 1
MORE = "{" ".join(f"--config.{field}" for field in TINY)}"
"""
    folder = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=300, resources=folder).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    text = "".join(output.get("text", "") for cell in code for output in cell.outputs)
    assert "written to" in text and "error:" not in text
    assert [shape for shape in text.splitlines() if ", 18, 3)" in shape]
    assert "image/png" in code[-1].outputs[0].data
