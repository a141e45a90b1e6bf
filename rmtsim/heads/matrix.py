"""Matrices of which some rows are read at a time: in a file, or in memory."""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.backend import to_numpy
from rmtsim.arrays.plain_arrays import plain
from rmtsim.arrays.user_arrays import check_finite
from rmtsim.errors import InputError


class Matrix(Protocol):
    """Rows and columns of finite real numbers, of which some rows are read at a time."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def dtype(self) -> str:
        """What the numbers are stored in, such as ``bfloat16``."""

    @property
    def source(self) -> str:
        """Where it is from, for messages."""

    def rows(self, start: int, stop: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return the rows from ``start`` up to ``stop``, in a floating-point dtype; they are checked to be finite."""


class ArrayMatrix:
    """The rows of an array of finite real numbers.

    Parameters
    ----------
    array, source
        The array (rows, columns), and its name.
    """

    def __init__(self, array: npt.NDArray[Any], source: str) -> None:
        check_finite(array, source)
        self._array, self.source = array, source
        self.shape: tuple[int, int] = array.shape
        self.dtype = str(array.dtype)

    def rows(self, start: int, stop: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return the rows in a dtype; a view where they are in it.

        Raises
        ------
        InputError
            If one of the numbers is too large for the dtype.
        """
        given = self._array[start:stop]
        with np.errstate(over="ignore"):
            found = given.astype(dtype, copy=False)
        if found.dtype.itemsize < given.dtype.itemsize and not np.all(np.isfinite(found)):
            raise InputError(f"{self.source}: it holds numbers too large for {found.dtype}; compute in float64")
        return found


def as_matrix(value: Any, name: str) -> Matrix:
    """Return a matrix of what a user gave: an array, the name of a file, or what has rows already.

    Raises
    ------
    InputError
        If it is not a matrix of finite real numbers with at least one entry.
    """
    matrix: Matrix
    if isinstance(value, str | os.PathLike):
        from rmtsim.files.tensors import open_matrix

        matrix = open_matrix(os.fspath(value), what=name)
    elif hasattr(value, "rows") and hasattr(value, "source"):
        matrix = value
    else:
        array = to_numpy(plain(value, name))
        if array.ndim != 2:
            raise InputError(f"{name}: shape {array.shape} is not valid; give a matrix {_SHAPES[name]}")
        matrix = ArrayMatrix(array, name)
    if 0 in matrix.shape:
        raise InputError(f"{name}: shape {tuple(matrix.shape)} has no entries; every axis needs at least one")
    return matrix


_SHAPES = {"V": "(C, d)", "X": "(N, d)"}


def as_vector(value: Any, name: str, length: int) -> npt.NDArray[np.float64]:
    """Return ``length`` finite numbers of what a user gave: an array, or the name of a file.

    Raises
    ------
    InputError
        If it is not that.
    """
    if isinstance(value, str | os.PathLike):
        from rmtsim.files.tensors import open_vector

        value = open_vector(os.fspath(value), what=name)
    array = to_numpy(plain(value, name)).astype(np.float64)
    check_finite(array, name)
    if array.shape != (length,):
        raise InputError(f"{name}: shape {array.shape} does not fit V with {length} rows; give ({length},)")
    return array


def pick_rows(matrix: Matrix, numbers: npt.NDArray[np.int64], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return some rows, in any order, (len(numbers), columns); rows that lie beside each other are read at once."""
    found = np.empty((len(numbers), matrix.shape[1]), dtype)
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(ordered) != 1]))
    for start, stop in zip(starts, [*starts[1:], len(numbers)], strict=True):
        found[order[start:stop]] = matrix.rows(int(ordered[start]), int(ordered[stop - 1]) + 1, dtype)
    return found


def blocks(matrix: Matrix, numbers_at_once: int = 2**22) -> list[slice]:
    """Cut the rows into blocks of about so many numbers."""
    step = max(1, numbers_at_once // matrix.shape[1])
    return [slice(start, min(start + step, matrix.shape[0])) for start in range(0, matrix.shape[0], step)]
