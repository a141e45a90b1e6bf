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
from rmtsim.arrays.gpu import add_exponentials as add_exponentials
from rmtsim.arrays.gpu_launch import contiguous, launch

Array = Any  # an array of CuPy

_SIDE, _WARP = 16, 32  # threads to a side of a block, and of a warp
_BROAD, _TILE = {"float32": 128, "float64": 64}, 64  # rows of a tile; as in chunks.cu and in tiles.cu

#: Blocks that keep a GPU busy, and the fewest columns that are worth one.
_BLOCKS, _LEAST_COLUMNS = 256, 256


class Probabilities(NamedTuple):
    """What makes the probabilities P = E·inverse of all N samples."""

    inverse: Array  #: (…, N, 1)
    leading: Array  #: (…, N, 1), the number of a class, in int64: of it 1 − P is `rest`. Or −1 where that is computed.
    rest: Array  #: (…, N, 1)


class Outputs(NamedTuple):
    """Numbers of the samples of a tile and the classes of a chunk: E, or the outputs of a network."""

    E: Array  #: (…, n, c)
    rows: slice  #: of the samples
    start: int  #: number of the first class


class Neurons(NamedTuple):
    """What the cross layer's sums take of all N samples and m neurons."""

    X: Array  #: (…, N, d)
    slopes: Array  #: (…, N, m)
    features: Array  #: (…, N, m)
    labels: Array  #: (…, N), whole numbers
    centre: Array  #: Σ_c p_nc v_c, (…, R, N, m), used with a softmax
    excess: Array  #: v − centre for the class that is `Probabilities.leading`, (…, R, N, m), likewise


