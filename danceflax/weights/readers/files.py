"""What every reader checks before it looks inside a weight file."""

import mmap
import os
import pathlib

from danceflax.errors import UserError

# No published file is near this; it bounds what a reader may load into memory.
MAX_BYTES = 4 << 30


def check_weight_file(path: str | os.PathLike) -> bytes:
    """Refuses what is plainly not a weight file and returns the file's first 64 bytes.

    Raises:
      UserError: the file is missing, a directory, empty or huge, a Git LFS pointer or a web page.
    """
    path = pathlib.Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(64)
    except IsADirectoryError:
        raise UserError(f"{path} is a directory; name the weight file inside it") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a weight file") from None
    if not head:
        raise UserError(f"{path} is empty; download it again")
    if size > MAX_BYTES:
        raise UserError(f"{path} has {size:,} bytes; weight files end at {MAX_BYTES:,}")
    if head.startswith(b"version https://git-lfs"):
        raise UserError(
            f"{path} is a Git LFS pointer, not the weights; run `git lfs pull` where it came from"
        )
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise UserError(f"{path} is a web page, not weights; open it in a browser to see why")
    return head


def map_file(path: str | os.PathLike) -> mmap.mmap:
    """The file mapped into memory, to be read like a file. Unlike a file's, its `read(n)` never
    allocates more than is there, whatever n a damaged file claims."""
    with pathlib.Path(path).open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
