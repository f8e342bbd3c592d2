"""Makes data sets ready to train on; `python prepare_data.py COMMAND --help` shows examples.

The layouts, and what to do first with which data, are in data/README.md.
"""

import functools
import pathlib
import sys

from danceflax import cli
from danceflax.data import root as indexing
from danceflax.data import splits
from danceflax.data.frames import list_frames
from danceflax.errors import BadSampleError, UserError
from danceflax.io.console import print_faults, show_progress
from danceflax.io.images import read_image
from danceflax.io.workers import run_tasks
from danceflax.prepare import check as check_root
from danceflax.prepare import findings
from danceflax.prepare import flow as flow_files
from danceflax.prepare import frames as extract
from danceflax.prepare import import_openpose as openpose
from danceflax.prepare import split as make_splits
from danceflax.prepare.arguments import make_parser, parse_numbers
from danceflax.prepare.synthetic import dataset


def frames(args):
    """Extracts the frames of videos into a root, in parallel; goes on where it was interrupted.

    python prepare_data.py frames --videos=my_videos --root=data/mine --fps=25 --short_side=360
    python prepare_data.py frames --videos=fast.mp4 --dance=latin --root=data/mine

    my_videos holds a folder for each dance. Clips are named <11 characters>_<start second>, by the
    video if it is named so.
    """
    tasks = extract.plan_extraction(
        args.videos, args.root, args.dance, args.fps, args.short_side, args.quality
    )
    with show_progress("extracting", "clips") as progress:
        results = list(run_tasks(extract.extract_clip, tasks, args.workers, progress))
    counts = [count for kind, count in results if kind != "bad"]
    print(f"{args.root}: {len(counts):,} clips, {sum(counts):,} frames")
    return print_faults([message for kind, message in results if kind == "bad"])


def import_openpose(args):
    """Imports OpenPose JSON and the images or videos it is of into a root.

    python prepare_data.py import-openpose --root=data/mine --json=out --frames=images --dance=tango
    python prepare_data.py import-openpose --root=data/mine --json=out --videos=demo.mp4 \\
        --dance=ballet --fps=12.5 --short_side=360

    Files are called <name>_<frame>_keypoints.json; images <name>_<frame>.jpg or .png, or videos
    <name>.mp4. Of videos, the frames are extracted as by `frames`, and keypoints follow their size.
    """
    found = openpose.list_keypoints(args.json)
    if args.videos:
        tasks = extract.plan_extraction(
            args.videos, args.root, args.dance, args.fps, args.short_side, args.quality
        )
        frames(args)
        jobs = [(task.dance, task.clip, pathlib.Path(task.video).stem) for task in tasks]
        import_clip = functools.partial(
            openpose.import_extracted, source_frame=extract.source_frame
        )
    elif args.frames and args.dance:
        jobs = [(args.dance, extract.name_clip(name, args.dance), name) for name in found]
        import_clip = functools.partial(openpose.import_frames, frames=pathlib.Path(args.frames))
    else:
        raise UserError("give --videos, or --frames and --dance")
    results = [
        import_clip(args.root, dance, clip, found.get(name, {})) for dance, clip, name in jobs
    ]
    count = sum(count for count, _ in results)
    print(f"{args.root}: {count:,} frames with keypoints, of {len(jobs)} clips")
    return print_faults([message for _, messages in results for message in messages])


def keypoints(args):
    """Runs a trained pose network over a root's frames to make its keypoint files.

    python prepare_data.py keypoints --root=data/mine --checkpoint=runs/a

    Writes ROOT/keypoints/<dance>/<clip>_<frame>.json as OpenPose does; frames that have a keypoint
    file are left alone, so an interrupted run goes on.
    """
    from danceflax import api  # with it JAX, which other commands do without
    from danceflax.pose.openpose_json import write_people
    from danceflax.skeleton import SKELETONS

    root = pathlib.Path(args.root)
    folder = root / indexing.find_folder(root, indexing.FRAME_FOLDERS)
    found = indexing.scan_root(root)[0]
    todo = [file.decode() for file in found.files[found.keypoints == 0].tolist()]
    folders = [name for name in indexing.KEYPOINT_FOLDERS if (root / name).is_dir()]
    output = root / (folders or indexing.KEYPOINT_FOLDERS)[0]
    predictor = api.load_predictor(args.checkpoint, batch_size=args.batch_size)
    if predictor.skeleton.name not in SKELETONS:
        raise UserError(f"{args.checkpoint}: no pose network of {' or '.join(SKELETONS)}")
    faults = []

    def read():
        for file in todo:
            try:
                yield file, read_image(folder / file)
            except BadSampleError as error:
                faults.append(str(error))

    with show_progress("finding people", "frames") as progress:
        for done, (file, _, persons, _) in enumerate(predictor.stream(read()), 1):
            path = (output / file).with_suffix(".json")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_people(path, persons)
            progress(done + len(faults), len(todo))
    print(f"{root}: {len(todo) - len(faults):,} keypoint files written")
    return print_faults(faults)


def flow(args):
    """Computes the optical flow from each frame of a root to the next, for the flow classifiers.

    python prepare_data.py flow --root=data/letsdance
    python prepare_data.py flow --root=data/letsdance --method=tvl1

    Writes ROOT/flow/<dance>/<clip>_<frame>.png; files that are there stay, so that an interrupted
    run goes on. dis is the fastest; tvl1 is what I3D was trained on, a hundred times slower.
    """
    folder = indexing.find_folder(args.root, indexing.FRAME_FOLDERS)
    files = indexing.open_index(args.root).files
    tasks = flow_files.plan_flow(args.root, folder, files, args.method, args.short_side)
    with show_progress("computing flow", "clips") as progress:
        results = list(run_tasks(flow_files.compute_clip, tasks, args.workers, progress))
    print(f"{args.root}/flow: {sum(count for count, _ in results):,} files written")
    return print_faults([message for _, messages in results for message in messages])


