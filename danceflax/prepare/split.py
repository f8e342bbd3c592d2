"""Makes train, val and test splits: the same dances in each, no video in two of them.

Clips cut from one video show the same people, clothes and room: a network that saw one of them has
seen the others. All clips of a source video, or of a group that the user names, therefore go into
one split (`clip_table.group_of`). Given that, each dance's clips are shared out as the fractions
say.
"""

import csv
import io
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from danceflax.data.clip_table import ClipNote, find_note, read_clip_table
from danceflax.data.frames import list_frames
from danceflax.data.root import open_index, require_whole
from danceflax.data.shares import assign_clips
from danceflax.data.splits import Clip, group_frames
from danceflax.data.tables import read_table
from danceflax.errors import UserError
from danceflax.io.console import console, print_faults, summarise
from danceflax.io.files import write_text
from danceflax.prepare.split_report import find_holes, print_splits, read_lists

SPLITS = ("train", "val", "test")


def run(
    root: str = "",
    lists: tuple[str, ...] = (),
    report: tuple[str, ...] = (),
    output: str = "",
    percent: tuple[int, ...] = (80, 10, 10),
    groups: str = "",
    by: str = "group",
    shortest: float = 0.0,
    seed: int = 0,
) -> None:
    """Makes train, val and test splits of a root: dances in proportion, no video in two of them.

    python prepare_data.py split --root=data/letsdance --seed=1
    python prepare_data.py split --root=data/mine --groups=clips.csv --by=dancer
    python prepare_data.py split --lists clips_*.tsv --output=new
    python prepare_data.py split --report clips_*.tsv

    Clips of one source video stay together, by ROOT/clips.csv and by their names; with --groups,
    those of one dancer, recording or whatever the column names.

    Args:
      root: the data root.
      lists: share out the clips of these split files instead of a root's.
      report: only say what these split files hold and share.
      output: the folder to write to; by default the root.
      percent: of train, val and test.
      groups: a CSV with a column clip, and a column of what no two splits may share.
      by: that column's name.
      shortest: seconds; shorter clips of a root are left out: classifiers refuse less than half a
        window. 0 takes all.
      seed: another seed, another result as good.
    """
    if report:
        return print_splits(read_lists(report))
    if bool(root) == bool(lists) or (lists and not output):
        raise UserError("give --root, or --lists with --output, or --report")
    if len(percent) != len(SPLITS):
        raise UserError(f"--percent={percent}: expected three numbers, of {', '.join(SPLITS)}")
    files = table = None
    if root:
        require_whole(root)
        clips, found = group_frames(list_frames(root)), open_index(root)
        labelled = [file.decode() for file in found.files[found.keypoints > 0].tolist()]
        files = {os.path.splitext(file)[0]: file for file in labelled}
        table = read_clip_table(root)
        clips, short = drop_short(clips, table, shortest)
        print_faults(summarise(short), f"shorter than {shortest:g} s")
    else:
        named = [clip for found in read_lists(lists).values() for clip in found]
        clips = list({(clip.dance, clip.name): clip for clip in named}.values())
    if groups:
        table = read_groups(groups, by)
        require_groups(clips, table)
    fractions = [part / 100 for part in percent]
    chosen = assign_clips(clips, fractions, seed, table)
    for path in write_splits(output or root, chosen, files):
        console.print(f"written: {path}")
    named = dict(zip(SPLITS, chosen, strict=True))
    print_splits(named, table)
    print_faults(find_holes(named, fractions), "note")


def drop_short(
    clips: Iterable[Clip], table: dict[str, ClipNote], shortest: float
) -> tuple[list[Clip], list[str]]:
    """Clips of so many seconds at least, and the names of the others; of those of which the table
    gives no rate nobody knows."""
    kept, short = [], []
    for clip in clips:
        note = find_note(clip, table)
        fps = note.fps if note else 0.0
        numbers = clip.frames.astype(int)
        is_short = fps and (numbers[-1] - numbers[0] + 1) / fps < shortest
        (short if is_short else kept).append(f"{clip.dance}/{clip.name}" if is_short else clip)
    return kept, short


def read_groups(path: str | os.PathLike, column: str) -> dict[str, ClipNote]:
    """{clip: note with its group} of a CSV with a column clip and one that names the groups.

    Raises:
      UserError: the file cannot be read, lacks a column, or leaves a group empty.
    """
    table = read_table(path)
    for name in ("clip", column):
        if name not in table:
            raise UserError(f"{path}: has no column {name}; it has {', '.join(table.columns)}")
    for row in table.index[table[column] == ""]:
        raise UserError(f"{path}, row {row}: the column {column} is empty")
    return {
        clip: ClipNote(group=group)
        for clip, group in zip(table["clip"], table[column], strict=True)
    }


def require_groups(clips: Iterable[Clip], table: dict[str, ClipNote]) -> None:
    """Raises UserError: a clip is in no row of the groups that a person gave."""
    for clip in clips:
        if find_note(clip, table) is None:
            raise UserError(f"the clip {clip.name} of {clip.dance} is in no row of the groups")


def write_splits(
    output: str | os.PathLike,
    clips: Sequence[Sequence[Clip]],
    files: Mapping[str, str] | None = None,
    names: Sequence[str] = SPLITS,
) -> list[pathlib.Path]:
    """Writes the split files of each split's clips.

    With the frames known: OUTPUT/pose_training_split/<split>.csv and
    OUTPUT/videos_split/<split>_videos.csv. Where the clips only count theirs: the second one, with
    the columns label, clip, n_frames. What would be empty is not written.

    Args:
      output: the folder, commonly the root.
      clips: of each split.
      files: {`<dance>/<clip>_<number>`: `<dance>/<file>`} of the frames with keypoints, which
        pose_training_split keeps to; None: all, as .jpg.
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
        stems = [
            (f"{clip.dance}/{clip.name}_{number}", clip.dance)
            for clip, found in zip(chosen, frames, strict=True)
            for number in found
        ]
        rows = [
            (f"{prefix}/{f'{stem}.jpg' if files is None else files[stem]}", dance)
            for stem, dance in stems
            if files is None or stem in files
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
