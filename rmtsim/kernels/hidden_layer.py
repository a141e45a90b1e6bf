"""The hidden layer's block norms: one weight vector λ ∈ R^N for every pair of neurons i ≤ j, (8) and (14)."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from rmtsim.arrays.backend import Array, Module, backend_of, to_numpy
from rmtsim.kernels.classes import Chunk, Rows, chunks
from rmtsim.kernels.covariances import Covariances
from rmtsim.kernels.doubts import AT_ONCE
from rmtsim.kernels.grams import DataKernel
from rmtsim.kernels.pairs import n_pairs, pair, pairs_of
from rmtsim.kernels.precision import PrecisionCheck
from rmtsim.kernels.probabilities import Softmax
from rmtsim.kernels.results import BlockNorms
from rmtsim.kernels.scaling import Exponents, Scaling, exponent_of, largest, restored, times_power
from rmtsim.kernels.tiling import Tiling
from rmtsim.model.network import Forward

#: Covariances whose largest is within 2^±20 are left alone.
_BAND = 20

#: Below this share of its terms a covariance has lost two digits: more than float32 can spare.
_DOMINATED = 0.01


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
        xp, seen = self._xp, self.seen
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
                of_kind = [w[..., kind, :, :] if self.restricted else w[..., kind] for w in weights]
                there = [xp.any(w != 0, axis=(-3, -2, -1)) for w in of_kind]
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
    parts = [xp.sum(xp.astype(pair(c.V, xp), xp.float64), axis=-2, keepdims=True) for c in chunks(V, tiling)]
    return sum(parts[1:], parts[0])


def of_labels(V: Array, y: Array, classes: slice, found: Array, xp: Module) -> Array:
    """Return ``found`` (…, N, m), in float64, with rows of V (…, c, m) where a label (…, N) is of V's ``classes``."""
    here = (y >= classes.start) & (y < classes.stop)
    place = xp.where(here, y - classes.start, xp.zeros_like(y))[..., None]
    shape = (*found.shape[:-1], V.shape[-1])
    rows = xp.take_along_axis(V, xp.broadcast_to(place, shape), axis=-2)
    return xp.where(here[..., None], xp.astype(rows, xp.float64), found)


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