def index(args):
    """Scans a root once, so that it opens at once: writes ROOT/index.npz.

    python prepare_data.py index --root=data/letsdance
    """
    found = indexing.write_index(args.root)
    without = (found.keypoints == 0).sum()
    print(f"{args.root}: {len(found.files):,} frames, {without:,} without keypoints")


def check(args):
    """Lists every fault of a root and its splits, and says whether it can be trained on.

    python prepare_data.py check --root=data/letsdance --output=faults.csv

    Exit status 0: fit to train on. 1: more faults than --max_bad_fraction, or a split file at which
    training would stop. 2: this command was not understood.
    """
    found = findings.Findings()
    tasks = check_root.plan_check(args.root)
    with show_progress("checking", f"times {check_root.CHUNK} frames") as progress:
        results = run_tasks(check_root.check_frames, tasks, args.workers, progress)
        for task, result in zip(tasks, results, strict=True):
            found.add(task, result)
    found.faults += check_root.check_splits(args.root)
    if args.output:
        findings.write_faults(args.output, found.faults)
    findings.print_report(args.root, found)
    return 0 if findings.print_verdict(found, args.max_bad_fraction) else 1


def split(args):
    """Makes train, val and test splits of a root: dances in proportion, no video in two of them.

    python prepare_data.py split --root=data/letsdance --seed=1
    python prepare_data.py split --root=data/mine --groups clips.csv dancer
    python prepare_data.py split --lists clips_train.tsv clips_val.tsv clips_test.tsv --output=new
    python prepare_data.py split --report clips_train.tsv clips_val.tsv clips_test.tsv

    With --lists the clips of those lists are shared out anew; with --report nothing is written.
    With --groups clips of one dancer, recording or whatever the column names stay together, instead
    of those of one video.
    """
    if args.report:
        return make_splits.print_splits(make_splits.read_lists(args.report))
    if bool(args.root) == bool(args.lists) or (args.lists and not args.output):
        raise UserError("give --root, or --lists with --output, or --report")
    labelled = None
    if args.root:
        indexing.require_whole(args.root)
        clips = splits.group_frames(list_frames(args.root))
        found = indexing.open_index(args.root)
        labelled = set(found.files[found.keypoints > 0].tolist())
    else:
        lists = make_splits.read_lists(args.lists).values()
        clips = list({(clip.dance, clip.name): clip for found in lists for clip in found}.values())
    fractions = [part / 100 for part in parse_numbers("percent", args.percent, 3)]
    groups = make_splits.read_groups(*args.groups) if args.groups else None
    chosen = make_splits.assign_clips(clips, fractions, args.seed, groups)
    for path in make_splits.write_splits(args.output or args.root, chosen, labelled):
        print(f"written: {path}")
    return make_splits.print_splits(dict(zip(make_splits.SPLITS, chosen, strict=True)))


def tfds(args):
    """Builds an ArrayRecord set of a root, for config.data.source = "tfds".

    python prepare_data.py tfds --root=data/letsdance
    python prepare_data.py tfds --root=data/letsdance --output=gs://bucket/letsdance
    """
    from danceflax.prepare import tfds  # takes seconds to import

    with show_progress(f"building {args.set}", "examples") as progress:
        info = tfds.build(args.set, args.root, args.output, progress)
    counts = ", ".join(
        f"{name} {make_splits.num_examples:,}" for name, split in info.splits.items()
    )
    print(f"{info.data_dir}: {counts}")


def synthetic(args):
    """Renders dancing figures with exact keypoints: a whole Let's Dance root, made up.

    python prepare_data.py synthetic --output=data/synthetic
    python prepare_data.py synthetic --output=data/large --clips=80,10,10 --size=640,360
    """
    clips = dict(zip(make_splits.SPLITS, parse_numbers("clips", args.clips, 3), strict=True))
    with show_progress("rendering", "clips") as progress:
        root = dataset.write_dataset(
            args.output,
            seed=args.seed,
            clips_per_dance={name: count for name, count in clips.items() if count},
            frames_per_clip=args.frames,
            fps=args.fps,
            size=parse_numbers("size", args.size, 2),
            max_people=args.people,
            workers=args.workers,
            progress=progress,
        )
    print(f"written to {root}")


# Each command and its flags: ! must be given, =value is this command's default.
COMMANDS = {
    frames: "videos! root! dance fps short_side quality workers",
    import_openpose: "json! root! frames videos dance fps short_side quality workers",
    keypoints: "root! checkpoint! batch_size",
    flow: "root! method short_side=256 workers",
    index: "root!",
    check: "root! output max_bad_fraction workers",
    split: "root lists report output percent groups seed",
    tfds: "root! set output",
    synthetic: "output! seed clips frames=32 fps=12.5 size people workers",
}


def main(argv=None):
    args = make_parser(__doc__, COMMANDS).parse_args(argv)
    try:
        return args.function(args)
    except UserError as error:
        cli.fail(error)
    except KeyboardInterrupt:
        cli.fail("interrupted; the same command goes on, or starts clean")


if __name__ == "__main__":
    sys.exit(main())
