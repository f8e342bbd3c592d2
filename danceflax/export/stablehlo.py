"""StableHLO files of networks, in the container of `jax.export`, for CPU, CUDA GPU and TPU."""

import os
import pathlib

import jax

from danceflax.export.forward import Forward
from danceflax.io.files import write_bytes, write_text
from danceflax.models.layers import portable

PLATFORMS = ("cpu", "cuda", "tpu")


def write(forward: Forward, path: str | os.PathLike) -> None:
    """Writes PATH, and PATH.json: `forward.about`."""
    with portable():
        export = jax.export.export(jax.jit(forward.function), platforms=PLATFORMS)
        exported = export(*forward.specs())
    write_bytes(path, bytes(exported.serialize()))
    write_text(f"{pathlib.Path(path)}.json", forward.describe())
