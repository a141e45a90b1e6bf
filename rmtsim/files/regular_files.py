"""Opening of regular files only: a named pipe would wait for ever, and a device cannot keep results."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import BinaryIO

#: Kinds of files that are not regular, in words.
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
}


class NotRegularError(OSError):
    """Something that is not a regular file; ``strerror`` says what it is."""


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, or a link to one, for reading.

    Raises
    ------
    NotRegularError
        If it is a named pipe, a socket, a device or a folder. The call returns at once in every case.
    OSError
        If it cannot be opened.
    """
    return open(regular_descriptor(path, os.O_RDONLY), "rb")


def regular_status(path: str | os.PathLike[str]) -> os.stat_result:
    """Return the result of ``os.stat`` for a regular file, or for a link to one.

    Raises
    ------
    NotRegularError, OSError
        As `open_regular`.
    """
    status = os.stat(path)
    _check(status, path)
    return status


def regular_descriptor(path: str | os.PathLike[str], flags: int) -> int:
    """Open a regular file with flags of ``os.open``; a new file gets the permissions that the umask leaves.

    With ``os.O_NOFOLLOW`` a link is refused as well.

    Raises
    ------
    NotRegularError, OSError
        As `open_regular`.
    """
    with suppress(FileNotFoundError):  # looked at first, as the opening alone may do something to a device
        _check(os.stat(path, follow_symlinks=not flags & os.O_NOFOLLOW), path)
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o666)
    try:
        _check(os.fstat(descriptor), path)
    except NotRegularError:
        os.close(descriptor)
        raise
    return descriptor


def _check(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise NotRegularError(errno.EINVAL, f"it is {kind}, not a regular file", os.fspath(path))