def slices(n: int, k: int, c: int) -> int:
    """Return into how many slices c columns are cut for a product (n, c) by (c, k)."""
    side = _BROAD["float32"]
    tiles = -(-n // side) * -(-k // side)
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
    blocks = prod(lead) * count * _tiles(n, k, A is B, totals.dtype)
    launch("grams", totals.dtype.name, (blocks,), (_SIDE, _SIDE), a, b, totals, *sizes)


def added_grams(totals: Array) -> Array:
    """Return the sum of all chunks, (…, n, k)."""
    return totals[..., 0, :, :] if totals.shape[-3] == 1 else totals.sum(axis=-3)


def add_diagonal_sums(partial: Array | None, K: Array, left: Outputs, right: Outputs, of: Probabilities) -> Array:
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
    tiles, dtype = _tiles(n, k, same, left.E.dtype), left.E.dtype
    made = cupy.empty((*lead, 2, count, tiles), dtype=np.float64) if partial is None else partial
    E = contiguous(left.E, dtype)
    arrays = [contiguous(K, dtype), E, E if same else contiguous(right.E, dtype)]
    arrays += [contiguous(A, dtype) for A in (of.inverse, of.rest)] + [contiguous(of.leading, np.int64)]
    repeats = lead[-1] if lead and K.shape[-3] == 1 else 1
    sizes = repeats, N, left.rows.start, n, right.rows.start, k, c, left.start, count
    flags = np.int32(same), np.int32(partial is not None)
    grid = (prod(lead) * 2 * count * tiles,)
    launch("diagonal_sums", dtype.name, grid, (_SIDE, _SIDE), *arrays, *map(np.int64, sizes), *flags, made)
    return made


def zero_moments(n: int, N: int, c: int, width: int, lead: tuple[int, ...]) -> Array:
    """Return what `add_moments` adds to for N samples in tiles of n and chunks of c classes: zeros, in float64."""
    import cupy

    return cupy.zeros((*lead, slices(n, width, c), N, width), dtype=np.float64)


def add_moments(totals: Array, E: Array, V: Array, start: int, pairs: tuple[Array, Array]) -> None:
    """Add Σ_c E_nc v_c and Σ_c E_nc v_{c,i} v_{c,j} of a tile and chunk to ``totals`` in place.

    ``totals`` is (…, slices, N, m + pairs), ``start`` the number of the first sample of E (…, n, c), and V (…, c, m);
    ``pairs`` has the numbers i and j, or none.
    """
    *lead, count, N, width = totals.shape
    n, c = E.shape[-2:]
    arrays = contiguous(E, E.dtype), contiguous(V, E.dtype), *(contiguous(A, np.int64) for A in pairs), totals
    sizes = map(np.int64, (n, N, start, c, V.shape[-1], width, count))
    grid = (prod(lead) * count * _tiles(n, width, False, E.dtype),)
    launch("moments", E.dtype.name, grid, (_SIDE, _SIDE), *arrays, *sizes)


def add_row_powers(sums: Array, E: Array, start: int) -> None:
    """Add Σ_c E_nc³ and Σ_c E_nc⁴ of the samples from ``start`` on to ``sums`` (…, N, 2), in float64, in place."""
    n, rows = E.shape[-2], prod(E.shape[:-1])
    sizes = map(np.int64, (rows, E.shape[-1], n, sums.shape[-2], start))
    block = _WARP, _SIDE * _SIDE // _WARP
    launch("row_powers", E.dtype.name, (-(-rows // block[1]),), block, contiguous(E, E.dtype), *sizes, sums)


def add_cross_sums(
    partial: Array | None, left: Outputs, right: Outputs, V: Array, neurons: Neurons, of: Probabilities | None
) -> Array:
    """Return the sums of the cross layer so far, for `total`, with those of a chunk and of two tiles of samples added.

    They are Σ_i Σ G_i∘(U_iU_iᵀ∘(ffᵀ − f_if_iᵀ) + W_iW_iᵀ) over all neurons i, the chunk's classes and both orders of
    each pair of samples, with G_i = XXᵀ∘s_is_iᵀ, the slopes s and the features f of the neurons; products of matrices
    with ∘ are by entry. For neuron i, W_i = R + U_i f_i with

        U_nc = P_nc (v_ci − centre_ni) and R = P − Y, or U_nc = 2 v_ci and R = 2 (outputs − Y).

    Parameters
    ----------
    partial
        What was returned for the chunk before, which is overwritten; None for the first.
    left, right
        Of n and k samples, (…, R, n, c) for R last layers of each draw; the same where the tiles are one.
    V
        Rows of the chunk's classes, (…, R, c, m).
    neurons, of
        Of all samples; ``of``, with the axis R, is None where there is no softmax.
    """
    import cupy

    (*lead, n, c), (N, d), m = left.E.shape, neurons.X.shape[-2:], V.shape[-1]
    k, same, dtype = right.E.shape[-2], left is right, left.E.dtype
    down, across = -(-n // _TILE), -(-k // _TILE)
    pairs = down * (down + 1) // 2 if same else down * across
    # Blocks begin with XXᵀ and ffᵀ: one has so many neurons that this takes less than half of its time.
    groups = -(-m // min(m, -(-(d + m) // (2 * c)))) if partial is None else partial.shape[-2]
    made = cupy.empty((*lead, 1, groups, pairs), dtype=np.float64) if partial is None else partial
    inverse, leading, rest = of or (neurons.features, neurons.labels, neurons.features)
    E = contiguous(left.E, dtype)
    arrays = [*neurons[:3], V, E, E if same else right.E, inverse, neurons.centre, rest, neurons.excess]
    labels = [contiguous(A, np.int64) for A in (neurons.labels, leading)]
    repeats = lead[-1] if len(lead) == neurons.X.ndim - 1 else 1
    sizes = repeats, N, left.rows.start, n, right.rows.start, k, d, m, c, left.start, -(-m // groups)
    flags = [np.int32(flag) for flag in (of is not None, same, partial is not None)]
    arguments = *(contiguous(A, dtype) for A in arrays), *labels, *map(np.int64, sizes), *flags, made
    launch("cross_sums", dtype.name, (prod(lead) * groups * pairs,), (_SIDE, _SIDE), *arguments)
    return made


def total(partial: Array) -> Array:
    """Return the sums of all chunks, (…, kinds), of what the functions above return for the last."""
    import cupy

    *lead, count, tiles = partial.shape
    out = cupy.empty(tuple(lead), dtype=np.float64)
    launch("total", "float64", (prod(lead),), (_SIDE * _SIDE,), partial, np.int64(count * tiles), out)
    return out


def _tiles(n: int, k: int, lower: bool, dtype: Any) -> int:
    """Return the number of tiles that a product (n, k) is cut into; with ``lower``, on and below the diagonal."""
    down, across = (-(-size // _BROAD[dtype.name]) for size in (n, k))
    return down * (down + 1) // 2 if lower else down * across
