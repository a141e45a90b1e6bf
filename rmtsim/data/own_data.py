"""A user's own data: arrays X and y of a NumPy .npz file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO, cast
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.machine import usable_memory
from rmtsim.arrays.plain_arrays import plain
from rmtsim.data.datasets import DataLaw, register_data
from rmtsim.data.labelled import Samples, check_count, check_sizes, choose, content_hash, keyed, stamp, unreadable
from rmtsim.errors import InputError
from rmtsim.files.regular_files import open_regular
from rmtsim.text.checks import MAX_SIZE
from rmtsim.text.sizes import format_bytes

#: Readers of an array's header, by the version of its format; version 3 is for names of fields only.
_HEADERS: dict[tuple[int, int], Callable[[Any], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

#: Bytes of float64 that an array may always take; a larger one may take at most a multiple of its bytes in the file.
_ALWAYS, _MOST_TIMES = 256 << 20, 100

#: At most this many names of arrays are listed.
_SHOWN = 5

_WANTED = "give a file that numpy.savez(FILE, X=X, y=y) wrote, X of shape (n, d) and y of shape (n,)"


@register_data
@dataclass(frozen=True)
class OwnData(DataLaw):
    """Samples of a file of the user's own.

    Parameters
    ----------
    path
        A .npz file with the arrays ``X``, (n, d), finite real numbers, and ``y``, (n,), whole numbers from 0 to C − 1.
        It is read when it is first needed; nothing in it is ever unpickled.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from rmtsim.data.own_data import OwnData
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/mine.npz", X=np.eye(4), y=[0, 1, 2, 1])
    ...     X, y = OwnData(f"{folder}/mine.npz").draw(n_classes=3, dim=4, n_samples=2, key="0")
    >>> X.shape, y.shape
    ((2, 4), (2,))
    """

    name, form = "arrays", "FILE.npz"

    path: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", os.fspath(self.path))

    def __reduce__(self) -> tuple[type[OwnData], tuple[str]]:
        """Travel to other processes, whose working directory may be another, with the whole path."""
        return OwnData, (os.path.abspath(self.path),)

    @classmethod
    def parse(cls, text: str) -> OwnData | None:
        """Return the data set for ``FILE.npz``."""
        return cls(text) if text.endswith(".npz") else None

    @property
    def label(self) -> str:
        """Description in titles of figures."""
        return "samples of the user's own data"

    @property
    def text(self) -> str:
        """The file's name and the first digits of the arrays' hash, as in ``mine.npz@1f0c9a2b``."""
        return f"{os.path.basename(self.path)}@{self.parameters()['sha256'][:8]}"

    def check(self, n_classes: int, dim: int, n_samples: int) -> None:
        """Raise InputError if the file cannot be read, holds something else, or C, d or N do not fit it."""
        check_sizes(n_classes, dim, n_samples)
        X, y = self._samples()
        if dim != X.shape[1]:
            raise InputError(f"dim: {dim} is not valid; X of {self.path} has {X.shape[1]} columns, so give that")
        if y.max() >= n_classes:
            raise InputError(
                f"n_classes: {n_classes} is not valid; y of {self.path} has the label {y.max()}, and labels go from 0 "
                f"to C - 1, so give at least {y.max() + 1}"
            )
        check_count(len(X), n_samples, self.path)

    def sizes(self) -> tuple[int, int, int]:
        """Return C, d and N of all samples; C is the largest label and one.

        Raises
        ------
        InputError
            If there is no such file, or it holds something else.
        """
        X, y = self._samples()
        return int(y.max()) + 1, X.shape[1], len(X)

    def parameters(self) -> dict[str, Any]:
        """Return kind and hash of the arrays, wherever the file is.

        Raises
        ------
        InputError
            If there is no such file, or it holds something else.
        """
        return {"kind": self.name, "sha256": _hash(self.path, stamp(self.path, _WANTED))}

    def draw(self, n_classes: int, dim: int, n_samples: int, key: str) -> Samples:
        """Return X (N, d) and y (N,): N of the samples, drawn without replacement, or all in the file's order.

        Raises
        ------
        InputError
            As ``check`` does.
        """
        self.check(n_classes, dim, n_samples)
        X, y = self._samples()
        rows = choose(len(X), n_samples, keyed(self.name, "choice", key))
        return X[rows], y[rows]

    def _samples(self) -> Samples:
        return _load(self.path, stamp(self.path, _WANTED))


@lru_cache(maxsize=2)
def _load(path: str, stamp: tuple[int, int]) -> Samples:
    try:
        with open_regular(path) as file, ZipFile(file) as archive:
            there = [name.removesuffix(".npy") for name in archive.namelist()]
            X, y = (_array(archive, name, path) if name in there else None for name in ("X", "y"))
    except OSError as error:
        raise unreadable(path, error.strerror or str(error), _WANTED) from error
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a file that is no archive can raise anything
        raise unreadable(path, "it is damaged, or no .npz file of numbers", _WANTED) from error
    if X is None or y is None:
        more = ", and others" if len(there) > _SHOWN else ""
        raise InputError(f"data: {path} holds {', '.join(there[:_SHOWN]) or 'nothing'}{more}, not X and y; {_WANTED}")
    return _checked_samples(X, path), _checked_labels(y, len(X), path)


def _array(archive: ZipFile, name: str, path: str) -> npt.NDArray[Any]:
    """Read an array, after its claimed size was checked against the size of the file."""
    info = archive.getinfo(f"{name}.npy")
    file_size = os.fstat(cast(BinaryIO, archive.fp).fileno()).st_size
    with archive.open(info) as file:
        read_header = _HEADERS[np.lib.format.read_magic(file)]
        shape, _, dtype = read_header(file)
        claimed = file.tell() + math.prod(shape) * dtype.itemsize
    if info.compress_size > file_size or (claimed != info.file_size and not dtype.hasobject):
        raise ValueError("the sizes that it claims contradict each other")
    bytes_as_float64 = 8 * math.prod(shape)
    held = math.prod(shape) * (dtype.itemsize + 2 * 8)  # as it is, as float64, and what checks them
    if bytes_as_float64 > max(_ALWAYS, _MOST_TIMES * info.compress_size):
        raise InputError(
            f"{name}: {dtype} of shape {shape} in {path} takes {format_bytes(bytes_as_float64)} as float64, more than "
            f"{_MOST_TIMES} times what the file has of it; if it is meant, write it without compression, by numpy.savez"
        )
    if held > usable_memory():
        raise InputError(
            f"{name}: {dtype} of shape {shape} in {path} would hold {format_bytes(held)}, and this machine has "
            f"{format_bytes(usable_memory())}; give fewer samples"
        )
    with archive.open(info) as file:
        array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


@lru_cache(maxsize=2)
def _hash(path: str, stamp: tuple[int, int]) -> str:
    return content_hash(*_load(path, stamp))


def _checked_samples(X: npt.NDArray[Any], path: str) -> npt.NDArray[np.float64]:
    X = _real("X", X, path)
    if X.ndim != 2 or not X.size:
        raise InputError(f"X: {X.dtype} of shape {X.shape} in {path} is not valid; give real numbers of shape (n, d)")
    bad = np.argwhere(~np.isfinite(X))
    if len(bad):
        raise InputError(f"X: {X[*bad[0]]} in row {bad[0, 0]} of {path} is not valid; give finite numbers")
    return X.astype(np.float64, copy=False)


def _checked_labels(y: npt.NDArray[Any], n_samples: int, path: str) -> npt.NDArray[np.int64]:
    y = _real("y", y, path)
    if y.shape != (n_samples,):
        raise InputError(
            f"y: {y.dtype} of shape {y.shape} in {path} is not valid; give whole numbers of shape ({n_samples},), one "
            "for each row of X (of one-hot rows y.argmax(axis=1))"
        )
    bad = y[~((y >= 0) & (y <= MAX_SIZE) & (y == np.floor(y)))]
    if len(bad):
        raise InputError(f"y: the label {bad[0]} in {path} is not valid; give whole numbers from 0 to C - 1")
    return y.astype(np.int64)


def _real(name: str, array: npt.NDArray[Any], path: str) -> npt.NDArray[Any]:
    """Return an array of real numbers, of more than 64 bits as float64."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is reported
            array = array.astype(np.float64)
    try:
        return np.asarray(plain(array, name, labels=name == "y"))
    except InputError as error:
        raise InputError(f"{error}, and save {path} anew") from None
