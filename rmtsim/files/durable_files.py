"""Writing of local files that are whole or absent, and on disk once they are written."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

#: Errors of file systems, such as CIFS and FUSE, that cannot bring a file to disk on demand; they are ignored.
_NO_SYNC = {
    errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.ENOSYS, errno.EACCES, errno.EPERM, errno.EISDIR
}  # fmt: skip


def write_durably(target: Path, data: bytes | pa.Buffer, temporaries: Path) -> None:
    """Write a file over what was there: a temporary file, fsync, rename, fsync of the folder.

    Parameters
    ----------
    target, data
        The file and its content.
    temporaries
        The folder of the temporary file, which is made where it does not exist. If it lies on another file system than
        the target, the temporary file is hidden beside the target instead.

    Raises
    ------
    OSError
        If the disk refuses; what was there is as it was, and no temporary file is left, nor by Ctrl-C.
    """
    name = f".{target.name}.{uuid.uuid4().hex[:12]}.tmp"
    temporaries.mkdir(parents=True, exist_ok=True)
    try:
        _write_and_rename(temporaries / name, target, data)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _write_and_rename(target.parent / name, target, data)
    sync_folder(target.parent)


def _write_and_rename(temporary: Path, target: Path, data: bytes | pa.Buffer) -> None:
    try:
        with temporary.open("xb") as file:  # a new file: no link is followed, and the umask rules its permissions
            file.write(data)
            file.flush()
            _sync(file.fileno())
        os.replace(temporary, target)
    except BaseException:  # also where a user stops the program
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to disk, as far as its file system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder may be open for writing names only
        return
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
