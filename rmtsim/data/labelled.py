"""Labelled samples (X, y): keyed randomness for them, and the checks of those that come from a file."""

from __future__ import annotations

from hashlib import blake2b, sha256
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rmtsim.errors import InputError
from rmtsim.files.path_names import check_path
from rmtsim.files.regular_files import regular_status
from rmtsim.text.checks import check_size

#: X (N, d) and y (N,).
Samples: TypeAlias = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


def keyed(kind: str, role: str, key: str) -> np.random.Generator:
    """Return the generator of a role of a kind of data set: a stream of its own for each key."""
    identity = blake2b(f"{kind}/{role}/{key}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.SFC64(int.from_bytes(identity, "little")))


def check_sizes(n_classes: int, dim: int, n_samples: int) -> None:
    """Raise InputError unless C, d and N are sizes."""
    for name, value in (("n_classes", n_classes), ("dim", dim), ("n_samples", n_samples)):
        check_size(name, value)


def stamp(path: str, wanted: str) -> tuple[int, int]:
    """Return the size and time of a file, which change when it is written anew.

    Raises
    ------
    InputError
        If the file does not exist, or is a pipe, a device or a folder; ``wanted`` is the advice in the message.
    """
    check_path(path, "data", wanted)
    try:
        about = regular_status(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, getattr(error, "strerror", None) or str(error), wanted) from error
    return about.st_size, about.st_mtime_ns


def unreadable(path: str, reason: str, wanted: str) -> InputError:
    """Return the error for a file that cannot be read, with the reason and the advice ``wanted``."""
    return InputError(f"data: {path} cannot be read ({reason}); {wanted}")


def content_hash(*arrays: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of dtypes, shapes and values, whatever file they come from."""
    content = sha256()
    for array in arrays:
        content.update(f"{array.dtype.str}{array.shape}".encode())
        content.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return content.hexdigest()


def check_count(n_there: int, n_samples: int, source: str) -> None:
    """Raise InputError if the file, ``source``, has too few samples."""
    if n_samples > n_there:
        raise InputError(f"n_samples: {n_samples} is not valid; {source} has {n_there} samples, so give at most that")


def choose(n_there: int, n_samples: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return which samples of a file to take: all, in the file's order, or a uniform choice without replacement."""
    if n_samples == n_there:
        return np.arange(n_there)
    return rng.choice(n_there, n_samples, replace=False)
