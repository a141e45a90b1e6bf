"""The hidden layer's block norms: one weight vector λ ∈ R^N for every pair of neurons i ≤ j, (8) and (14)."""

from __future__ import annotations

import numpy as np

from rmtsim.arrays.backend import Array, Module, backend_of, to_numpy
from rmtsim.kernels.classes import Rows, chunks
from rmtsim.kernels.covariances import Covariances
from rmtsim.kernels.doubts import AT_ONCE
from rmtsim.kernels.grams import DataKernel
from rmtsim.kernels.moments import of_labels
from rmtsim.kernels.pairs import pair, pairs_of
from rmtsim.kernels.precision import PrecisionCheck
from rmtsim.kernels.probabilities import Softmax
from rmtsim.kernels.results import BlockNorms
from rmtsim.kernels.scaling import Exponents, Scaling, exponent_of, largest, restored, times_power
from rmtsim.kernels.tiling import Tiling
from rmtsim.model.network import Forward

#: Covariances whose largest is within 2^±20 are left alone.
_BAND = 20


class HiddenLayer:
    """Norms over the blocks (i, j), at the network's own scale.

    Their weights are

        λ_n = covariance_n,ij σ′(z_ni) σ′(z_nj) + δ_ij σ″(z_ni) (Vᵀ r_n)_i,

    where covariance is Vᵀ S V, z_ni = w_i·x_n and r the residual. The slopes of ReLU are masks, and its σ″ is 0.

    The weights of several V of a draw are collected and summed together. Norms go as the squares of these weights and
    leave the range of the dtype first, so a power of two is taken out of them.

    Parameters
    ----------
    samples
        K of the samples X (…, 1, N, d).
    forward_pass
        The slopes and bends of the samples.
    restricted
        Whether K is restricted to the samples that a pair lets through: see `rmtsim.kernels.cost.restricts_pairs`;
        slopes are masks then.

    Attributes
    ----------
    seen
        Products of the slopes of pairs of neurons, (…, N, pairs), in the dtype of the arrays.
    """

    def __init__(
        self,
        samples: DataKernel,
        forward_pass: Forward,
        scaling: Scaling,
        check: PrecisionCheck | None,
        xp: Module,
        *,
        restricted: bool = False,
    ) -> None:
        self.seen, self._bends, self._samples = pair(forward_pass.slopes, xp), forward_pass.bends, samples
        self._slopes, self._scaling, self._check, self._xp = forward_pass.slopes, scaling, check, xp
        self._doubts = check.doubts if check else AT_ONCE
        self.restricted, self._m = restricted, self._slopes.shape[-1]
        self._kinds = [slice(0, self._m), slice(self._m, None)][: 1 if self._m == 1 else 2]
        self._waiting: list[Array] = []
        self._sizes: list[Array] = []
        self._vanished: list[list[Array]] = [[] for _ in self._kinds]

    def add(
        self,
        covariance: Array,
        gradient: Array | None = None,
        softmax: Softmax | None = None,
        known: Covariances | None = None,
    ) -> None:
        """Add covariances of some V, (…, R, N or 1, pairs).

        ``gradient`` is Vᵀ r, (…, R, N, m), in float64, where the activation bends; ``softmax`` is given where
        probabilities enter; ``known`` are the same, which hold instead for each V of which they are trusted.
        """
        xp = self._xp
        if self._bends is not None:
            covariance = covariance * self.seen[..., None, :, :]
            covariance[..., : self._m] += gradient * self._bends[..., None, :, :]
        elif self.restricted:
            covariance = covariance * self.seen[..., None, :, :]
        size = largest(covariance, (-2, -1), xp)
        if known:
            covariance = xp.where(known.trusted[..., None, None], known.values.mT, covariance)
            size = xp.where(known.trusted, known.size, size)
        self._wait(covariance, size)
        if softmax is not None and softmax.V.shape[-2] > 1 and softmax.is_saturated:
            lost = softmax.vanished
            for kind, found in zip(self._kinds, self._vanished, strict=True):
                met = xp.any(self.seen[..., None, :, kind] != 0, axis=-1, keepdims=True)
                found.append(xp.any(lost & met, axis=(-3, -2, -1)))  # samples that some pair lets through

    def add_known(self, known: Covariances) -> None:
        """Add covariances of some V that are all trusted."""
        self._wait(known.values.mT, known.size)

    def _wait(self, covariance: Array, size: Array) -> None:
        self._waiting.append(covariance)
        self._sizes.append(self._xp.max(size, axis=-1))

    def norms(self) -> BlockNorms:
        """Return the means over blocks and over all V that were added; and forget them."""
        xp, seen, samples = self._xp, self.seen, self._samples
        n_samples, count = seen.shape[-2], sum(covariance.shape[-3] for covariance in self._waiting)
        size = self._exponent()
        in_range = [times_power(covariance, -size[..., None], xp) for covariance in self._waiting]
        self._waiting.clear()
        self._sizes.clear()
        weights = [A if A.dtype == seen.dtype else xp.astype(A, seen.dtype) for A in in_range]
        del in_range
        if self.restricted:
            weights = [xp.concat([xp.moveaxis(A, -1, -3) for A in weights], axis=-2)]
            totals = self._samples.sums_of_active(weights[0], self._slopes)
        else:
            if self._bends is None:
                weights = [A * seen[..., None, :, :] for A in weights]
            totals = self._sums(weights)
        found = []
        for kind, total, vanished in zip(self._kinds, totals, self._vanished, strict=True):
            terms = n_samples**2 * seen[..., kind].shape[-1] * count

            def positive(kind: slice = kind, vanished: list[Array] = vanished) -> Array:
                x = xp.any(samples.samples != 0, axis=-1)  # (…, 1, N): samples that are 0 have no part in blocks
                if self._bends is not None:  # no slope is 0 but below the dtype's range
                    vanished = [*vanished, xp.any((self._slopes == 0) & x[..., 0, :, None], axis=(-2, -1))]
                x = x[..., None, :, :] if self.restricted else x[..., None]
                of_kind = [w[..., kind, :, :] if self.restricted else w[..., kind] for w in weights]
                there = [xp.any((w != 0) & x, axis=(-3, -2, -1)) for w in of_kind]
                return xp.any(xp.stack([*there, *vanished]), axis=0)

            what, value = "the hidden layer's mean squared norm", total / terms
            if self._check:
                self._check.norm(value, float(terms), what, positive, xp)
            exponent = 2 * (self._scaling.entry(0, 0) + size)
            found.append(restored(value, exponent, xp, what, self._doubts))
            vanished.clear()
        return BlockNorms(found[0], found[1] if len(found) > 1 else found[0] * xp.nan)

    def _exponent(self) -> Exponents:
        """Return the exponent of the largest covariance of each draw, 0 within the band."""
        xp, sizes = self._xp, self._sizes
        size = sizes[0] if len(sizes) == 1 else xp.max(xp.stack(sizes), axis=0)
        beyond = self._doubts.outside(size, xp, above=2.0 ** (-_BAND - 1), below=2.0**_BAND)
        return exponent_of(to_numpy(size), _BAND) if beyond else np.asarray(0)

    def _sums(self, weights: list[Array]) -> list[Array]:
        """Σ λᵀ K λ over all pairs i = j, and over all i < j."""
        xp, samples = self._xp, self._samples
        if samples.in_registers:
            kinds = [side_by_side([w[..., kind] for w in weights], xp) for kind in self._kinds]
            A = weights[0] if kinds[0].shape[-1] == self._m else xp.concat(kinds, axis=-1)
            return [total[..., 0] for total in samples.sums_in_registers(A, kinds[0].shape[-1])]

        def columns(i: int, chunk: None, fresh: bool) -> tuple[Array, ...]:
            rows = [w[..., samples.tiles[i], :] for w in weights]
            return tuple(side_by_side([w[..., kind] for w in rows], xp) for kind in self._kinds)

        return [total[..., 0] for total in samples.quadratic_sums(columns, lambda: [None])]


