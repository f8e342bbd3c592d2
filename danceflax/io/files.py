"""Files: each is written whole, under its name, or not at all; none is read without a bound."""

import contextlib
import csv
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from danceflax.errors import UserError

PARTIAL = ".partial"  # how the names of files end that are not whole yet
DAY = 86_400.0  # seconds
PAUSES = (0.1, 0.4, 1.6, 6.4)  # seconds between attempts to read
PASSING = {
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNRESET, errno.EAGAIN,
    errno.EBUSY, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH,
}  # fmt: skip


def require_free(paths: Iterable[str | os.PathLike], overwrite: bool = False) -> None:
    """Raises UserError: one of the files to be written is there already.

    No script replaces a file that is there, unless it is told to.
    """
    there = [] if overwrite else [path for path in paths if os.path.lexists(path)]
    if there:
        more = f", as are {len(there) - 1:,} more" if len(there) > 1 else ""
        raise UserError(
            f"{there[0]}: is there already{more}; name another --output, or give --overwrite"
        )


@contextlib.contextmanager
def write_whole(path: str | os.PathLike, folders: bool = True) -> Iterator[pathlib.Path]:
    """A context whose value is a temporary path beside `path`: what is written there takes the
    name `path` when the block ends without an error, and is removed otherwise.

    Args:
      path: the file; an earlier one of that name is replaced.
      folders: make the folders that it lies in.

    Raises:
      UserError: the file cannot be written.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.stem}.{_own_mark()}{PARTIAL}{path.suffix}")
    try:
        if folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def write_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """As `write_whole`, for a folder: the value is an empty folder that becomes `path`.

    Of earlier folders only an empty one is replaced. What was left by killed processes goes first.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{_own_mark()}{PARTIAL}")
    try:
        remove_leftovers(path.parent)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def hold_file(path: str | os.PathLike) -> Iterator[None]:
    """A block that one process at a time is in, of all that give this path; the others wait. The
    file is made, and may be removed in the block. A process that is killed holds nothing."""
    while True:
        with open(path, "a") as file:
            with contextlib.suppress(OSError):  # a file system that knows no locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(path, file):
                yield
                return


def _is_at(path, file):
    """Whether an open file is still what the path names."""
    try:
        return os.path.samefile(file.fileno(), path)
    except FileNotFoundError:
        return False


def remove_leftovers(folder: str | os.PathLike, deep: bool = False) -> None:
    """Removes what killed processes have left unfinished in a folder.

    Of a process of this machine it is known whether it lives; what others began goes once nothing
    has touched it for a day.

    Args:
      folder: need not exist.
      deep: look into its folders, too.
    """
    for path in pathlib.Path(folder).glob(f"{'**/' if deep else ''}.*{PARTIAL}*"):
        mark = re.search(rf"\.([^.]+)-(\d+){re.escape(PARTIAL)}[^/]*$", path.name)
        if mark and _is_over(path, mark[1], int(mark[2])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _own_mark():
    return f"{_machine()}-{os.getpid()}"


def _machine():
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:40] or "machine"


def _is_over(path, machine, process):
    try:
        if machine == _machine():
            os.kill(process, 0)
        return time.time() - path.stat().st_mtime > DAY
    except ProcessLookupError:
        return True
    except OSError:
        return False


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file's bytes; see `write_whole`."""
    with write_whole(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text in UTF-8, line ends as they are; see `write_whole`."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes JSON; see `write_whole`."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_csv(path: str | os.PathLike, rows: Iterable[Sequence]) -> None:
    """Writes rows as CSV, the header among them; see `write_whole`."""
    with write_whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def read_bytes(path: str | os.PathLike, limit: int) -> bytes:
    """The bytes of a file of at most `limit`. What a disk far away may say for a moment is borne
    for some seconds.

    Raises:
      OSError: the file is larger, or no file, or there is none, or never can be.
    """
    for pause in PAUSES:
        try:
            return _read_bytes(path, limit)
        except OSError as error:
            if error.errno not in PASSING:
                raise
        time.sleep(pause)
    return _read_bytes(path, limit)


def _read_bytes(path, limit):
    try:
        with open(path, "rb", opener=open_regular) as file:
            size = os.fstat(file.fileno()).st_size
            # All at once: room for the limit would be made and given back for every file.
            data = file.read() if size <= limit else b""
    except ValueError:  # a NUL in its name
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
    if max(len(data), size) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes")
    return data


def open_regular(path: str | os.PathLike, flags: int) -> int:
    """An opener, for `open`, of regular files only: it waits for no pipe that lies there.

    Raises:
      OSError: it is something else.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a file", str(path))
    return descriptor


def sha256(path: str | os.PathLike) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb", opener=open_regular) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
