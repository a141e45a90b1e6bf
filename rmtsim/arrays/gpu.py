"""The operations of a draw on a GPU: kernels of our own, and cuBLAS, through CuPy.

Arrays are CuPy arrays of float32 or float64, row-major, with optional leading axes that run over draws. Work is put
on the current device and stream and not waited for. The kernels stand in ``kernels.cu``, and those that make products
in ``tiles.cu`` (`rmtsim.arrays.gpu_tiles`). CuPy compiles them by NVRTC
when one is first used on a device, and keeps the result on disk; it adds ``-ftz=true``, so float32 values below
1.2e-38 become zero, and no other fast mathematics.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from rmtsim.arrays import gpu_tiles
from rmtsim.arrays.gpu_launch import check_contiguous, contiguous, fixed, launch

Array = Any  # an array of CuPy

_WARP, _THREADS = 32, 256  # of a block; as in kernels.cu
_MOST_STREAMS = 64  # of a launch of normals; as in kernels.cu
_NAMES = np.dtype([("words", np.uint32, (_MOST_STREAMS, 4))])
_MOST_BLOCKS = 2**16  # for kernels whose threads go on to the next entries


def normals(names: Sequence[bytes], rows: range, columns: int, scale: float, dtype: str) -> Array:
    """Return rows of a matrix of normals with standard deviation ``scale`` of each stream, made on the device.

    Parameters
    ----------
    names
        Names of the streams, each of 16 bytes; see `rmtsim.arrays.philox.normals`, which makes the same numbers.
    rows
        Which rows, of step 1. A matrix is filled row by row with the numbers of its stream.
    columns
        Length of a row.
    scale
        Factor of the standard normals, applied in float64.
    dtype
        ``"float32"`` or ``"float64"``: the first is the second, rounded.

    Returns
    -------
    array
        (len(names), len(rows), columns).

    Raises
    ------
    ValueError
        If a name is not of 16 bytes or the range has another step.
    """
    import cupy

    if {len(name) for name in names} != {16} or rows.step != 1:
        raise ValueError(f"normals need names of 16 bytes and a range of step 1, not {names!r} and {rows}")
    out = cupy.empty((len(names), len(rows), columns), dtype=dtype)
    span = np.int64(rows.start * columns), np.int64(rows.stop * columns)
    blocks = min(_MOST_BLOCKS, -(-(len(rows) * columns // 2 + 1) // _THREADS))
    for start in range(0, len(names), _MOST_STREAMS):
        some = names[start : start + _MOST_STREAMS]
        words = np.zeros(1, dtype=_NAMES)  # one structure, which is passed by value: nothing is copied to the device
        words["words"][0, : len(some)] = np.frombuffer(b"".join(some), dtype="<u4").reshape(-1, 4)
        here = out[start : start + len(some)]
        launch("normals", dtype, (blocks, len(some)), (_THREADS,), here, *span, words, np.float64(scale))
    return out


def exponentials(L: Array, shift: Array) -> tuple[Array, Array, Array]:
    """Overwrite L with exp(L − shift); sum its rows.

    Parameters
    ----------
    L
        (…, n, c), contiguous.
    shift
        Broadcasts against (…, n, 1).

    Returns
    -------
    tuple
        L; the row sums of exp(L − shift) in float64, (…, n, 1); the row maxima of L as it came, (…, n, 1). Values of
        a row depend on that row alone. A row with a NaN has the sum NaN, and the maximum of its other entries.

    Raises
    ------
    ValueError
        If L is not contiguous or the shift does not fit.
    """
    import cupy

    check_contiguous(L)
    column = (*L.shape[:-1], 1)
    shift = contiguous(cupy.broadcast_to(cupy.asarray(shift), column), L.dtype)
    sums, highest = cupy.empty(column, dtype=np.float64), cupy.empty(column, dtype=L.dtype)
    _launch_exponentials(L, shift, sums, highest, highest.size, highest.size, 0, False)
    return L, sums, highest


def add_exponentials(L: Array, shift: Array, total: Array, highest: Array, start: int) -> Array:
    """Do the same for some samples, and add to the row sums and row maxima of other columns; return L.

    Parameters
    ----------
    L
        (…, n, c), contiguous.
    shift, total, highest
        Of all samples, (…, N, 1), contiguous; ``total`` in float64, and the others in the dtype of L.
    start
        Number of the first of the n samples.

    Raises
    ------
    ValueError
        If an array is not contiguous.
    """
    for array in (L, shift, total, highest):
        check_contiguous(array)
    _launch_exponentials(L, shift, total, highest, L.shape[-2], shift.shape[-2], start, True)
    return L


def _launch_exponentials(
    L: Array, shift: Array, sums: Array, highest: Array, n: int, samples: int, start: int, add: bool
) -> None:
    rows, columns = prod(L.shape[:-1]), L.shape[-1]
    # Short rows share a warp, so that no thread idles; long ones take a block, so that its threads read side by side.
    lanes = _lanes(columns) if columns < 4 * _THREADS else _THREADS
    per_block = _THREADS // lanes
    sizes = *map(np.int64, (rows, columns, n, samples, start)), np.int32(add)
    grid, block = (-(-rows // per_block),), (lanes, per_block)
    launch("exponentials", L.dtype.name, grid, block, L, shift, sums, highest, *sizes)


def diagonal_weights(E: Array, inverse: Array) -> tuple[Array, Array]:
    """Return Q = P∘(1 − P) and S = P∘P for P = E·inverse, computed in float64 and rounded to the dtype of E.

    Parameters
    ----------
    E
        (…, n, c).
    inverse
        Broadcasts against (…, n, 1).
    """
    import cupy

    E = contiguous(E, E.dtype)
    inverse = contiguous(cupy.broadcast_to(cupy.asarray(inverse), (*E.shape[:-1], 1)), np.float64)
    Q, S = cupy.empty_like(E), cupy.empty_like(E)
    rows, columns = inverse.size, E.shape[-1]
    lanes = _lanes(columns)
    block = lanes, _THREADS // lanes
    grid = min(_MOST_BLOCKS, -(-rows // block[1])), min(_MOST_BLOCKS - 1, -(-columns // (8 * lanes)))
    launch("diagonal_weights", E.dtype.name, grid, block, E, inverse, Q, S, np.int64(rows), np.int64(columns))
    return Q, S


def column_products(A: Array, B: Array, left: np.ndarray, right: np.ndarray, scale: np.ndarray) -> Array:
    """Return scale_k times column left_k of A and column right_k of B, for every k, (…, k), by entry.

    Parameters
    ----------
    A, B
        (…, m), of one shape and dtype.
    left, right, scale
        (k,), NumPy arrays, which are sent to the device once and kept there.
    """
    import cupy

    *lead, m = A.shape
    out = cupy.empty((*lead, len(left)), dtype=A.dtype)
    given = [contiguous(M, A.dtype) for M in (A, B)]
    given += [fixed(kept) for kept in (left.astype(np.int64), right.astype(np.int64), scale.astype(A.dtype))]
    blocks = min(_MOST_BLOCKS, -(-out.size // _THREADS))
    sizes = map(np.int64, (prod(lead), m, len(left)))
    launch("column_products", A.dtype.name, (blocks,), (_THREADS,), *given, out, *sizes)
    return out


def normal_cdf(A: Array) -> Array:
    """Return Φ of every entry, the distribution function of the standard normal law, in the dtype of A."""
    from cupyx.scipy.special import ndtr

    return ndtr(A)


def add_product(total: Array, A: Array, B: Array) -> None:
    """Add A Bᵀ to ``total`` in place, for every draw.

    Where B is A itself, only the lower triangle of ``total`` with its diagonal is filled. Sums have the precision of
    the arrays. Small products of all draws are added by one launch of a kernel of our own. Large ones go to cuBLAS one
    by one: a batched product may choose its kernel by their number, and a draw's bits must not depend on that.

    Parameters
    ----------
    total
        (…, n, k); of each draw contiguous.
    A, B
        (…, n, c) and (…, k, c), of the dtype of ``total``. Rows or draws of a larger array are taken as they
        lie; columns of one are copied first.

    Raises
    ------
    ValueError
        If a draw of ``total`` is not contiguous.
    """
    from cupy import cublas

    (n, c), k = A.shape[-2:], B.shape[-2]
    if gpu_tiles.is_small(n, k, c) and total.flags.c_contiguous:
        gpu_tiles.put_products(total, A, B, add=True, lower=A is B)
        return
    for draw in np.ndindex(total.shape[:-2]):
        out = total[draw]
        check_contiguous(out)  # CuPy would copy it, there and back
        a = contiguous(A[draw], A.dtype)
        if A is B:
            cublas.syrk("N", a, out=out, beta=1.0, lower=True)
        else:
            cublas.gemm("N", "T", a, contiguous(B[draw], B.dtype), out=out, beta=1.0)


def products(A: Array, B: Array) -> Array:
    """Return A Bᵀ for every draw, (…, n, k); the leading axes of A (…, n, c) and B (…, k, c) broadcast.

    Large products are made one by one, as in `add_product`. Matrices that are stored by rows or by columns are taken as
    they lie.
    """
    import cupy
    from cupy import cublas

    (n, c), k = A.shape[-2:], B.shape[-2]
    lead = np.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    if not c:
        return cupy.zeros((*lead, n, k), dtype=A.dtype)
    out = cupy.empty((*lead, n, k), dtype=A.dtype)
    if gpu_tiles.is_small(n, k, c):
        gpu_tiles.put_products(out, A, B)
        return out
    A, B = cupy.broadcast_to(A, (*lead, n, c)), cupy.broadcast_to(B, (*lead, k, c))
    for draw in np.ndindex(lead) if out.size else ():
        a, b = (M if M.flags.f_contiguous else contiguous(M, M.dtype) for M in (A[draw], B[draw]))
        cublas.gemm("N", "T", a, b, out=out[draw])
    return out


def pair_weights(K: Array) -> Array:
    """Overwrite K (…, n, n) with 2K below the diagonal, K on it and 0 above; return it.

    Raises
    ------
    ValueError
        If K is not contiguous.
    """
    check_contiguous(K)
    n, rows = K.shape[-1], prod(K.shape[:-1])
    block = _WARP, _THREADS // _WARP
    grid = (min(_MOST_BLOCKS, -(-rows // block[1])),)
    launch("pair_weights", K.dtype.name, grid, block, K, np.int64(n), np.int64(prod(K.shape[:-2])))
    return K


def weighted_sum(K: Array, G: Array, left: Array, right: Array, power: int) -> Array:
    """Return Σ K∘(G∘left rightᵀ)^power in float64, with products and sums in float64.

    Parameters
    ----------
    K, G
        (…, n, k), of one dtype; the last of K's leading axes may have length 1 where G's is longer.
    left, right
        (…, n) and (…, k).
    power
        1 or 2, of each entry.

    Returns
    -------
    array
        Of the leading axes, with no axis where there are none. A draw's value does not depend on the others.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit, or with another power.
    """
    import cupy

    *lead, n, k = G.shape
    shared = bool(lead) and K.shape == (*lead[:-1], 1, n, k)  # by the last leading axis, along which V run
    if not (shared or K.shape == G.shape) or K.dtype != G.dtype or power not in (1, 2):
        raise ValueError(f"K {K.shape} {K.dtype}, G {G.shape} {G.dtype} and power {power} do not fit")
    left = contiguous(cupy.broadcast_to(left, (*lead, n)), np.float64)
    right = contiguous(cupy.broadcast_to(right, (*lead, k)), np.float64)
    draws, parts = prod(lead), min(1024, -(-n * _WARP // _THREADS))
    partial, out = cupy.empty((draws, parts), dtype=np.float64), cupy.empty(tuple(lead), dtype=np.float64)
    sizes = np.int32(power), np.int64(lead[-1] if shared else 1), np.int64(n), np.int64(k), np.int64(parts)
    arrays = contiguous(K, K.dtype), contiguous(G, G.dtype), left, right
    launch("weighted_sum", G.dtype.name, (draws * parts,), (_WARP, _THREADS // _WARP), *arrays, *sizes, partial)
    launch("total", "float64", (draws,), (_THREADS,), partial, np.int64(parts), out)
    return out


def _lanes(columns: int) -> int:
    """Threads of a warp for one row: the least power of two that spans it."""
    return int(min(_WARP, 1 << max(0, columns - 1).bit_length()))
