"""The hidden layer's block norms: one weight vector λ ∈ R^N for every pair of neurons i ≤ j, (8) and (14)."""

from __future__ import annotations

import math
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

#: Below this share of its terms a covariance has lost two digits: more than float32 can spare.
_DOMINATED = 0.01


def hidden(
    samples: DataKernel,
    covariance: Array,
    seen: Array,
    scaling: Scaling,
    check: PrecisionCheck | None,
    xp: Module,
    softmax: Softmax | None = None,
) -> BlockNorms:
    """Norms over the blocks (i, j) with weights λ_n = covariance_n,ij 1_{n,i} 1_{n,j}, at the network's own scale.

    ``covariance`` is (…, N or 1, pairs), its pairs as in `pair`, in float64, and ``seen`` the masks of pairs of
    neurons, (…, N, pairs), in the dtype of all else. Norms go as the squares of these weights and leave the range of
    the dtype first, so a power of two is taken out of them. ``softmax`` is given where probabilities enter.
    """
    n_samples, m = seen.shape[-2], _neurons(seen.shape[-1])
    size = exponent(covariance, xp, _BAND)
    weights = xp.astype(times_power(covariance, -size, xp), seen.dtype) * seen

    def columns(i: int, chunk: None, fresh: bool) -> tuple[Array, ...]:
        rows = weights[..., samples.tiles[i], :]
        return (rows[..., :m],) if m == 1 else (rows[..., :m], rows[..., m:])

    def at_own_scale(total: Array, pairs: slice) -> Array:
        n_pairs = weights[..., pairs].shape[-1]
        value = total / (n_samples**2 * n_pairs)

        def positive() -> Array:
            found = xp.any(weights[..., pairs] != 0, axis=(-2, -1))
            if softmax is None or softmax.V.shape[-2] == 1:
                return found
            met = xp.any(seen[..., pairs] != 0, axis=-1, keepdims=True)  # samples that some pair lets through
            return found | xp.any(softmax.vanished & met, axis=(-2, -1))

        what = "the hidden layer's mean squared norm"
        if check:
            check.norm(value, float(n_samples) ** 2 * n_pairs, what, positive)
        return restored(value, 2 * (scaling.entry(0, 0) + size), xp, what)

    same, *different = samples.quadratic_sums(columns, lambda: [None])
    diag = at_own_scale(same, slice(0, m))
    return BlockNorms(diag, at_own_scale(different[0], slice(m, None)) if m > 1 else diag * xp.nan)


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


def _neurons(pairs: int) -> int:
    """Return m, of which there are m(m + 1)/2 pairs i ≤ j."""
    return (math.isqrt(8 * pairs + 1) - 1) // 2


class Moments:
    """Σ_c E_nc v_c and Σ_c E_nc v_{c,i} v_{c,j} for E = exp(logits − shift), added up in float64 as classes pass by.

    With a ``centre`` (…, 1, m) in float64 they are those of V less the centre, and products are made in float64, too.
    """

    def __init__(self, softmax: Softmax, centre: Array | None = None) -> None:
        self._soft, self._centre = softmax, centre
        self.reset()

    def reset(self) -> None:
        """Start again."""
        U, m, xp = self._soft.U, self._soft.V.shape[-1], self._soft.xp
        self._first = xp.zeros((*U.shape[:-1], m), dtype=xp.float64)
        self._second = xp.zeros((*U.shape[:-1], m * (m + 1) // 2), dtype=xp.float64)

    def add(self, i: int, chunk: Chunk, E: Array) -> None:
        """Add a tile's terms of a chunk."""
        rows, xp, V = (..., self._soft.tiles[i], slice(None)), self._soft.xp, chunk.V
        if self._centre is not None:
            E, V = xp.astype(E, xp.float64), xp.astype(V, xp.float64) - self._centre
        self._first[rows] += xp.astype(E @ V, xp.float64)
        self._second[rows] += xp.astype(E @ pair(V, xp), xp.float64)

    def mean(self) -> Array:
        """Σ_c p_nc v_c, (…, N, m)."""
        softmax = self._soft
        return softmax.xp.astype(self._first / softmax.total, softmax.U.dtype)

    def covariance(self, seen: Array) -> Array:
        """Cov_p(v_i, v_j) of (14) of every sample and pair of neurons, (…, N, pairs), in float64.

        Digits are looked after where ``seen`` (…, N, pairs) is not 0: the rest is not wanted.
        """
        softmax, xp = self._soft, self._soft.xp
        mean, second = self._first / softmax.total, self._second / softmax.total
        covariance = second - pair(mean, xp)
        if softmax.U.dtype == xp.float32 and bool(xp.any(lost := self._has_lost_digits(covariance, second, seen))):
            covariance = xp.where(lost, self._covariance_in_float64(mean[..., :1, :]), covariance)
        if softmax.is_saturated:
            covariance = xp.where(softmax.saturated, self._careful_covariance(), covariance)
        return covariance

    def _has_lost_digits(self, covariance: Array, second: Array, seen: Array) -> Array:
        """Return for each draw whether rows of V, less what they share, are small beside themselves, (…, 1, 1).

        Pairs i = j and i < j go into different norms, so both are looked at; saturated samples are seen to elsewhere.
        """
        xp, m = self._soft.xp, self._first.shape[-1]
        seen = xp.where(self._soft.saturated, xp.zeros_like(seen), seen)

        def size(values: Array, pairs: slice) -> Array:
            return xp.sum((values[..., pairs] * seen[..., pairs]) ** 2, axis=(-2, -1), keepdims=True)

        kinds = (slice(0, m), slice(m, None))
        same, different = (size(covariance, kind) < _DOMINATED**2 * size(second, kind) for kind in kinds)
        return same | different

    def _covariance_in_float64(self, centre: Array) -> Array:
        """Cov_p for the same exponentials; it does not see the shift of V by ``centre`` (…, 1, m)."""
        softmax, xp = self._soft, self._soft.xp
        sums = Moments(softmax, centre)
        total = xp.zeros_like(softmax.total)  # the softmax's own is added up in float32: mean and second would not fit

        def add(i: int, chunk: Chunk) -> None:
            E = softmax.exponentials(i, chunk)
            sums.add(i, chunk, E)
            total[..., softmax.tiles[i], :] += xp.sum(xp.astype(E, xp.float64), axis=-1, keepdims=True)

        for chunk in softmax.chunks():
            softmax.team.map(lambda i, chunk=chunk: add(i, chunk), range(len(softmax.tiles)))  # type: ignore[misc]
        return sums._second / total - pair(sums._first / total, xp)

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
