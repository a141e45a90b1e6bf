"""Products of real arrays entry by entry, summed: of rows, and of matrices."""

from __future__ import annotations

from typing import Any

Array = Any  # an array of numpy, cupy or another array-API module
Module = Any  # such a module


def inner(A: Array, B: Array, xp: Module) -> Array:
    """Return the Frobenius product ⟨A, B⟩ over the last two axes, in float64.

    A row is summed in the arrays' own precision, the rows in float64: in float32 the error stays near that of
    one row. The order of the sums depends on the last two axes alone, so a draw's value has the same
    bits in a batch of any size.
    """
    return xp.sum(xp.astype(row_dots(A, B, xp), xp.float64), axis=-1)


def row_dots(A: Array, B: Array, xp: Module) -> Array:
    """Return Σ A∘B over the last axis."""
    return xp.vecdot(A, B) if hasattr(xp, "vecdot") else xp.sum(A * B, axis=-1)  # CuPy 14 has no vecdot
