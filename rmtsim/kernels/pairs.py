"""Pairs of neurons i ≤ j, those with i = j first: the order in which weights of blocks (i, j) stand everywhere."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from rmtsim.arrays.backend import Array, Module, backend_of


def pair(A: Array, xp: Module, B: Array | None = None) -> Array:
    """Return A_i B_j for the pairs of columns i ≤ j, those with i = j first; A_i A_j without B."""
    i, j = pairs_of(A.shape[-1])
    return backend_of(xp).column_products(A, A if B is None else B, i, j, np.ones(len(i)))


@lru_cache(maxsize=64)
def pairs_of(m: int) -> tuple[np.ndarray, ...]:
    """Return i and j of the pairs i ≤ j, those with i = j first."""
    return tuple(np.append(np.arange(m), other) for other in np.triu_indices(m, k=1))


def n_pairs(m: int) -> int:
    """Return the number of pairs i ≤ j of m neurons."""
    return m * (m + 1) // 2
