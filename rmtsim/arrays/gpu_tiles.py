"""Products of whole batches of small matrices on a GPU, and sums over products that are never in memory.

The kernels stand in ``tiles.cu``. Products are made in the dtype of the arrays, each thread adding up the columns one
after the other, in runs, so a draw's bits depend on its sizes alone; sums over pairs of samples are made in float64.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from rmtsim.arrays.gpu_launch import contiguous, launch

Array = Any  # an array of CuPy

_SIDE, _TILE = 16, 64  # threads to a side of a block, and rows of a tile; as in tiles.cu
_LAYOUT = np.dtype([("steps", np.int64, (3,))])

#: Multiplications up to which a product is small: they take a GPU less time than a launch.
_SMALL = 2**24


def is_small(n: int, k: int, c: int) -> bool:
    """Whether a product (n, c) by (c, k) is made here, for all draws by one launch, rather than by cuBLAS."""
    return n * k * c <= _SMALL


def put_products(out: Array, A: Array, B: Array, *, add: bool = False, lower: bool = False) -> None:
    """Write A Bᵀ of every draw to ``out``, or add it; with ``lower``, where B is A, what stands above is not defined.

    Parameters
    ----------
    out
        (…, n, k), contiguous.
    A, B
        (…, n, c) and (…, k, c), of any strides; their leading axes broadcast to those of ``out``.
    """
    import cupy

    *lead, n, k = out.shape
    draws = prod(lead)

    def batch(M: Array) -> tuple[Array, np.ndarray]:
        """Return the matrices of all draws along one axis, and how they lie."""
        M = cupy.broadcast_to(M, (*lead, *M.shape[-2:])).reshape(draws, *M.shape[-2:])
        layout = np.zeros(1, dtype=_LAYOUT)  # one structure, which is passed by value
        layout["steps"][0] = np.asarray(M.strides) // M.itemsize
        return M, layout

    (a, of_a), (b, of_b) = map(batch, (A, B))
    sizes = *map(np.int64, (n, k, A.shape[-1])), np.int32(add), np.int32(lower)
    tiles = -(-n // _TILE) * -(-k // _TILE)
    launch("products", out.dtype.name, (draws * tiles,), (_SIDE, _SIDE), a, b, out, of_a, of_b, *sizes)


def quadratic_sums(X: Array, A: Array, first: int) -> Array:
    """Return Σ λᵀ K λ over the ``first`` columns λ of A, and over the others, with K = (XXᵀ)² by entry.

    Parameters
    ----------
    X, A
        (…, n, d) and (…, n, c), of one dtype and the same leading axes.

    Returns
    -------
    array
        (…, 2), in float64. A draw's values do not depend on the others.
    """
    *lead, n, c = A.shape
    sizes = map(np.int64, (n, c, X.shape[-1], first))
    return _sums("quadratic_sums", 2, lead, n, *(contiguous(M, A.dtype) for M in (X, A)), *sizes)


def pair_sums(X: Array, E: Array, inverse: Array) -> Array:
    """Return Σ K∘(QQᵀ), Σ K∘(PPᵀ)² and Σ K∘(SSᵀ) over all pairs of samples.

    K = (XXᵀ)² and (PPᵀ)² are squares of each entry; P = E·inverse, Q = P∘(1 − P) and S = P∘P.

    Parameters
    ----------
    X
        (…, n, d); the last of its leading axes may have length 1 where that of E is longer.
    E, inverse
        (…, n, c) and (…, n, 1), of the dtype of X.

    Returns
    -------
    array
        (…, 3), in float64. A draw's values do not depend on the others.
    """
    import cupy

    *lead, n, c = E.shape
    repeats = lead[-1] if lead and X.shape[-3] == 1 else 1
    arrays = [contiguous(A, E.dtype) for A in (X, E, cupy.broadcast_to(inverse, (*lead, n, 1)))]
    return _sums("pair_sums", 3, lead, n, *arrays, *map(np.int64, (repeats, n, c, X.shape[-1])))


def _sums(name: str, kinds: int, lead: list[int], n: int, *arguments: Any) -> Array:
    """Return sums over all pairs of n samples, (*lead, kinds), by a kernel with a block for each pair of tiles."""
    import cupy

    draws, tiles = prod(lead), -(-n // _TILE)
    pairs = tiles * (tiles + 1) // 2
    partial, out = cupy.empty((draws, kinds, pairs), dtype=np.float64), cupy.empty((*lead, kinds), dtype=np.float64)
    launch(name, arguments[0].dtype.name, (draws * pairs,), (_SIDE, _SIDE), *arguments, np.int64(pairs), partial)
    launch("total", "float64", (kinds * draws,), (_SIDE * _SIDE,), partial, np.int64(pairs), out)
    return out
