"""Sums on a GPU over classes that come chunk by chunk: they stay on the device, and no chunk is waited for.

The kernels stand in ``chunks.cu``. The columns of a chunk are cut into slices where there are few samples, so that
there is work for all of a GPU. Slices and the order of all sums depend on the sizes of a draw alone, and so do its
bits. Products are made in the dtype of the arrays; sums over pairs of samples in float64.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from rmtsim.arrays import tensor_cores
from rmtsim.arrays.gpu_launch import contiguous, launch

Array = Any  # an array of CuPy

_SIDE, _BROAD = 16, 128  # threads to a side of a block, and rows of a tile; as in chunks.cu

#: Blocks that keep a GPU busy, and the fewest columns that are worth one.
_BLOCKS, _LEAST_COLUMNS = 256, 256


class Probabilities(NamedTuple):
    """What makes the probabilities P = E·inverse of all N samples."""

    inverse: Array  #: (…, N, 1)
    leading: Array  #: (…, N, 1), the number of a class, in int64: of it 1 − P is `rest`. Or −1 where that is computed.
    rest: Array  #: (…, N, 1)


class Exponentials(NamedTuple):
    """E of the samples of a tile and the classes of a chunk."""

    E: Array  #: (…, n, c)
    rows: slice  #: of the samples
    start: int  #: number of the first class


def slices(n: int, k: int, c: int) -> int:
    """Return into how many slices c columns are cut for a product (n, c) by (c, k)."""
    tiles = -(-n // _BROAD) * -(-k // _BROAD)
    return max(1, min(2 * _BLOCKS // (tiles + 1), -(-c // _LEAST_COLUMNS)))


def zero_grams(A: Array, B: Array) -> Array:
    """Return what `add_grams` adds products A Bᵀ of chunks to that are at most as large, (…, slices, n, k): zeros."""
    import cupy

    *lead, n, c = A.shape
    k = B.shape[-2]
    return cupy.zeros((*lead, slices(n, k, c), n, k), dtype=A.dtype)


def add_grams(totals: Array, A: Array, B: Array) -> None:
    """Add A Bᵀ of a chunk to ``totals`` in place, slice by slice; where B is A, only its lower triangle.

    Large ones are added on tensor cores, where these are asked for.
    """
    *lead, count, n, k = totals.shape
    if tensor_cores.used(totals.dtype.name, n, k, A.shape[-1]):
        tensor_cores.add_grams(totals, A, B)
        return
    a = contiguous(A, totals.dtype)
    b = a if A is B else contiguous(B, totals.dtype)
    sizes = *map(np.int64, (n, k, A.shape[-1], count)), np.int32(A is B)
    blocks = prod(lead) * count * _tiles(n, k, A is B)
    launch("grams", totals.dtype.name, (blocks,), (_SIDE, _SIDE), a, b, totals, *sizes)


def added_grams(totals: Array) -> Array:
    """Return the sum of all chunks, (…, n, k)."""
    return totals[..., 0, :, :] if totals.shape[-3] == 1 else totals.sum(axis=-3)


def add_diagonal_sums(
    partial: Array | None, K: Array, left: Exponentials, right: Exponentials, of: Probabilities
) -> Array:
    """Return the sums Σ K∘(QQᵀ) and Σ K∘(SSᵀ) so far, for `total`, with those of a chunk added.

    Q = P∘(1 − P) and S = P∘P are those of two tiles of samples, Q and S on the left, Qᵀ and Sᵀ on the right.

    Parameters
    ----------
    partial
        What was returned for the chunk before, which is overwritten; None for the first.
    K
        (…, n, k), as it stands in sums over all pairs of samples, or 0 above the diagonal where the tiles are one; the
        last of its leading axes may have length 1 where that of E is longer.
    left, right
        Of n and k samples; the same where the tiles are one.
    of
        Of all samples.
    """
    import cupy

    *lead, n, c = left.E.shape
    k, N = right.E.shape[-2], of.inverse.shape[-2]
    same, count = left is right, slices(n, k, c) if partial is None else partial.shape[-2]
    tiles = _tiles(n, k, same)
    made = cupy.empty((*lead, 2, count, tiles), dtype=np.float64) if partial is None else partial
    dtype = left.E.dtype
    E = contiguous(left.E, dtype)
    arrays = [contiguous(K, dtype), E, E if same else contiguous(right.E, dtype)]
    arrays += [contiguous(A, dtype) for A in (of.inverse, of.rest)] + [contiguous(of.leading, np.int64)]
    repeats = lead[-1] if lead and K.shape[-3] == 1 else 1
    sizes = repeats, N, left.rows.start, n, right.rows.start, k, c, left.start, count
    flags = np.int32(same), np.int32(partial is not None)
    grid = (prod(lead) * 2 * count * tiles,)
    launch("diagonal_sums", dtype.name, grid, (_SIDE, _SIDE), *arrays, *map(np.int64, sizes), *flags, made)
    return made


def total(partial: Array) -> Array:
    """Return the sums of all chunks, (…, kinds), of what the functions above return for the last."""
    import cupy

    *lead, count, tiles = partial.shape
    out = cupy.empty(tuple(lead), dtype=np.float64)
    launch("total", "float64", (prod(lead),), (_SIDE * _SIDE,), partial, np.int64(count * tiles), out)
    return out


def _tiles(n: int, k: int, lower: bool) -> int:
    """Return the number of tiles that a product (n, k) is cut into; those on and below the diagonal."""
    down, across = -(-n // _BROAD), -(-k // _BROAD)
    return down * (down + 1) // 2 if lower else down * across
