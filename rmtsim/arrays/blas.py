"""BLAS products that add into an array in place: what NumPy's own products cannot do.

``total += A @ A.T`` in NumPy makes the product in a new array, copies one half onto the other by single entries, and
then adds: for narrow A that takes twice the time of the product. BLAS adds in place and fills one half. It is called
through the function pointers that ``scipy.linalg.cython_blas`` publishes, since these, unlike ``scipy.linalg.blas``,
let go of the interpreter lock, so that threads work at the same time.
"""

from __future__ import annotations

import ctypes
from functools import cache, lru_cache
from typing import Any

import numpy as np
from scipy.linalg import cython_blas

_KINDS = {"f": ("s", ctypes.c_float), "d": ("d", ctypes.c_double)}  # by NumPy's character for the dtype
_TRANSPOSED, _AS_IT_IS, _UPPER = (ctypes.byref(ctypes.c_char(letter)) for letter in (b"T", b"N", b"U"))


def add_product(total: np.ndarray, A: np.ndarray, B: np.ndarray) -> None:
    """Add A Bᵀ to ``total`` (…, n, k) in place, for each place in the leading axes.

    A is (…, n, c), B (…, k, c), all of one dtype, and ``total`` C-contiguous. If A is B, only the lower triangle of
    ``total`` with its diagonal is computed. A and B are copied unless each matrix has its rows one after the other.
    """
    same, A = A is B, _as_rows(A)
    B = A if same else _as_rows(B)
    dtype, (n, c), k = total.dtype.char, A.shape[-2:], B.shape[-2]
    one, ldt, lda, ldb = _one(dtype), _stride(total), _stride(A), _stride(B)
    # BLAS reads our rows as columns, so it sees every matrix transposed, and the lower triangle as the upper one.
    if same:
        sizes = _integers(n, c, lda, ldt)
        routine = _routine("syrk", dtype)
        for t, a in zip(_addresses(total), _addresses(A), strict=True):
            routine(_UPPER, _TRANSPOSED, sizes[0], sizes[1], one, a, sizes[2], one, t, sizes[3])
    else:
        pk, pn, pc, pb, pa, pt = _integers(k, n, c, ldb, lda, ldt)
        routine = _routine("gemm", dtype)
        for t, a, b in zip(_addresses(total), _addresses(A), _addresses(B), strict=True):
            routine(_TRANSPOSED, _AS_IT_IS, pk, pn, pc, one, b, pb, a, pa, one, t, pt)


def _addresses(A: np.ndarray) -> list[int]:
    """Return where each matrix begins, by its place in the leading axes."""
    found = np.array([A.__array_interface__["data"][0]])  # four times as fast as A.ctypes.data
    for size, step in zip(A.shape[:-2], A.strides[:-2], strict=True):
        found = np.add.outer(found, step * np.arange(size)).ravel()
    return found.tolist()  # type: ignore[no-any-return]


def _as_rows(A: np.ndarray) -> np.ndarray:
    """Return A, or a copy where BLAS could not read it in place: transposed, reversed or repeated without memory."""
    (n, c), (down, across) = A.shape[-2:], A.strides[-2:]
    rows_lie_well = n == 1 or (down >= c * A.itemsize and down % A.itemsize == 0)
    return A if rows_lie_well and (c == 1 or across == A.itemsize) else np.ascontiguousarray(A)


def _stride(A: np.ndarray) -> int:
    """Entries from one row to the next; BLAS wants at least the length of a row, also where there is one row only."""
    return int(max(A.strides[-2] // A.itemsize, A.shape[-1]))


@lru_cache(maxsize=4096)
def _integers(*values: int) -> tuple[Any, ...]:
    """Return pointers to whole numbers, which is how Fortran takes them."""
    return tuple(ctypes.byref(ctypes.c_int(value)) for value in values)


@cache
def _one(dtype: str) -> Any:
    """Return a pointer to 1 in the dtype: the factor of A Bᵀ and of what was there."""
    return ctypes.byref(_KINDS[dtype][1](1.0))


@cache
def _routine(name: str, dtype: str) -> Any:
    """Return a BLAS routine as a C function; raises KeyError if SciPy has no such one."""
    capsule = vars(cython_blas)["__pyx_capi__"][_KINDS[dtype][0] + name]
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature = name_of(capsule)
    arguments = [ctypes.c_void_p] * (signature.count(b",") + 1)
    return ctypes.CFUNCTYPE(None, *arguments)(pointer_of(capsule, signature))
