"""Makes train, val and test splits: the same dances in each, no video in two of them.

Clips cut from one video show the same people, clothes and room: a network that saw one of them has
seen the others. All clips of a YouTube id, or of a group that the user names, therefore go into one
split. Given that, each dance's
clips are shared out as the fractions say.
"""

import collections
import csv
import io
import itertools
import pathlib

import numpy as np

from danceflax.data.frames import list_frames
from danceflax.data.root import open_index, require_whole
from danceflax.data.splits import group_frames, list_clips, read_table, split_clip
from danceflax.errors import UserError
from danceflax.io.console import console, print_table
from danceflax.io.files import write_text

SPLITS = ("train", "val", "test")
FRACTIONS = (0.8, 0.1, 0.1)


def run(
    root: str = "",
    lists: tuple[str, ...] = (),
    report: tuple[str, ...] = (),
    output: str = "",
    percent: tuple[int, ...] = (80, 10, 10),
    groups: str = "",
    by: str = "group",
    seed: int = 0,
) -> None:
    """Makes train, val and test splits of a root: dances in proportion, no video in two of them.

    python prepare_data.py split --root=data/letsdance --seed=1
    python prepare_data.py split --root=data/mine --groups=clips.csv --by=dancer
    python prepare_data.py split --lists clips_*.tsv --output=new
    python prepare_data.py split --report clips_*.tsv

    With --groups clips of one dancer, recording or whatever the column names stay together, instead
    of those of one video.

    Args:
      root: the data root.
      lists: share out the clips of these split files instead of a root's.
      report: only say what these split files hold and share.
      output: the folder to write to; by default the root.
      percent: of train, val and test.
      groups: a CSV with a column clip, and a column of what no two splits may share.
      by: that column's name.
      seed: another seed, another result as good.
    """
    if report:
        return print_splits(read_lists(report))
    if bool(root) == bool(lists) or (lists and not output):
        raise UserError("give --root, or --lists with --output, or --report")
    if len(percent) != len(SPLITS):
        raise UserError(f"--percent={percent}: expected three numbers, of {', '.join(SPLITS)}")
    labelled = None
    if root:
        require_whole(root)
        clips, found = group_frames(list_frames(root)), open_index(root)
        labelled = set(found.files[found.keypoints > 0].tolist())
    else:
        named = [clip for found in read_lists(lists).values() for clip in found]
        clips = list({(clip.dance, clip.name): clip for clip in named}.values())
    fractions = [part / 100 for part in percent]
    chosen = assign_clips(clips, fractions, seed, read_groups(groups, by) if groups else None)
    for path in write_splits(output or root, chosen, labelled):
        console.print(f"written: {path}")
    print_splits(dict(zip(SPLITS, chosen, strict=True)))


def read_groups(path, column):
    """{clip: its group} of a CSV with a column clip and the column that names the groups.

    Raises:
      UserError: the file cannot be read, lacks a column, or leaves a group empty.
    """
    table = read_table(path, header=0)
    for name in ("clip", column):
        if name not in table:
            raise UserError(f"{path}: has no column {name}; it has {', '.join(table.columns)}")
    for row in table.index[table[column] == ""]:
        raise UserError(f"{path}, row {row}: the column {column} is empty")
    return dict(zip(table["clip"], table[column], strict=True))


def assign_clips(clips, fractions=FRACTIONS, seed=0, groups=None):
    """Shares clips out to splits.

    Videos are placed one after the other, those with most clips first, where the distance to the
    wanted numbers of clips grows least; then single videos are moved while that brings it down. The
    distance is the sum of squares over dances and splits.

    Args:
      clips: list of `splits.Clip`.
      fractions: of each split; they add up to 1.
      seed: which of the equally good divisions it is.
      groups: {clip's name: group}; what stays together then, instead of the clips of a video.

    Returns:
      list of lists of clips, one a split, in the order given.

    Raises:
      UserError: the fractions are not that, or a clip has no group.
    """
    fractions = np.array(fractions, float)
    if (fractions < 0).any() or abs(fractions.sum() - 1) > 1e-6:
        raise UserError(f"fractions {fractions.tolist()}: expected numbers >= 0 that add up to 1")
    videos = collections.defaultdict(list)  # or groups: what stays together
    for number, clip in enumerate(clips):
        if groups is not None and clip.name not in groups:
            raise UserError(f"the clip {clip.name} of {clip.dance} is in no row of the groups")
        videos[split_clip(clip.name)[0] if groups is None else groups[clip.name]].append(number)
    dances = sorted({clip.dance for clip in clips})
    order = np.random.default_rng(seed).permutation(len(videos))
    members = [numbers for _, numbers in sorted(videos.items())]
    members = sorted((members[i] for i in order), key=len, reverse=True)
    sizes = np.zeros((len(members), len(dances)))  # clips of each dance in each video
    for g, numbers in enumerate(members):
        for number in numbers:
            sizes[g, dances.index(clips[number].dance)] += 1

    # A last column for all dances together, too light to matter but between equals.
    sizes = np.column_stack([sizes, 0.05 * sizes.sum(1)])
    # missing[s, d]: clips of dance d that split s still lacks, negative beyond what it should have.
    missing = fractions[:, None] * sizes.sum(0)
    chosen = np.zeros(len(members), int)
    for g, size in enumerate(sizes):
        chosen[g] = np.argmin(_growth(missing, size))
        missing[chosen[g]] -= size
    moved = True
    while moved:
        moved = False
        for g, size in enumerate(sizes):
            missing[chosen[g]] += size
            growth = _growth(missing, size)
            best = np.argmin(growth)
            if growth[best] < growth[chosen[g]] - 1e-9:
                chosen[g], moved = best, True
            missing[chosen[g]] -= size

    split_of = {number: chosen[g] for g, numbers in enumerate(members) for number in numbers}
    return [
        [clip for number, clip in enumerate(clips) if split_of[number] == s]
        for s in range(len(fractions))
    ]


