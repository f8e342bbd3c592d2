"""Whether a study fits on its disk, before it begins."""

import shutil
from collections.abc import Sequence

from danceflax.errors import UserError
from danceflax.io.console import console
from danceflax.prepare.video_tasks import Task
from danceflax.study.plan import Request
from danceflax.study.videos import Amount, count_missing

BLOCK = 4096  # bytes: what a keypoint file takes of a disk; half of one is lost with each frame
RESERVE = 50e6  # bytes for checkpoints and reports


def require_space(request: Request, amount: Amount, tasks: Sequence[Task]) -> None:
    """Says what the study will take of the disk. Raises UserError: there is less."""
    home = request.output.absolute()
    while not home.exists():
        home = home.parent
    needed, free = bytes_needed(request, amount, count_missing(tasks)), shutil.disk_usage(home).free
    if needed > free:
        raise UserError(
            f"{request.output}: the frames need about {_say(needed)}, and its disk has "
            f"{_say(free)} free; name an --output on another, or keep less by --fps or --short_side"
        )
    console.print(f"about {_say(needed)} of the {_say(free)} that are free on the disk")


def _say(size):
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def bytes_needed(request: Request, amount: Amount, missing: int) -> float:
    """What `missing` of the videos will take."""
    each = amount.frame_bytes + BLOCK / 2 + BLOCK * bool(request.pose)
    return amount.frames * each * missing / amount.videos + RESERVE
