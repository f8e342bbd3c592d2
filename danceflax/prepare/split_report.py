"""What splits hold, what they share and what they lack."""

import collections
import itertools
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from danceflax.data.clip_table import ClipNote, group_of
from danceflax.data.splits import Clip, list_clips
from danceflax.io.console import console, print_table

MAX_NAMED = 40  # videos in a line of the report


def find_leaks(
    splits: Mapping[Any, Sequence[Clip]], table: dict[str, ClipNote] | None = None
) -> dict[tuple[Any, Any], set[str]]:
    """{(a, b): groups in both} for every two of the splits, {name: clips}.

    Groups are the videos, unless the table says more; see `clip_table.group_of`.
    """
    groups = {name: {group_of(clip, table) for clip in clips} for name, clips in splits.items()}
    return {(a, b): groups[a] & groups[b] for a, b in itertools.combinations(groups, 2)}


def find_holes(splits: Mapping[str, Sequence[Clip]], fractions: Iterable[float]) -> list[str]:
    """Messages about splits without a clip of some dance whose fraction is not 0."""
    found = {name: {clip.dance for clip in clips} for name, clips in splits.items()}
    dances = sorted(set().union(*found.values()))
    messages = []
    for (name, own), fraction in zip(found.items(), fractions, strict=True):
        absent = [dance for dance in dances if dance not in own]
        if fraction and absent:
            what = f"has no clip of {', '.join(absent)}" if own else "is empty"
            messages.append(
                f"the split {name} {what}: too few videos to share out; add some, ask for fewer "
                "splits (--percent=80,20,0), or say by --groups which clips may come apart"
            )
    return messages


def count_dances(splits: Mapping[str, Sequence[Clip]]) -> list[tuple]:
    """Rows (dance, clips in each split ..., all of them), the last row their sums."""
    counts = [collections.Counter(clip.dance for clip in clips) for clips in splits.values()]
    rows = [
        (dance, *(count[dance] for count in counts), sum(count[dance] for count in counts))
        for dance in sorted(set().union(*counts))
    ]
    return [*rows, ("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:]))]


def read_lists(paths: Iterable[str | os.PathLike]) -> dict[str, list[Clip]]:
    """{name: clips} of split files of either kind, named by their files, or paths if those clash.

    Clips are as listed: one that is listed twice is there twice.

    Raises:
      UserError: a file is at fault, see `splits.list_clips`.
    """
    paths = [pathlib.Path(path) for path in paths]
    names = [path.name for path in paths]
    names = names if len(set(names)) == len(names) else list(map(str, paths))
    return {name: list_clips(path, repeated=True) for name, path in zip(names, paths, strict=True)}


def print_splits(
    splits: Mapping[str, Sequence[Clip]], table: dict[str, ClipNote] | None = None
) -> None:
    """Prints the clips of each dance in splits {name: clips}, how much each split holds, and
    what every two share."""
    print_table("clips", ("dance", *splits, "all"), count_dances(splits))
    for name, clips in splits.items():
        frames = sum(clip.num_frames for clip in clips)
        groups = len({group_of(clip, table) for clip in clips})
        twice = len(clips) - len({clip[:2] for clip in clips})
        twice = f"; {twice:,} of them listed twice" if twice else ""
        console.print(
            f"{name}: {len(clips):,} clips of {groups:,} videos, {frames:,} frames{twice}"
        )
    console.print(
        f"in all: {sum(clip.num_frames for clips in splits.values() for clip in clips):,} frames"
    )
    for (a, b), groups in find_leaks(splits, table).items():
        same = {clip[:2] for clip in splits[a]} & {clip[:2] for clip in splits[b]}
        leaking = sum(group_of(clip, table) in groups for clip in splits[b])
        names = f": {', '.join(sorted(groups)[:MAX_NAMED])}" if groups else ""
        names += ", ..." if len(groups) > MAX_NAMED else ""
        console.print(f"{a} and {b} share {len(groups):,} videos{names}")
        of = f"{leaking:,} of the {len(splits[b]):,} clips of {b}"
        console.print(f"  {of} are of a video that {a} has; {len(same):,} clips are in both")
