"""The index of a root, written so that it opens at once."""

from danceflax.data.root import write_index
from danceflax.io.console import console


def run(root: str) -> None:
    """Scans a root once, so that it opens at once: writes ROOT/index.npz.

    python prepare_data.py index --root=data/letsdance

    Args:
      root: the data root.
    """
    found = write_index(root)
    without = (found.keypoints == 0).sum()
    console.print(f"{root}: {len(found.files):,} frames, {without:,} without keypoints")
