"""Writing of output files, such as figures and tables: each is whole or absent."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from rmtsim.errors import InputError
from rmtsim.files.durable_files import write_durably
from rmtsim.files.path_names import check_path
from rmtsim.files.regular_files import regular_status
from rmtsim.text.addresses import shown

__all__ = ["check_output", "write_output"]


def check_output(path: str | os.PathLike[str], option: str = "--out") -> None:
    """Raise InputError unless a file can be written: a new one, or one in place of a regular file or a link to one.

    Parameters
    ----------
    path
        The file to write.
    option
        The option that the user gave it with, for messages.
    """
    given = os.fspath(path)
    if "://" in given or shown(given) != given:
        raise InputError(f"{option}: '{shown(given)}' is an address; give a file on this machine")
    check_path(given, option, "give another FILE")
    if given.endswith("/"):
        raise InputError(f"{option}: {given} names a folder; give a FILE in it")
    path = Path(path)
    try:
        if not path.parent.is_dir():
            raise InputError(
                f"{option}: there is no folder {path.parent} for {path.name}; make it, or give another FILE"
            )
        with suppress(FileNotFoundError):
            regular_status(path)
    except OSError as error:
        raise _refused(path, option, error) from error
    except ValueError as error:  # a name with a NUL
        if isinstance(error, InputError):
            raise
        raise InputError(f"{option}: {str(path)!r} is not valid ({error}); give another FILE") from error


def write_output(path: str | os.PathLike[str], content: bytes | str, option: str = "--out") -> None:
    """Write a file, whole or not at all, in place of what was there; on return it is on disk.

    The content first goes to a new file beside it, under a name that cannot be guessed, so that nobody can place a link
    there. A link in the place of the file is replaced, not followed.

    Parameters
    ----------
    path
        The file to write.
    content
        Its content; text is written as UTF-8.
    option
        The option that the user gave it with, for messages.

    Raises
    ------
    InputError
        If the file cannot be written; what was there is as it was.
    """
    path = Path(path)
    check_output(path, option)
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        write_durably(path, data, path.parent)
    except OSError as error:
        raise _refused(path, option, error) from error


def _refused(path: Path, option: str, error: OSError) -> InputError:
    return InputError(f"{option}: {path} cannot be written ({error.strerror or error}); give another FILE")
