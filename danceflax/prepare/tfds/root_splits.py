"""What both builders ask of a root: its splits and dances, and patience with bad frames."""

import contextlib
import logging
import pathlib

from danceflax.data.frames import SPLIT_FILES
from danceflax.data.root import FRAME_FOLDERS, find_folder, list_folder
from danceflax.errors import BadSampleError, UserError

# Share of unreadable frames of a split that are left out before a build is given up.
MAX_BAD_FRACTION = 0.01


def list_splits(root):
    """[(name, split file)] of a root; frame CSVs before clip lists. [("train", None)], every frame,
    if it has no split file."""
    found = {}
    for pattern in SPLIT_FILES[:2]:
        before, after = pattern.split("{}")
        for path in sorted(pathlib.Path(root).glob(f"{before}*{after}")):
            name = str(path.relative_to(root)).removeprefix(before).removesuffix(after)
            found.setdefault(name, path)
    return list(found.items()) or [("train", None)]


def list_dances(root):
    """The dances of a root. Raises UserError: it is no root, or has none."""
    folder = find_folder(root, FRAME_FOLDERS)
    dances = [
        d for d in sorted(list_folder(f"{root}/{folder}")) if list_folder(f"{root}/{folder}/{d}")
    ]
    if not dances:
        raise UserError(f"{root}: there is no frame in {folder}/<dance>")
    return dances


class BadFrames:
    """Leaves out and logs unreadable frames, until they are too many."""

    def __init__(self, num_frames):
        self._max = MAX_BAD_FRACTION * num_frames
        self._count = 0

    @contextlib.contextmanager
    def skip(self):
        """A block that a BadSampleError ends early. Raises UserError: that was one too many."""
        try:
            yield
        except BadSampleError as error:
            self._count += 1
            logging.warning("left out: %s", error)
            if self._count > self._max:
                raise UserError(
                    f"{error}; that makes {self._count}, more than {MAX_BAD_FRACTION:.0%} of the "
                    "split: mend or unlist them (prepare_data.py check lists all)"
                ) from None
