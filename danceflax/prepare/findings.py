"""What a check found, added up, and as a report."""

import collections
import os
import typing
from collections.abc import Iterable
from typing import Any

import numpy as np

from danceflax.io.console import console, print_table
from danceflax.io.files import write_csv

# Faults that cost no sample: training leaves such joints and rows out.
HARMLESS = ("outside", "repeated", "leak")
KEYPOINT_FAULTS = ("no keypoints", "bad keypoints", "far outside")  # the picture may still be good
# What a root may be trained on, and what that needs of a frame.
TRAININGS = {
    "pose": "pose networks (frames of pose_training_split, or with keypoints)",
    "keypoints": "classifiers on keypoints (every frame with its keypoints)",
    "rgb": "classifiers on RGB and flow (every frame)",
}


class Fault(typing.NamedTuple):
    """file: relative to the root. row: of a split file, or 0. fault: its kind, one word or two."""

    file: str
    row: int
    fault: str
    message: str


class Findings:
    """What was found, added up: `faults`, and figures of the good frames."""

    def __init__(self) -> None:
        self.faults = []
        self.num_frames = 0
        self.listed = None  # the frames of the pose splits, if there are any
        self._there, self._bad, self._no_keypoints = set(), set(), set()
        self._frames = collections.Counter()
        self._people = collections.defaultdict(collections.Counter)
        self._sizes = collections.Counter()
        self._heights = []

    def add(self, task: Any, result: tuple[list[Fault], list[tuple]]) -> None:
        """Takes in what `check_frames` found in a task."""
        faults, good = result
        self.faults += faults
        self.num_frames += len(task.files)
        self._there.update(_stem(file.decode()) for file in task.files)
        for fault in faults:
            if fault.fault in KEYPOINT_FAULTS:
                self._no_keypoints.add(_stem(fault.file))
            elif fault.fault not in HARMLESS:
                self._bad.add(_stem(fault.file))
        if not task.has_keypoints:
            self._no_keypoints.update(_stem(file.decode()) for file in task.files)
        self._frames.update(file.partition(b"/")[0].decode() for file in task.files)
        for dance, heights, size in good:
            self._people[dance][len(heights)] += 1
            self._sizes[size] += 1
            self._heights += heights

    @property
    def missing(self) -> set[str]:
        """The listed frames that are not there; several files may list the same."""
        names = [fault.message for fault in self.faults if fault.fault == "missing"]
        return {_stem(name) for name in names}

    def bad_fraction(self, training: str) -> float:
        """Share of the frames, there or only listed, that a training, a key of TRAININGS, could not
        use; 1 if there is none for it."""
        wanted = self._there | self.missing
        if training == "pose":
            wanted = self._there - self._no_keypoints if self.listed is None else self.listed
        bad = self._bad if training == "rgb" else self._bad | self._no_keypoints
        useless = wanted & bad | wanted - self._there
        return len(useless) / len(wanted) if wanted else 1.0

    @property
    def fatal(self) -> list[Fault]:
        """Faults at which a training would stop, or should: of split files and half clips."""
        kinds = ("path", "dance", "clip", "split", "interrupted")
        return [fault for fault in self.faults if fault.fault in kinds]

    def fault_rows(self) -> list[tuple]:
        """(kind, how many, what an example says) of each kind of fault, most frequent first."""
        counts = collections.Counter(fault.fault for fault in self.faults)
        examples = {fault.fault: fault for fault in reversed(self.faults)}
        return [
            (kind, count, _example(examples[kind]), "" if kind in HARMLESS else "yes")
            for kind, count in counts.most_common()
        ]

    def dance_rows(self) -> list[tuple]:
        """(dance, frames, nobody, one, two, more, people a frame) of each dance."""
        rows = []
        for dance, frames in sorted(self._frames.items()):
            people = self._people[dance]
            good = max(people.total(), 1)
            mean = sum(n * count for n, count in people.items()) / good
            more = people.total() - people[0] - people[1] - people[2]
            rows.append((dance, frames, people[0], people[1], people[2], more, f"{mean:.2f}"))
        return rows

    def figures(self) -> list[str]:
        """Lines about the pictures and persons."""
        sizes = ", ".join(f"{w}x{h} ({n:,})" for (w, h), n in self._sizes.most_common(3))
        lines = [f"picture sizes: {sizes or 'none'}; {len(self._sizes)} in all"]
        if self._heights:
            low, middle, high = np.percentile(self._heights, (5, 50, 95))
            lines.append(
                f"persons: {len(self._heights):,}; keypoints span {middle:.0f} pixels in height, "
                f"{low:.0f} to {high:.0f} for nine in ten"
            )
        return lines


def _example(fault):
    row = f", row {fault.row}" if fault.row else ""
    return f"{fault.file}{row}: {fault.message}"


def write_faults(path: str | os.PathLike, faults: Iterable[Fault]) -> None:
    """Writes the faults as CSV: file, row, fault, message."""
    write_csv(path, [Fault._fields, *faults])


def print_report(root: str | os.PathLike, findings: Findings) -> None:
    """Prints what the root holds, dance by dance, and what is wrong with it, kind by kind."""
    columns = ("dance", "frames", "nobody", "one", "two", "more", "people a frame")
    print_table(f"{root}: {findings.num_frames:,} frames", columns, findings.dance_rows())
    console.print("\n".join(findings.figures()))
    if findings.faults:
        columns = ("fault", "count", "for one", "costs samples")
        print_table("faults", columns, findings.fault_rows())


def print_verdict(findings: Findings, max_bad_fraction: float, training: str = "") -> bool:
    """Prints for which trainings the root is fit. Returns whether it is for the one named, a key of
    TRAININGS, or for any."""
    fit = {}
    for name, what in TRAININGS.items():
        fraction = findings.bad_fraction(name)
        fit[name] = fraction <= max_bad_fraction and not findings.fatal
        console.print(
            f"{'fit' if fit[name] else 'NOT fit'} for {what}: {fraction:.2%} of them cannot be used"
        )
    console.print(
        f"at most {max_bad_fraction:.2%} may be; {len(findings.fatal)} faults of split files or "
        "half clips, of which there may be none"
    )
    return fit[training] if training else any(fit.values())


def _stem(file):
    """<dance>/<name> without suffix of a frame's or its keypoints' path."""
    name = "/".join(file.split("/")[-2:])
    return os.path.splitext(name)[0].removesuffix("_keypoints")
