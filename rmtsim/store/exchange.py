"""Replacement of several files of a folder by new ones, in a single step.

Whoever lists the folder sees either the old files or the new ones. A new folder, with hard links to the files that stay
and with the new files, changes places with the old folder. Linux can do that on most local file systems
(``renameat2``); elsewhere the caller has to write the new files and then delete the old ones.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import uuid
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from rmtsim.files.durable_files import sync_folder, write_durably

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux

#: Prefix of the names of new folders until they have changed places.
BEGINS = ".folder."


def replace_files(
    folder: Path, new: Iterable[tuple[str, bytes | pa.Buffer]], gone: Collection[str], temporaries: Path
) -> bool:
    """Replace files of a folder by new ones.

    Parameters
    ----------
    folder
        The folder, which has no folders in it.
    new
        Names of the new files, and what they hold; one is made after the other, and none is kept in memory.
    gone
        Names of the files that the new files replace.
    temporaries
        A folder on the same file system for unfinished files.

    Returns
    -------
    bool
        Whether it was done. If not, for example because the file system cannot do it, nothing has changed.
    """
    fresh, gone = temporaries / f"{BEGINS}{uuid.uuid4().hex[:12]}.tmp", frozenset(gone)
    try:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or _has_rules(folder):  # a link to a folder elsewhere, or more than a mode
            return False
        fresh.mkdir(parents=True)
        with suppress(PermissionError):  # a group's folder stays the group's
            os.chown(fresh, -1, status.st_gid)
        fresh.chmod(stat.S_IMODE(status.st_mode))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name not in gone:
                    os.link(entry.path, fresh / entry.name, follow_symlinks=False)
        for name, data in new:
            write_durably(fresh / name, data, fresh)
        _exchange(fresh, folder)
    except (OSError, AttributeError):  # no such call, or no hard links
        shutil.rmtree(fresh, ignore_errors=True)
        return False
    except BaseException:  # what was to be written could not be made
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    sync_folder(folder.parent)
    dissolve(fresh, folder, gone)
    return True


def dissolve(old: Path, folder: Path, gone: Collection[str]) -> None:
    """Remove a folder that has changed places, or was about to; files added to it meanwhile move to ``folder``."""
    gone = frozenset(gone)
    for path in old.iterdir():
        if path.name.endswith(".tmp") or path.name in gone or _same(path, folder / path.name):
            path.unlink()
        else:
            os.replace(path, folder / path.name)
    old.rmdir()


def _has_rules(folder: Path) -> bool:
    """Return whether a folder has an access control list, which a new folder would lack."""
    try:
        return any("acl" in name for name in os.listxattr(folder))
    except OSError:  # a file system without such
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(one.lstat(), other.lstat())
    except FileNotFoundError:
        return False


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(one), None, os.fspath(other))
