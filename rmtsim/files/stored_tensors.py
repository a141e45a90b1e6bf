"""Tensors as they lie in files: their rows are read, made floating-point numbers and checked when they are asked for.

Bytes are read, not mapped into memory: so what is held is what was asked for, whatever the size of the file, and a file
that is cut short meanwhile is an error that can be told, where a mapping would end the process.
"""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.errors import InputError

#: The dtypes that are read, and how an element of each is stored; NumPy has no bfloat16, the upper half of a float32.
ELEMENTS: dict[str, np.dtype[Any]] = {
    "float64": np.dtype("<f8"),
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
}

#: Numbers that are cast and checked at once, so that they stay in the cache; and that are gathered at once from the
#: columns, each of which is read on its own.
_AT_ONCE, _GATHERED = 1 << 18, 1 << 22


class UnreadableError(ValueError):
    """A file is not what it should be; the message is the half of a sentence that follows its name."""


class OpenFile:
    """A file that is open for reading at any place, by several threads; it is closed when nothing refers to it.

    Parameters
    ----------
    descriptor
        Its descriptor, which from now on is this object's.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    @property
    def size(self) -> int:
        """Its bytes."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, count: int) -> bytes:
        """Return the bytes from a place on: as many as asked for, or as there are."""
        return os.pread(self._descriptor, count, offset)

    def read_into(self, target: npt.NDArray[np.uint8], offset: int) -> None:
        """Fill an array with the bytes from a place on.

        Raises
        ------
        UnreadableError
            If there are not so many.
        """
        left = memoryview(target)  # type: ignore[arg-type]  # NumPy's types know no buffers before Python 3.12
        while left.nbytes:
            count = os.preadv(self._descriptor, [left], offset)
            if not count:
                raise UnreadableError("was cut short while it was read; write it anew")
            left, offset = left[count:], offset + count


@dataclass(frozen=True)
class StoredTensor:
    """Where the numbers of a tensor lie.

    Parameters
    ----------
    file, offset
        The file, and the place in it of the first number.
    shape, dtype
        Its shape, and the name of its dtype: one of `ELEMENTS`.
    element
        A number as stored, of the byte order of the file.
    by_column
        Whether the first axis is the one whose numbers lie beside each other.
    """

    file: OpenFile
    offset: int
    shape: tuple[int, ...]
    dtype: str
    element: np.dtype[Any]
    by_column: bool = False


class Matrix:
    """A matrix in a file, of which some rows are read at a time.

    Parameters
    ----------
    stored
        The tensor, of two axes, or of one: a column.
    what, source
        What it is, such as ``weights``, and where it is from, ``FILE:TENSOR``: for messages.

    Attributes
    ----------
    shape, dtype
        Rows and columns; the dtype in which they are stored, such as ``bfloat16``.
    source
        As given.
    """

    def __init__(self, stored: StoredTensor, what: str, source: str) -> None:
        rows, *columns = stored.shape
        self.shape: tuple[int, int] = (rows, *columns) if columns else (rows, 1)  # type: ignore[assignment]
        self.dtype, self.source = stored.dtype, source
        self._stored, self._what = stored, what

    def __repr__(self) -> str:
        return f"Matrix({self.source!r}, shape={self.shape}, dtype={self.dtype!r})"

    def rows(self, start: int, stop: int, dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
        """Return the rows from ``start`` up to ``stop``, in a floating-point dtype.

        Besides what is returned no more than some 100 MB are held. Several threads may call it at once.

        Raises
        ------
        InputError
            If one of these numbers is not finite, or not in ``dtype``, or the file can no longer be read.
        """
        if not 0 <= start <= stop <= self.shape[0]:
            raise ValueError(f"rows {start} to {stop} of {self.shape[0]}")
        found = np.empty((stop - start, self.shape[1]), dtype)
        step = max(1, (_GATHERED if self._stored.by_column else _AT_ONCE) // self.shape[1])
        for first in range(start, stop, step):
            block = found[first - start : first - start + step]
            try:
                numbers = self._numbers(first, len(block))
            except OSError as error:
                raise InputError(f"{self._what}: {self.source} cannot be read ({error.strerror or error})") from error
            except UnreadableError as error:
                raise InputError(f"{self._what}: {self.source} {error}") from error
            with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is found by the check
                np.copyto(block, numbers, casting="same_kind")
            if not np.isfinite(block).all():
                raise self._not_finite(block, numbers, first)
        return found

    def _numbers(self, start: int, count: int) -> npt.NDArray[Any]:
        """Return rows as floating-point numbers of the dtype that they are stored in, or of float32 for bfloat16."""
        stored, (n_rows, n_columns) = self._stored, self.shape
        size = stored.element.itemsize
        raw: npt.NDArray[np.uint8]
        if stored.by_column:
            raw = np.empty((n_columns, count * size), np.uint8)
            for column in range(n_columns):
                stored.file.read_into(raw[column], stored.offset + (column * n_rows + start) * size)
            numbers = raw.view(stored.element).T
        else:
            raw = np.empty((count, n_columns * size), np.uint8)
            stored.file.read_into(raw.reshape(-1), stored.offset + start * n_columns * size)
            numbers = raw.view(stored.element)
        if stored.dtype != "bfloat16":
            return numbers
        wide = numbers.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)

    def _not_finite(self, block: npt.NDArray[Any], numbers: npt.NDArray[Any], first: int) -> InputError:
        row, column = (int(index) for index in np.argwhere(~np.isfinite(block))[0])
        value = numbers[row, column]
        where = f"row {first + row}, column {column}" if len(self._stored.shape) > 1 else f"entry {first + row}"
        place = f"{self._what}: {value} in {where} (counted from 0) of {self.source}"
        if np.isfinite(value):
            return InputError(f"{place} is too large for {block.dtype}; compute in float64, or scale it down")
        return InputError(f"{place} is not valid; give finite numbers")
