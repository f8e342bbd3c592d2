"""Keypoint files of a root's frames, by a trained pose network."""

import pathlib

from danceflax.data.root import (
    FRAME_FOLDERS,
    KEYPOINT_FOLDERS,
    find_folder,
    scan_root,
)
from danceflax.errors import BadSampleError, UserError
from danceflax.io.console import console, print_faults, show_progress
from danceflax.io.files import remove_leftovers
from danceflax.io.images import read_image
from danceflax.skeleton import SKELETONS


def run(root: str, checkpoint: str, batch_size: int = 8) -> int:
    """Runs a trained pose network over a root's frames to make its keypoint files.

    python prepare_data.py keypoints --root=data/mine --checkpoint=runs/a

    Writes ROOT/keypoints/<dance>/<clip>_<frame>.json as OpenPose does; frames that have a keypoint
    file are left alone, so an interrupted run goes on.

    Args:
      root: the data root.
      checkpoint: a workdir, a step in it, or converted weights.
      batch_size: frames a step, over all devices.
    """
    from danceflax.api import load_predictor  # with it JAX, which other commands do without
    from danceflax.pose.openpose_json import write_people

    folder = pathlib.Path(root) / find_folder(root, FRAME_FOLDERS)
    found = scan_root(root)[0]
    todo = [file.decode() for file in found.files[found.keypoints == 0].tolist()]
    folders = [name for name in KEYPOINT_FOLDERS if (pathlib.Path(root) / name).is_dir()]
    output = pathlib.Path(root) / (folders or KEYPOINT_FOLDERS)[0]
    remove_leftovers(output, deep=True)
    predictor = load_predictor(checkpoint, batch_size=batch_size)
    if predictor.skeleton.name not in SKELETONS:
        raise UserError(f"{checkpoint}: no pose network of {' or '.join(SKELETONS)}")
    faults = []

    def read():
        for file in todo:
            try:
                yield file, read_image(folder / file)
            except BadSampleError as error:
                faults.append(str(error))

    with show_progress("finding people", "frames") as progress:
        for done, (file, _, people, _) in enumerate(predictor.stream(read()), 1):
            write_people((output / file).with_suffix(".json"), people)
            progress(done + len(faults), len(todo))
    console.print(f"{root}: {len(todo) - len(faults):,} keypoint files written")
    return print_faults(faults)
