"""Names of files: whether a path can be one, in UTF-8, as pyarrow and others need it, and what a folder holds."""

from __future__ import annotations

import errno
import os
from itertools import islice

from rmtsim.errors import InputError
from rmtsim.text.words import abridge

#: At most so many names of a folder are looked at.
_LOOKED_AT = 1000


def check_path(path: str | os.PathLike[str], name: str, advice: str) -> None:
    r"""Raise InputError if the whole path of a file or folder is not UTF-8 on the disk, or cannot be a path at all.

    Parameters
    ----------
    path
        The path; a relative one counts with the folder that it is relative to.
    name, advice
        What it is and what to do, for the message.

    Examples
    --------
    >>> from rmtsim.files.path_names import check_path
    >>> check_path("café", "store", "give another directory")
    >>> check_path("caf\udce9", "store", "give another directory")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    rmtsim.errors.InputError: store: caf\xe9, in ..., is not valid UTF-8; give another directory
    """
    given = os.fspath(path)
    if "\0" in given:
        raise InputError(f"{name}: {abridge(given)} has a null character; {advice}")
    whole = os.path.abspath(given)
    try:
        valid = os.fsencode(whole) == whole.encode("utf-8")
    except UnicodeEncodeError:
        valid = False
    if not valid:
        here = "" if os.path.isabs(given) else f", in {_escaped(os.getcwd())},"
        raise InputError(f"{name}: {_escaped(given)}{here} is not valid UTF-8; {advice}")
    try:
        os.lstat(whole)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{name}: {abridge(given)} is too long for a path; {advice}") from None


def _escaped(path: str) -> str:
    """Return a path with escapes in place of bytes that are not UTF-8."""
    try:
        return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return path.encode("utf-8", "backslashreplace").decode()


def names_in(folder: str | os.PathLike[str]) -> list[str]:
    """Return the sorted names of what a folder holds, the first thousand; none where it cannot be read."""
    try:
        with os.scandir(folder or ".") as found:
            return sorted(entry.name for entry in islice(found, _LOOKED_AT))
    except OSError:
        return []