class Moments:
    """Σ_c E_nc v_c and Σ_c E_nc v_{c,i} v_{c,j} for E = exp(logits − shift), added up in float64 as classes pass by.

    With a ``centre`` (…, 1, m) in float64 they are those of V less the centre, and products are made in float64, too.
    With labels y (…, N), the rows of V of the samples' labels are found on the way. Without ``pairs``, the second are
    not made.
    """

    def __init__(
        self, softmax: Softmax, centre: Array | None = None, y: Array | None = None, *, pairs: bool = True
    ) -> None:
        self._soft, self._centre, self._y, self._pairs = softmax, centre, y, pairs
        self.reset()

    def reset(self) -> None:
        """Start again."""
        soft, m, xp = self._soft, self._soft.V.shape[-1], self._soft.xp
        *lead, N, _ = soft.U.shape
        sizes = [m, n_pairs(m)] if self._pairs else [m]
        self._slices: Array | None = None
        self._on_device = backend_of(xp).chunk_sums() if self._centre is None else None
        if self._on_device:
            chunk = min(soft.tiling.chunk, soft.V.shape[-2])
            self._slices = self._on_device.zero_moments(soft.tiling.tile, N, chunk, sum(sizes), tuple(lead))
        # Of a single tile, the first chunk's sums are there before any others.
        unknown = len(soft.tiles) == 1 or self._on_device
        self._added: list[Array] = [None if unknown else xp.zeros((*lead, N, size), dtype=xp.float64) for size in sizes]
        self._mean: Array | None = None
        self._of_labels = None if self._y is None else xp.zeros((*lead, N, m), dtype=xp.float64)

    def add(self, i: int, chunk: Chunk, E: Array) -> None:
        """Add a tile's terms of a chunk."""
        rows, xp, V = (..., self._soft.tiles[i], slice(None)), self._soft.xp, chunk.V
        if self._centre is not None:
            E, V = xp.astype(E, xp.float64), xp.astype(V, xp.float64) - self._centre
        if self._on_device:
            pairs = tuple(
                backend_of(xp).fixed(of[: n_pairs(V.shape[-1]) * self._pairs]) for of in pairs_of(V.shape[-1])
            )
            self._on_device.add_moments(self._slices, E, V, self._soft.tiles[i].start, pairs)
        for kind, total in enumerate(self._added if not self._on_device else ()):
            product = backend_of(xp).products(E, (pair(V, xp) if kind else V).mT)
            product = xp.astype(product, xp.float64, copy=False)
            if total is None:
                self._added[kind] = product
            else:
                total[rows] += product
        if self._y is not None and self._of_labels is not None:
            y = self._y[..., None, self._soft.tiles[i]]
            self._of_labels[rows] = of_labels(chunk.V, y, chunk.classes, self._of_labels[rows], xp)

    def _sums(self) -> list[Array]:
        """Return the two sums, after the pass."""
        if self._slices is not None:
            m, both = self._soft.V.shape[-1], self._on_device.added_grams(self._slices)
            self._added, self._slices = [both[..., :m], both[..., m:]], None
        return self._added

    def _mean_in_float64(self) -> Array:
        if self._mean is None:
            self._mean = self._sums()[0] / self._soft.total
        return self._mean

    def mean(self) -> Array:
        """Σ_c p_nc v_c, (…, N, m)."""
        softmax = self._soft
        return softmax.xp.astype(self._mean_in_float64(), softmax.U.dtype)

    def covariance(self, seen: Array) -> Array:
        """Cov_p(v_i, v_j) of (14) of every sample and pair of neurons, (…, N, pairs), in float64.

        Digits are looked after where ``seen``, of the same axes, is not 0: the rest is not wanted.
        """
        softmax, xp = self._soft, self._soft.xp
        mean, second = self._mean_in_float64(), self._sums()[1] / softmax.total
        covariance = second - pair(mean, xp)
        if softmax.U.dtype == xp.float32:
            lost = self._has_lost_digits(covariance, second, seen)
            if softmax.doubts.arise(lost, xp):
                covariance = xp.where(lost, self._covariance_in_float64(mean[..., :1, :]), covariance)
        if softmax.is_saturated:
            covariance = xp.where(softmax.saturated, self._careful_covariance(), covariance)
        return covariance

    def _has_lost_digits(self, covariance: Array, second: Array, seen: Array) -> Array:
        """Return for each draw whether rows of V, less what they share, are small beside themselves, (…, 1, 1).

        Pairs i = j and i < j go into different norms, so both are looked at; saturated samples are seen to elsewhere.
        """
        xp, m = self._soft.xp, self._soft.V.shape[-1]
        if self._soft.is_saturated:
            seen = xp.where(self._soft.saturated, xp.zeros_like(seen), seen)
        left, all_there = ((values * seen) ** 2 for values in (covariance, second))

        def lost(pairs: slice) -> Array:
            sums = [xp.sum(A[..., pairs], axis=(-2, -1), keepdims=True) for A in (left, all_there)]
            return sums[0] < _DOMINATED**2 * sums[1]

        return lost(slice(0, m)) | lost(slice(m, None))

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
        first, second = (of_all / total for of_all in sums._sums())
        return second - pair(first, xp)

    def gradient(self) -> Array:
        """Return Vᵀ r = Σ_c (p_nc − y_nc) v_c of every sample, (…, N, m), in float64, also where p_nt is nearly 1."""
        softmax, own = self._soft, self._of_labels
        found = self._mean_in_float64() - own
        if softmax.is_saturated:
            share, first, _, top = self._of_others
            found = softmax.xp.where(softmax.saturated, (first - share * top) + (top - own), found)
        return found

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
        top = others.xp.astype(self._soft.leading_rows, others.xp.float64)
        first, second = (of_all / total for of_all in sums._sums())
        return others.total / total, first, second, top
