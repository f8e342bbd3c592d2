"""One training a folder: two would overwrite each other's checkpoints."""

import contextlib
import errno
import fcntl
import os
import pathlib
import socket
import time
from collections.abc import Iterator

from danceflax.errors import UserError
from danceflax.io.console import errors
from danceflax.io.files import open_regular

NAME = ".lock"
# What a file system says that knows no locks.
_UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def hold(workdir: str | os.PathLike) -> Iterator[None]:
    """A context in which WORKDIR, made if needed, is this process's alone.

    The lock is the kernel's: it goes with the process, however that ends. NFS, Lustre and the like
    pass it on to other machines; where a file system knows no locks, a line says so.

    Raises:
      UserError: another training holds it; the message says which.
    """
    path = pathlib.Path(workdir) / NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", opener=_open_own)  # noqa: SIM115 (closed below)
    except OSError as error:
        raise UserError(
            f"{error.filename}: cannot be written: {error.strerror}; name another --workdir"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"{workdir} is in use by {file.read(200).strip() or 'another training'}; stop that "
                "first, or name another --workdir"
            ) from None
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise UserError(f"{path}: cannot be locked: {error.strerror}") from None
            errors.print(f"{workdir} knows no locks: see that no other training writes to it")
        with contextlib.suppress(OSError):  # on a full disk the lock holds without a name
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.ctime()}\n")
            file.flush()
        yield


def _open_own(path, flags):
    """A link may lead to a file of somebody's, which would be emptied."""
    return open_regular(path, flags | os.O_NOFOLLOW)
