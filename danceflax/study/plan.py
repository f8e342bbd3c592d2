"""The steps of a study: which commands, on what, and about how long each takes."""

import importlib.util
import os
import pathlib
import typing

from danceflax.errors import UserError
from danceflax.study import settings
from danceflax.study.networks import count_parameters
from danceflax.study.steps import Step
from danceflax.study.videos import Amount

CHARTS = "bokeh"  # what reports need; without it there are figures, and no page

# Guesses, for the estimate at the start: of a CPU. A GPU is far faster at networks.
START = 12.0  # seconds until a script with JAX works
QUICK = 3.0  # seconds of one without
CHECKED = 0.004  # core seconds to look at a frame
STEP, I3D_STEP = 0.04, 0.1  # seconds an optimizer step takes
FLOPS = 4e10  # a second, of convolutions on a core
I3D_FLOPS = 2.2e11  # of I3D on 64 frames of 224x224
POSE_CELLS = 46 * 82  # of the grid of a frame of 368x656: a parameter is used once in each


class Request(typing.NamedTuple):
    """What a person asks for; the flags of study.py, and the networks found."""

    videos: str
    output: pathlib.Path
    pose: str
    i3d: str
    fps: float
    cut: float
    short_side: int
    steps: int  # of a training; 0: by the amount
    seed: int
    workers: int | None

    @property
    def root(self) -> pathlib.Path:
        """The data root."""
        return self.output / "data"

    @property
    def cores(self) -> int:
        return self.workers or os.cpu_count() or 1


def require_networks(request: Request) -> None:
    """Raises UserError: there is nothing that a classifier could read the videos by."""
    if not request.pose and not request.i3d:
        raise UserError(
            "no network is there to read videos by, none in checkpoints/ or runs/: give "
            "--pose_checkpoint (of train_openpose.py or convert_weights.py) or --i3d_checkpoint"
        )


def plan_steps(request: Request, amount: Amount) -> list[Step]:
    """The steps of a study, in their order."""
    percent = settings.share_out(amount.sources)
    split = "test" if percent[2] else "val"
    steps = [_cut_frames(request, amount)]
    if request.pose:
        steps.append(_find_people(request, amount))
    steps += [_index(request), _check(request, amount), _split(request, amount, percent)]
    if request.pose:
        fields = settings.sequence_fields(amount, request.steps)
        seconds = START + fields["steps"] * STEP
        steps += _train(request, "sequence", "configs/sequence.py", fields, seconds, split)
    if request.i3d:
        fields = settings.i3d_fields(amount, request.i3d, request.steps)
        clips = settings.count_training(amount)
        views = clips * settings.VIEWS + (amount.clips - clips) * fields["eval.clips"]
        work = views * I3D_FLOPS * fields["clip.frames"] / 64 / FLOPS / request.cores
        seconds = START + work + fields["steps"] * I3D_STEP
        steps += _train(request, "i3d", "configs/i3d.py:rgb", fields, seconds, split)
    return steps


def _prepare(command, about, words, **options):
    return Step(command, about, ("prepare_data.py", command, *words), **options)


def _read(request):
    """The folders of the root that trainings read."""
    return tuple(request.root / name for name in ("frames", *["keypoints"] * bool(request.pose)))


def _workers(request):
    return () if request.workers is None else (f"--workers={request.workers}",)


def _cut_frames(request, amount):
    root = request.root
    return _prepare(
        "frames",
        f"cut {amount.videos:,} videos into clips of {request.cut:g} s",
        (
            f"--videos={request.videos}", f"--root={root}", f"--fps={request.fps:g}",
            f"--cut={request.cut:g}", f"--short_side={request.short_side}", *_workers(request),
        ),
        needs=tuple(sorted(pathlib.Path(request.videos).rglob("*"))),
        makes=(root / "frames", root / "extracted", root / "clips.csv"),
        seconds=QUICK + amount.frames * amount.frame_seconds / request.cores,
        lenient=True,
    )  # fmt: skip


def _find_people(request, amount):
    work = 2 * count_parameters(request.pose) * POSE_CELLS / FLOPS / request.cores
    return _prepare(
        "keypoints",
        f"find the people of the frames by {request.pose}",
        (f"--root={request.root}", f"--checkpoint={request.pose}"),
        needs=(request.root / "frames",),
        makes=(request.root / "keypoints",),
        seconds=START + amount.frames * work,
        lenient=True,
    )


def _index(request):
    return _prepare(
        "index",
        "write down what is there",
        (f"--root={request.root}",),
        needs=_read(request),
        makes=(request.root / "index.npz",),
        seconds=QUICK,
    )


def _check(request, amount):
    faults, kind = request.output / "faults.csv", "keypoints" if request.pose else "rgb"
    return _prepare(
        "check",
        "look for faults in all files",
        (
            f"--root={request.root}", f"--training={kind}", f"--output={faults}", "--overwrite",
            *_workers(request),
        ),
        needs=_read(request),
        makes=(faults,),
        seconds=QUICK + amount.frames * CHECKED / request.cores,
    )  # fmt: skip


def _split(request, amount, percent):
    shortest = settings.shortest_clip(amount)
    shares = zip(percent, ("train", "val", "test"), strict=True)
    shares = ", ".join(f"{part} % {name}" for part, name in shares if part)
    percent = ",".join(map(str, percent))
    return _prepare(
        "split",
        f"{shares}; no source in two splits",
        (
            f"--root={request.root}", f"--percent={percent}", f"--shortest={shortest:g}",
            f"--seed={request.seed}",
        ),
        needs=(request.root / "index.npz", request.root / "clips.csv"),
        makes=tuple(_list_of(request, name) for name in ("train", "val")),
        seconds=QUICK,
    )  # fmt: skip


def _list_of(request, split):
    return request.root / "videos_split" / f"{split}_videos.csv"


def _train(request, name, config, fields, seconds, split):
    """The steps that train a classifier and measure it on a split."""
    workdir, home = request.output / name, _read(request)[name == "sequence"]
    fields = {"seed": request.seed, "data.root": request.root} | fields
    read = (home, _list_of(request, "train"), _list_of(request, "val"))
    table = workdir / f"evaluation_{split}.json"
    report = (request.output / f"{name}.html",) if importlib.util.find_spec(CHARTS) else ()
    windows = f"windows of {fields['clip.frames']} frames, {fields['eval.clips']} a clip"
    return [
        Step(
            f"train {name}",
            f"{fields['steps']:,} steps of {fields['batch_size']}; {windows}",
            (
                "train_classifier.py", f"--config={config}", f"--workdir={workdir}",
                *(f"--config.{key}={value}" for key, value in fields.items()),
            ),
            needs=read,
            makes=(workdir / "checkpoints",),
            seconds=seconds,
            refuses=f"remove {workdir} to train anew, or name another --output",
        ),
        Step(
            f"evaluate {name}",
            f"measure it on the split {split}{''.join(f', to {path}' for path in report)}",
            (
                "evaluate.py", f"--checkpoint={workdir}", f"--split={split}",
                *(f"--report={path}" for path in report), "--overwrite",
            ),
            needs=(_list_of(request, split), workdir / "checkpoints"),
            makes=(table, workdir / f"confusion_{split}.csv", *report),
            seconds=START,
        ),
    ]  # fmt: skip
