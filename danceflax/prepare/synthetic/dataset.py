"""Writes rendered clips to disk in the Let's Dance layout."""

import base64
import collections
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from danceflax.data.clip_table import ClipNote, add_clips
from danceflax.errors import UserError
from danceflax.io.console import console, show_progress
from danceflax.io.files import write_csv, write_folder, write_json
from danceflax.io.images import encode_image
from danceflax.io.workers import run_tasks
from danceflax.prepare.synthetic.choreography import DANCES
from danceflax.prepare.synthetic.render import CROWD, render_clip
from danceflax.skeleton import COCO17_JOINTS

VERSION = 2  # of the pictures: another number means other bytes for the same arguments
CLIPS_PER_DANCE = {"train": 8, "val": 1, "test": 1}


def run(
    output: str,
    seed: int = 0,
    clips: tuple[int, ...] = (8, 1, 1),
    frames: int = 32,
    fps: float = 12.5,
    size: tuple[int, ...] = (256, 256),
    people: int = 4,
    workers: int | None = None,
    scheduler: str = "",
) -> None:
    """Renders dancing figures with exact keypoints: a whole Let's Dance root, made up.

    python prepare_data.py synthetic --output=data/synthetic
    python prepare_data.py synthetic --output=data/large --clips=80,10,10 --size=640,360

    Args:
      output: the root to write.
      seed: another seed, other dancers.
      clips: of each dance in train, val and test.
      frames: of each clip.
      fps: frames a second.
      size: width,height in pixels.
      people: most dancers in a picture, 1 to 4.
      workers: processes; by default one a core.
      scheduler: address of a Dask cluster to do the work instead, see data/README.md.
    """
    if len(clips) != len(CLIPS_PER_DANCE) or len(size) != 2:
        raise UserError("expected --clips=TRAIN,VAL,TEST and --size=WIDTH,HEIGHT")
    with show_progress("rendering", "clips") as progress:
        root = write_dataset(
            output,
            seed=seed,
            clips_per_dance={k: n for k, n in zip(CLIPS_PER_DANCE, clips, strict=True) if n},
            frames_per_clip=frames,
            fps=fps,
            size=size,
            max_people=people,
            workers=workers,
            progress=progress,
            scheduler=scheduler,
        )
    console.print(f"written to {root}")


def write_dataset(
    root: str | os.PathLike,
    *,
    seed: int = 0,
    clips_per_dance: Mapping[str, int] | None = None,
    frames_per_clip: int = 32,
    fps: float = 12.5,
    size: Sequence[int] = (256, 256),
    max_people: int = 4,
    workers: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    scheduler: str = "",
) -> pathlib.Path:
    """Renders a set of dance clips: frames, keypoints and both kinds of split files.

    Every clip has dancers, clothes, a place and a camera of its own, so the splits share none. The
    files are functions of the arguments (who works apart). The set appears under `root` when it is
    complete; until then it grows in `<root>.partial`.

        frames/<dance>/<clip>_<frame>.jpg, keypoints/<dance>/<clip>_<frame>.json
        pose_training_split/<split>.csv    file_path,dance_type         a row a frame
        videos_split/<split>_videos.csv    video_id,dance_type,frames   a row a clip
        synthetic.json                     the arguments

    Args:
      root: the folder to make. A complete set that the same arguments wrote is left as it is.
      clips_per_dance: clips of each dance, by split; by default CLIPS_PER_DANCE.
      frames_per_clip, fps: length of a clip in frames, and frames per second.
      size: (width, height) in pixels.
      max_people: at most this many dancers in a picture, 1 to 4.
      workers: processes; by default one a CPU core.
      progress: called as progress(done, total) after every clip.
      scheduler: address of a Dask cluster that renders instead.

    Returns:
      The root.

    Raises:
      UserError: an argument is out of range, the root holds something else, or cannot be written.
    """
    root = pathlib.Path(os.path.abspath(root))
    clips_per_dance = dict(CLIPS_PER_DANCE if clips_per_dance is None else clips_per_dance)
    arguments = {
        "version": VERSION, "seed": seed, "clips_per_dance": clips_per_dance,
        "frames_per_clip": frames_per_clip, "fps": fps, "size": list(size),
        "max_people": max_people,
    }  # fmt: skip
    _check_arguments(arguments)
    if _is_written(root, arguments):
        return root
    jobs = [
        (split, dance, number)
        for split, count in clips_per_dance.items()
        for dance in DANCES
        for number in range(count)
    ]
    with write_folder(root) as partial:
        tasks = [(partial, arguments, *job) for job in jobs]
        for folder in ("frames", "keypoints"):
            for dance in DANCES:
                (partial / folder / dance).mkdir(parents=True)
        collections.deque(run_tasks(_write_clip, tasks, workers, progress, scheduler), maxlen=0)
        _write_splits(partial, root.name, arguments, jobs)
        write_json(partial / "synthetic.json", arguments)
    return root


