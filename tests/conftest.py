"""What all tests share: JAX on the CPU with a compilation cache, the real data, made-up roots."""

import contextlib
import importlib
import json
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".jax_cache")
)

import cv2
import jax
import numpy as np
import pytest
from absl import flags
from forked import Program
from jaxtyping import install_import_hook

# Shapes and types in signatures are checked in every call, in this process.
install_import_hook("danceflax", "typecheck.check")

from danceflax.cli.compilation import choose_convolutions  # noqa: E402
from danceflax.dance import classifiers  # noqa: E402
from danceflax.io.videos import VideoWriter  # noqa: E402
from danceflax.skeleton import COCO17_JOINTS  # noqa: E402
from danceflax.training import train  # noqa: E402
from danceflax.training.checkpoints import save_model  # noqa: E402
from danceflax.training.report import Report  # noqa: E402

choose_convolutions()  # as every script does, before JAX starts

ROOT = pathlib.Path(__file__).parents[1]


def call(script, *words, **options):
    """Runs a script of the top level; (exit status, standard output, standard error)."""
    program = Program(ROOT / script, *words, **options)
    output, errors = program.communicate()
    return program.returncode, output, errors


def shared_data(*parts):
    """The path of a file of the real data; skips the test where there is none.

    DANCEFLAX_DATA names the folder; by default it is ../shared/data beside the repository.
    """
    default = pathlib.Path(__file__).parents[2] / "shared" / "data"
    path = pathlib.Path(os.environ.get("DANCEFLAX_DATA", default)).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not there; set DANCEFLAX_DATA to the folder of the real data")
    return path


def letsdance_json(people):
    """The Let's Dance keypoint JSON of people [P, 17, >= 2]."""
    pairs = [zip(COCO17_JOINTS, np.asarray(p, float)[:, :2].tolist(), strict=True) for p in people]
    return json.dumps([[["person"], *person] for person in pairs])


def make_root(root, num_frames=12, size=(90, 160), dance="tango", people=1, seed=0):
    """Writes a small Let's Dance root with a train split; the frames' names, in its order."""
    rng = np.random.default_rng(seed)
    for folder in ("frames", "keypoints", "pose_training_split"):
        (root / folder / ("" if "split" in folder else dance)).mkdir(parents=True, exist_ok=True)
    names = [f"{dance}/-2W1_fHl-RM_033_{i:04d}.jpg" for i in range(num_frames)]
    for i, name in enumerate(names):
        image = rng.integers(0, 255, (*size, 3), np.uint8)
        image[0, 0] = i
        cv2.imwrite(str(root / "frames" / name), image)
        points = rng.uniform(0.3, 0.7, (people, 17, 2)) * (size[1], size[0])
        (root / "keypoints" / name).with_suffix(".json").write_text(letsdance_json(points))
    write_split(root / "pose_training_split" / "train.csv", names)
    return names


def make_video(path, num_frames=24, fps=24, size=(96, 160), times=None):
    """A video whose frame i is of grey 10 i, modulo 250."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, fps) as video:
        for i in range(num_frames):
            frame = np.full((*size, 3), 10 * i % 250, np.uint8)
            video.write(frame, None if times is None else times[i])
    return path


def write_split(path, names, prefix="data/letsdance/frames/"):
    """Writes a frame split CSV of names <dance>/<file>."""
    rows = [f"{prefix}{name},{name.split('/')[0]}" for name in names]
    path.write_text("\n".join(["file_path,dance_type", *rows]) + "\n")


def random_variables(model, inputs):
    """He-scaled kernels, small offsets, plausible statistics; numpy, so that nothing compiles."""
    rng = np.random.default_rng(0)

    def fill(path, x):
        if path[-1].key == "kernel":
            scale = np.sqrt(2 / np.prod(x.shape[:-1]))
            return (scale * rng.standard_normal(x.shape)).astype(np.float32)
        low, high = {"var": (0.5, 1.5)}.get(path[-1].key, (-0.3, 0.3))
        return rng.uniform(low, high, x.shape).astype(np.float32)

    return jax.tree.map_with_path(fill, jax.eval_shape(model.init, jax.random.key(0), inputs))


def save_sequence_network(path, class_names):
    """A checkpoint of the default sequence network, made tiny, on windows of 32 frames."""
    from configs import sequence  # a process of a test may know only this folder

    config = sequence.get_config()
    config.model.channels, config.clip.frames = (8,), 32
    classifier, variables = classifiers.create(config, class_names)
    save_model(path, variables, classifiers.describe(classifier, class_names))


@contextlib.contextmanager
def small_disk(folder, megabytes):
    """A file system of its own, in memory; skips the test where none may be mounted."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m"]
    try:
        subprocess.run(["mount", *options, "none", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk can only be mounted by root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill_disk(folder):
    """Writes a file until no byte more fits; its path."""
    path = folder / "filler"
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


@pytest.fixture
def no_transfers(monkeypatch):
    """In training loops nothing is carried between host and device unasked: JAX would raise."""
    fit = train.fit

    def guarded(*args, **options):
        with jax.transfer_guard("disallow"):
            return fit(*args, **options)

    monkeypatch.setattr(train, "fit", guarded)


@pytest.fixture
def compilations(monkeypatch):
    """{(step, split): how many programs JAX had compiled} of what a training reports."""
    compiled, counts, scalars = [], {}, Report.scalars

    def listen(event, *_, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(about.get("fun_name"))

    def note(report, step, split, *values):
        counts[step, split] = len(compiled)
        scalars(report, step, split, *values)

    monkeypatch.setattr(Report, "scalars", note)
    jax.monitoring.register_event_duration_secs_listener(listen)
    yield counts
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture(scope="module")
def predict_script():
    """predict.py as a module; what other scripts imported here have defined steps aside."""
    name = "danceflax.scripts.predict"
    aside = [
        (module, flag)
        for module, defined in flags.FLAGS.flags_by_module_dict().items()
        if module.startswith("danceflax.scripts.")
        for flag in defined
    ]
    for _, flag in aside:
        delattr(flags.FLAGS, flag.name)
    sys.modules.pop(name, None)
    yield importlib.import_module(name)
    for flag in list(flags.FLAGS.flags_by_module_dict()[name]):
        delattr(flags.FLAGS, flag.name)
    for module, flag in aside:
        flags.FLAGS[flag.name] = flag
        flags.FLAGS.register_flag_by_module(module, flag)