def _growth(missing, size):
    """[S]: by how much the sum of squares grows if a video with those clips goes to each split."""
    return ((missing - size) ** 2 - missing**2).sum(1)


def write_splits(output, clips, labelled=None, names=SPLITS):
    """Writes the split files of each split's clips (lists of `splits.Clip`).

    With the frames known: OUTPUT/pose_training_split/<split>.csv and
    OUTPUT/videos_split/<split>_videos.csv. Where the clips only count theirs: the second one, with
    the columns label, clip, n_frames. What would be empty is not written.

    Args:
      output: the folder, commonly the root.
      clips: list of lists.
      labelled: the frames that have keypoints, a set of `<dance>/<file>` as bytes, which
        pose_training_split keeps to; None: all.
      names: of the splits.

    Returns:
      The paths written.

    Raises:
      UserError: other splits are there, which new ones must not be mixed with; or a file cannot be
        written.
    """
    output = pathlib.Path(output)
    prefix = f"data/{output.resolve().name}/frames"
    texts = {}
    for name, chosen in zip(names, clips, strict=True):
        frame_list = output / f"pose_training_split/{name}.csv"
        clip_list = output / f"videos_split/{name}_videos.csv"
        texts |= {frame_list: None, clip_list: None}
        if not chosen:
            continue
        if any(clip.frames is None for clip in chosen):
            rows = [(clip.dance, clip.name, clip.num_frames) for clip in chosen]
            texts[clip_list] = _format_csv([("label", "clip", "n_frames"), *rows])
            continue
        frames = [[number.decode() for number in clip.frames.tolist()] for clip in chosen]
        rows = [(c.name, c.dance, str(found)) for c, found in zip(chosen, frames, strict=True)]
        texts[clip_list] = _format_csv([("video_id", "dance_type", "frames"), *rows])
        files = [
            (f"{clip.dance}/{clip.name}_{number}.jpg", clip.dance)
            for clip, found in zip(chosen, frames, strict=True)
            for number in found
        ]
        rows = [
            (f"{prefix}/{file}", dance)
            for file, dance in files
            if labelled is None or file.encode() in labelled
        ]
        if rows:
            texts[frame_list] = _format_csv([("file_path", "dance_type"), *rows])
    for path, text in texts.items():
        if path.exists() and (text is None or path.read_bytes() != text.encode()):
            raise UserError(
                f"{path}: is of another split; remove {output}/*_split, or give another --output"
            )
    written = {path: text for path, text in texts.items() if text}
    for path, text in written.items():
        write_text(path, text)
    return list(written)


def _format_csv(rows):
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def find_leaks(splits):
    """{(a, b): set of video ids in both} for every two of the splits, a dict of name -> clips."""
    videos = {name: {split_clip(c.name)[0] for c in clips} for name, clips in splits.items()}
    return {(a, b): videos[a] & videos[b] for a, b in itertools.combinations(videos, 2)}


def count_dances(splits):
    """Rows (dance, clips in each split ..., all of them), the last row their sums."""
    counts = [collections.Counter(clip.dance for clip in clips) for clips in splits.values()]
    rows = [
        (dance, *(count[dance] for count in counts), sum(count[dance] for count in counts))
        for dance in sorted(set().union(*counts))
    ]
    return [*rows, ("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:]))]


def read_lists(paths):
    """{name: clips} of split files of either kind, named by their files, or paths if those clash.

    Raises:
      UserError: a file is at fault, see `splits.list_clips`.
    """
    paths = [pathlib.Path(path) for path in paths]
    names = [path.name for path in paths]
    names = names if len(set(names)) == len(names) else list(map(str, paths))
    return {name: list_clips(path) for name, path in zip(names, paths, strict=True)}


def print_splits(splits):
    """Prints the clips of each dance in a dict of name -> clips, and which videos they share."""
    print_table("clips", ("dance", *splits, "all"), count_dances(splits))
    for (a, b), videos in find_leaks(splits).items():
        names = f": {', '.join(sorted(videos))}" if videos else ""
        console.print(f"{a} and {b} share {len(videos)} videos{names}")
