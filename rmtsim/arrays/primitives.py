"""The few operations in which a draw spends its time: a generic form each, and a native one where that is faster.

NumPy adds products in place through BLAS (``rmtsim.arrays.blas``); CuPy has kernels of its own
(``rmtsim.arrays.gpu``); any other array module takes the generic form. All arrays may have leading axes, which run over
draws; a draw's value has the same bits in a batch of any size.
"""

from __future__ import annotations

import numpy as np

from rmtsim.arrays.backend import Array, Module, inner, is_cupy, native_gpu
from rmtsim.arrays.blas import add_product as add_product_blas


def exponentials(L: Array, shift: Array | None, xp: Module) -> tuple[Array, Array, Array]:
    """Return exp(L − shift), its row sums in float64 and the row maxima of L; may overwrite L (…, n, c).

    ``shift``, the sums and the maxima are (…, n, 1); without a shift, the maxima serve as one.
    """
    if is_cupy(xp):
        shift = xp.max(L, axis=-1, keepdims=True) if shift is None else shift
        return native_gpu().exponentials(L, shift)  # type: ignore[no-any-return]
    highest = xp.max(L, axis=-1, keepdims=True)
    L -= highest if shift is None else shift
    E = np.exp(L, out=L) if xp is np else xp.exp(L)
    return E, xp.astype(xp.sum(E, axis=-1, keepdims=True), xp.float64), highest


def diagonal_weights(E: Array, inverse: Array, xp: Module) -> tuple[Array, Array]:
    """Return Q = P∘(1 − P) and S = P∘P for P = E·inverse; E is (…, n, c), ``inverse`` (…, n, 1)."""
    if is_cupy(xp):
        return native_gpu().diagonal_weights(E, inverse)  # type: ignore[no-any-return]
    Q = E * inverse
    S = Q * Q
    Q -= S
    return Q, S


def add_product(total: Array, A: Array, B: Array, xp: Module) -> Array:
    """Return total + A Bᵀ, (…, n, k); may overwrite ``total``. Where A is B, only the lower triangle is sure."""
    if is_cupy(xp):
        native_gpu().add_product(total, A, B)
        return total
    if xp is np:
        for draw in np.ndindex(total.shape[:-2]):
            a = A[draw]
            add_product_blas(total[draw], a, a if A is B else B[draw])
        return total
    total += A @ B.mT
    return total


def weighted_sum(K: Array, G: Array, left: Array, right: Array, power: int, xp: Module) -> Array:
    """Return Σ K∘(G∘left rightᵀ)^power in float64, with power 1 or 2 by entry.

    K and G are (…, n, k), left (…, n, 1), right (…, k, 1).
    """
    if is_cupy(xp):
        return native_gpu().weighted_sum(K, G, left[..., 0], right[..., 0], power)
    scaled = G * left
    scaled *= right.mT
    if power == 2:
        scaled *= scaled
    return inner(K, scaled, xp)
