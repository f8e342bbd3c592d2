"""What a check found, added up, and as a report."""

import collections
import typing

import numpy as np

from danceflax.io.console import console, print_table
from danceflax.io.files import write_csv

# Faults that cost no sample: training leaves such joints and rows out.
HARMLESS = ("outside", "repeated", "leak")


class Fault(typing.NamedTuple):
    """file: relative to the root. row: of a split file, or 0. fault: its kind, one word or two."""

    file: str
    row: int
    fault: str
    message: str


class Findings:
    """What was found, added up: `faults`, and figures of the good frames."""

    def __init__(self):
        self.faults = []
        self.num_frames = self.num_bad = 0
        self._frames = collections.Counter()
        self._people = collections.defaultdict(collections.Counter)
        self._sizes = collections.Counter()
        self._heights = []

    def add(self, task, result):
        """Takes in what `check_frames` found in a task."""
        faults, good = result
        self.faults += faults
        self.num_frames += len(task.files)
        self.num_bad += len(task.files) - len(good)
        self._frames.update(file.partition(b"/")[0].decode() for file in task.files)
        for dance, heights, size in good:
            self._people[dance][len(heights)] += 1
            self._sizes[size] += 1
            self._heights += heights

    @property
    def missing(self):
        """How many listed frames are not there; several files may list the same."""
        return len({fault.message for fault in self.faults if fault.fault == "missing"})

    @property
    def bad_fraction(self):
        """Share of the frames, there or only listed, that a training could not use."""
        return (self.num_bad + self.missing) / max(self.num_frames + self.missing, 1)

    @property
    def fatal(self):
        """Faults at which a training would stop, or should: of split files and half clips."""
        kinds = ("path", "dance", "clip", "split", "interrupted")
        return [fault for fault in self.faults if fault.fault in kinds]

    def fault_rows(self):
        """(kind, how many, what an example says) of each kind of fault, most frequent first."""
        counts = collections.Counter(fault.fault for fault in self.faults)
        examples = {fault.fault: fault for fault in reversed(self.faults)}
        return [
            (kind, count, _example(examples[kind]), "" if kind in HARMLESS else "yes")
            for kind, count in counts.most_common()
        ]

    def dance_rows(self):
        """(dance, frames, nobody, one, two, more, people a frame) of each dance."""
        rows = []
        for dance, frames in sorted(self._frames.items()):
            people = self._people[dance]
            good = max(people.total(), 1)
            mean = sum(n * count for n, count in people.items()) / good
            more = people.total() - people[0] - people[1] - people[2]
            rows.append((dance, frames, people[0], people[1], people[2], more, f"{mean:.2f}"))
        return rows

    def figures(self):
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


def write_faults(path, faults):
    """Writes the faults as CSV: file, row, fault, message."""
    write_csv(path, [Fault._fields, *faults])


def print_report(root, findings):
    """Prints what the root holds, dance by dance, and what is wrong with it, kind by kind."""
    columns = ("dance", "frames", "nobody", "one", "two", "more", "people a frame")
    print_table(f"{root}: {findings.num_frames:,} frames", columns, findings.dance_rows())
    console.print("\n".join(findings.figures()))
    if findings.faults:
        columns = ("fault", "count", "for one", "costs samples")
        print_table("faults", columns, findings.fault_rows())


def print_verdict(findings, max_bad_fraction):
    """Prints and returns whether the root can be trained on."""
    fit = findings.bad_fraction <= max_bad_fraction and not findings.fatal
    console.print(
        f"{'fit' if fit else 'NOT fit'} to train on: {findings.bad_fraction:.2%} of the frames "
        f"cannot be used (at most {max_bad_fraction:.2%}); {len(findings.fatal)} faults of split "
        "files or half clips"
    )
    return fit
