"""The hidden layer's block norms: one weight vector λ ∈ R^N for every pair of neurons i ≤ j, (8) and (14)."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from rmtsim.arrays.backend import Array, Module
from rmtsim.kernels.classes import Chunk, Rows, chunks
from rmtsim.kernels.grams import DataKernel
from rmtsim.kernels.precision import PrecisionCheck
from rmtsim.kernels.probabilities import Softmax
from rmtsim.kernels.results import BlockNorms
from rmtsim.kernels.scaling import Scaling, exponent, restored, times_power
from rmtsim.kernels.tiling import Tiling

#: Covariances whose largest is within 2^±20 are left alone.
_BAND = 20


def hidden(
    samples: DataKernel,
    covariance: Array,
    active: Array,
    scaling: Scaling,
    check: PrecisionCheck | None,
    xp: Module,
    softmax: Softmax | None = None,
) -> BlockNorms:
    """Norms over the blocks (i, j) with weights λ_n = covariance_n,ij 1_{n,i} 1_{n,j}, at the network's own scale.

    ``covariance`` is (…, N or 1, pairs), its pairs as in `pair`, in float64, and ``active`` (…, N, m). Norms go as
    the squares of these weights and leave the range of the dtype first, so a power of two is taken out of them.
    ``softmax`` is given where probabilities enter.
    """
    n_samples, m = active.shape[-2:]
    size = exponent(covariance, xp, _BAND)
    weights = xp.astype(times_power(covariance, -size, xp), active.dtype) * pair(active, xp)

    def columns(i: int, chunk: None, fresh: bool) -> tuple[Array, ...]:
        rows = weights[..., samples.tiles[i], :]
        return (rows[..., :m],) if m == 1 else (rows[..., :m], rows[..., m:])

    def at_own_scale(total: Array, pairs: slice, least: int) -> Array:
        n_pairs = weights[..., pairs].shape[-1]
        value = total / (n_samples**2 * n_pairs)

        def positive() -> Array:
            found = xp.any(weights[..., pairs] != 0, axis=(-2, -1))
            if softmax is None or softmax.V.shape[-2] == 1:
                return found
            met = xp.sum(active, axis=-1, keepdims=True) >= least  # samples that some pair lets through
            return found | xp.any(softmax.vanished & met, axis=(-2, -1))

        what = "the hidden layer's mean squared norm"
        if check:
            check.norm(value, float(n_samples) ** 2 * n_pairs, what, positive)
        return restored(value, 2 * (scaling.entry(0, 0) + size), xp, what)

    same, *different = samples.quadratic_sums(columns, lambda: [None])
    diag = at_own_scale(same, slice(0, m), 1)
    return BlockNorms(diag, at_own_scale(different[0], slice(m, None), 2) if m > 1 else diag * xp.nan)


def gram_of_neurons(V: Rows, tiling: Tiling, xp: Module) -> Array:
    """Return Σ_c v_{c,i} v_{c,j} of all pairs, (…, 1, pairs), in float64."""
    parts = [xp.sum(xp.astype(pair(c.V, xp), xp.float64), axis=-2, keepdims=True) for c in chunks(V, tiling)]
    return sum(parts[1:], parts[0])


def pair(A: Array, xp: Module, B: Array | None = None) -> Array:
    """Return A_i B_j for the pairs of columns i ≤ j, those with i = j first; A_i A_j without B."""
    m = A.shape[-1]
    i, j = np.triu_indices(m, k=1)
    i, j = (xp.asarray(np.append(np.arange(m), other)) for other in (i, j))
    return xp.take(A, i, axis=-1) * xp.take(A if B is None else B, j, axis=-1)


class Moments:
    """Σ_c E_nc v_c and Σ_c E_nc v_{c,i} v_{c,j} for E = exp(logits − shift), added up in float64 as classes pass by."""

    def __init__(self, softmax: Softmax) -> None:
        self._soft = softmax
        self.reset()

    def reset(self) -> None:
        """Start again."""
        U, m, xp = self._soft.U, self._soft.V.shape[-1], self._soft.xp
        self._first = xp.zeros((*U.shape[:-1], m), dtype=xp.float64)
        self._second = xp.zeros((*U.shape[:-1], m * (m + 1) // 2), dtype=xp.float64)

    def add(self, i: int, chunk: Chunk, E: Array) -> None:
        """Add a tile's terms of a chunk."""
        rows, xp = (..., self._soft.tiles[i], slice(None)), self._soft.xp
        self._first[rows] += xp.astype(E @ chunk.V, xp.float64)
        self._second[rows] += xp.astype(E @ pair(chunk.V, xp), xp.float64)

    def mean(self) -> Array:
        """Σ_c p_nc v_c, (…, N, m)."""
        softmax = self._soft
        return softmax.xp.astype(self._first / softmax.total, softmax.U.dtype)

    def covariance(self) -> Array:
        """Cov_p(v_i, v_j) of (14) of every sample and pair of neurons, (…, N, pairs), in float64."""
        softmax, xp = self._soft, self._soft.xp
        covariance = self._second / softmax.total - pair(self._first / softmax.total, xp)
        if softmax.is_saturated:
            covariance = xp.where(softmax.saturated, self._careful_covariance(), covariance)
        return covariance

    def excess_of_leading(self) -> Array:
        """v_t − Σ_c p_nc v_c for the leading class t of every sample, (…, N, m), also where p_nt is nearly 1."""
        share, first, _, top = self._of_others
        return self._soft.xp.astype(share * top - first, self._soft.U.dtype)

    def _careful_covariance(self) -> Array:
        """Cov_p without cancellation where one class has nearly all the probability.

        Cov does not see a shift of V, so shift by the leading class: its own large terms then vanish.
        """
        xp, (share, first, second, top) = self._soft.xp, self._of_others
        second = second - pair(first, xp, top) - pair(top, xp, first) + share * pair(top, xp)
        return second - pair(first - share * top, xp)

    @cached_property
    def _of_others(self) -> tuple[Array, Array, Array, Array]:
        """Σ p, Σ p v and Σ p v_i v_j over all classes but the leading one, and the leading one's v, in float64."""
        others = self._soft.without_leading()
        sums = Moments(others)

        def work() -> None:
            sums.reset()
            for chunk in others.chunks():
                for i in range(len(others.tiles)):
                    sums.add(i, chunk, others.count(i, chunk))

        others.first_pass(work)
        total = 1 + others.total  # the leading class has exp(0)
        top = others.xp.astype(self._soft.leading.row, others.xp.float64)
        return others.total / total, sums._first / total, sums._second / total, top
