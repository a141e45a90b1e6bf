"""Tensor cores of a GPU for large Gram matrices in float32: an experiment, off unless it is asked for.

They multiply bfloat16 at many times the rate of float32. The kernels in ``tensor.cu`` make products of float32 of three
of theirs, whose errors and how they are held down stand there. No GPU has shown yet that it is worth while, so it is
asked for by an environment variable, and named wherever a library is.
"""

from __future__ import annotations

import os
from math import prod
from typing import Any

import numpy as np

from rmtsim.arrays.backend import get_backend
from rmtsim.arrays.gpu_launch import check_contiguous, contiguous, launch
from rmtsim.errors import InputError

Array = Any  # an array of CuPy

#: The variable that asks for them, with the value 1.
VARIABLE = "RMTSIM_TENSOR_CORES"

#: What is named beside the library in the metadata of shards; another way of making products has another number.
NAME = "tensor cores bf16x3 1"

#: Multiplications of a Gram matrix from which on they are used: below, a GPU is busy with other things.
_LARGE = 2**27

_SIDE, _THREADS = 128, 256  # rows of a block's tile, and its threads; as in tensor.cu

#: The first compute capability whose tensor cores multiply bfloat16.
_LEAST_CAPABILITY = 80


def wanted() -> bool:
    """Whether tensor cores are asked for.

    Raises
    ------
    InputError
        If the variable has a value that means nothing.
    """
    value = os.environ.get(VARIABLE, "")
    if value not in ("", "0", "1"):
        raise InputError(f"{VARIABLE}: {value!r} is not valid; give 1 to use tensor cores, or 0, or leave it unset")
    return value == "1"


def check(backend: str, dtype: str, *, here: bool = True) -> None:
    """Raise InputError if tensor cores are asked for where they cannot be used.

    The GPU is looked at if draws are made ``here``, by this process; else ``backend`` may be ``"auto"``, too.
    """
    if not wanted():
        return
    if backend not in (("cupy",) if here else ("cupy", "auto")):
        raise InputError(f"{VARIABLE}: tensor cores are those of a GPU, and the backend is {backend}; unset it")
    if dtype != "float32":
        raise InputError(f"{VARIABLE}: with tensor cores draws are in float32, and not in {dtype}; unset it")
    if here and (found := get_backend(backend).capability()) < _LEAST_CAPABILITY:
        raise InputError(
            f"{VARIABLE}: tensor cores multiply bfloat16 from sm_{_LEAST_CAPABILITY} on, and this GPU is sm_{found}; "
            "unset it"
        )


def check_not_wanted(what: str) -> None:
    """Raise InputError if tensor cores are asked for, for ``what`` makes nothing on them."""
    if wanted():
        raise InputError(f"{VARIABLE}: {what} make nothing on tensor cores; unset it")


def used(dtype: str, n: int, k: int, c: int) -> bool:
    """Whether a Gram matrix (n, k) of c columns is made by tensor cores: a large one, where they are asked for."""
    return dtype == "float32" and n * k * c >= _LARGE and wanted()


def add_grams(totals: Array, A: Array, B: Array) -> None:
    """Add A Bᵀ to ``totals`` in place, slice by slice of the columns; where B is A, only its lower triangle.

    Parameters
    ----------
    totals
        (…, slices, n, k) in float32, contiguous.
    A, B
        (…, n, c) and (…, k, c), of the same.

    Raises
    ------
    ValueError
        If ``totals`` is not contiguous.
    """
    check_contiguous(totals)
    *lead, slices, n, k = totals.shape
    a = contiguous(A, totals.dtype)
    b = a if A is B else contiguous(B, totals.dtype)
    down, across = -(-n // _SIDE), -(-k // _SIDE)
    blocks = prod(lead) * slices * (down * (down + 1) // 2 if A is B else down * across)
    sizes = *map(np.int64, (n, k, A.shape[-1], slices)), np.int32(A is B)
    launch("tensor_grams", "float32", (blocks,), (_THREADS,), a, b, totals, *sizes)
