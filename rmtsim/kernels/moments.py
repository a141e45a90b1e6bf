"""Sums over the classes of rows of V, and of products of their entries, weighted with probabilities of each sample."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from rmtsim.arrays.backend import Array, Module, backend_of
from rmtsim.kernels.classes import Chunk
from rmtsim.kernels.pairs import n_pairs, pair, pairs_of
from rmtsim.kernels.probabilities import Softmax

#: Below this share of its terms a covariance has lost two digits: more than float32 can spare.
_DOMINATED = 0.01


def of_labels(V: Array, y: Array, classes: slice, found: Array, xp: Module) -> Array:
    """Return ``found`` (…, N, m), in float64, with rows of V (…, c, m) where a label (…, N) is of V's ``classes``."""
    here = (y >= classes.start) & (y < classes.stop)
    place = xp.where(here, y - classes.start, xp.zeros_like(y))[..., None]
    shape = (*found.shape[:-1], V.shape[-1])
    rows = xp.take_along_axis(V, xp.broadcast_to(place, shape), axis=-2)
    return xp.where(here[..., None], xp.astype(rows, xp.float64), found)


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
        self._on_device: Any = backend_of(xp).chunk_sums() if self._centre is None else None
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
            if softmax.doubts.all_with_care or softmax.doubts.arise(lost, xp):
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
    def _of_others(self) -> tuple[Array, Array, Array | None, Array]:
        """Σ p, Σ p v and Σ p v_i v_j over all classes but the leading one, and the leading one's v, in float64.

        Without pairs the third is None.
        """
        others = self._soft.without_leading()
        sums = Moments(others, pairs=self._pairs)

        def work() -> None:
            sums.reset()
            for chunk in others.chunks():
                for i in range(len(others.tiles)):
                    sums.add(i, chunk, others.count(i, chunk))

        others.first_pass(work)
        total = 1 + others.total  # the leading class has exp(0)
        top = others.xp.astype(self._soft.leading_rows, others.xp.float64)
        found = [of_all / total for of_all in sums._sums()]
        return others.total / total, found[0], found[1] if self._pairs else None, top