def _check_arguments(arguments):
    counts = arguments["clips_per_dance"]
    rules = {
        "seed": (isinstance(arguments["seed"], int) and arguments["seed"] >= 0, "an int >= 0"),
        "clips_per_dance": (counts and min(counts.values()) > 0, "a positive int for each split"),
        "frames_per_clip": (0 < arguments["frames_per_clip"] <= 9999, "1 to 9999"),
        "fps": (arguments["fps"] > 0, "positive"),
        "size": (min(arguments["size"]) >= 32, "(width, height) of at least 32"),
        "max_people": (1 <= arguments["max_people"] <= len(CROWD), f"1 to {len(CROWD)}"),
    }
    for name, (holds, expected) in rules.items():
        if not holds:
            raise UserError(f"synthetic set: {name} is {arguments[name]!r} and must be {expected}")


def _is_written(root, arguments):
    """Whether the root holds this set; False if there is nothing there."""
    note = root / "synthetic.json"
    if note.is_file():
        try:
            found = json.loads(note.read_text())
        except ValueError:
            found = None
        if found == arguments:
            return True
        raise UserError(
            f"{root}: holds a synthetic set written with other arguments ({note.name} lists them); "
            "remove the folder or write to another one"
        )
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(
            f"{root}: exists and is no synthetic set; remove it or write to another one"
        )
    return False


def _write_clip(task):
    """Renders one clip and writes its pictures and keypoints."""
    root, arguments, split, dance, number = task
    seeds = [arguments["seed"], *split.encode(), DANCES.index(dance), number]
    images, people = render_clip(
        seeds, dance, arguments["frames_per_clip"], arguments["fps"], arguments["size"],
        max_people=arguments["max_people"],
    )  # fmt: skip
    quality = int(np.random.default_rng(seeds).integers(82, 96))
    clip = _clip_name(arguments["seed"], split, dance, number)
    for t, (image, persons) in enumerate(zip(images, people, strict=True), 1):
        name = f"{dance}/{clip}_{t:04d}"
        (root / f"frames/{name}.jpg").write_bytes(encode_image(image, ".jpg", quality))
        (root / f"keypoints/{name}.json").write_text(json.dumps(_list_people(persons)))


def _list_people(persons):
    """[P, 17, 3] -> what the set's JSON holds: a list of [["person"], [name, [x, y]], ...]."""
    people = []
    for person in persons:
        seen = [
            [name, [round(float(x), 2), round(float(y), 2)]]
            for name, (x, y, v) in zip(COCO17_JOINTS, person, strict=True)
            if v
        ]
        if seen:
            people.append([["person"], *seen])
    return people


def _clip_name(seed, split, dance, number):
    """<11 characters, as a video site names its videos>_<start second>."""
    digest = hashlib.sha256(f"{seed} {split} {dance} {number}".encode()).digest()
    return f"{base64.urlsafe_b64encode(digest)[:11].decode()}_{digest[-1]:03d}"


def _write_splits(root, name, arguments, jobs):
    """Writes the files that list frames and clips; paths begin as users have them, with data/."""
    frames = [f"{t:04d}" for t in range(1, arguments["frames_per_clip"] + 1)]
    for folder in ("pose_training_split", "videos_split"):
        (root / folder).mkdir()
    for split in arguments["clips_per_dance"]:
        clips = [(_clip_name(arguments["seed"], *job), job[1]) for job in jobs if job[0] == split]
        rows = [
            (f"data/{name}/frames/{dance}/{clip}_{frame}.jpg", dance)
            for clip, dance in clips
            for frame in frames
        ]
        write_csv(root / f"pose_training_split/{split}.csv", [("file_path", "dance_type"), *rows])
        rows = [(clip, dance, str(frames)) for clip, dance in clips]
        header = ("video_id", "dance_type", "frames")
        write_csv(root / f"videos_split/{split}_videos.csv", [header, *rows])
        notes = {f"{dance}/{clip}": ClipNote(fps=arguments["fps"]) for clip, dance in clips}
        add_clips(root, notes)