def side_by_side(weights: list[Array], xp: Module) -> Array:
    """Return columns (…, R, N, c) of several V as (…, 1, N, columns)."""
    if len(weights) == 1 and weights[0].shape[-3] == 1:
        return weights[0]
    columns = [xp.moveaxis(w, -3, -2) for w in weights]
    return xp.concat([xp.reshape(w, (*w.shape[:-2], -1)) for w in columns], axis=-1)[..., None, :, :]


def gram_of_neurons(V: Rows, tiling: Tiling, xp: Module) -> Array:
    """Return Σ_c v_{c,i} v_{c,j} of all pairs, (…, 1, pairs), in float64."""
    total = None
    for chunk in chunks(V, tiling):  # no list of what they give: there may be thousands
        part = xp.sum(xp.astype(pair(chunk.V, xp), xp.float64), axis=-2, keepdims=True)
        total = part if total is None else total + part
    return total


def gradient_mse(features: Array, gram: Array, V: Rows, y: Array, tiling: Tiling, xp: Module) -> Array:
    """Return Vᵀ r = 2 Vᵀ(V h − y) of every sample, (…, R, N, m), in float64, for the `gram_of_neurons` of V."""
    m = features.shape[-1]
    whole = np.zeros((m, m), dtype=np.int64)  # where each product of two neurons stands among the pairs
    i, j = pairs_of(m)
    whole[i, j] = whole[j, i] = np.arange(len(i))
    square = xp.reshape(
        xp.take(gram[..., 0, :], backend_of(xp).fixed(whole.ravel()), axis=-1), (*gram.shape[:-2], m, m)
    )
    found = backend_of(xp).products(xp.astype(features[..., None, :, :], xp.float64), square.mT)
    own = xp.zeros_like(found)
    for chunk in chunks(V, tiling):
        own = of_labels(chunk.V, y[..., None, :], chunk.classes, own, xp)
    return 2 * (found - own)
