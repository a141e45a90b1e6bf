"""The two-point function of ``log_partition`` for any pair of samples, interpolated in a table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from rmtsim.arrays.threads import single_threaded_blas
from rmtsim.errors import InputError
from rmtsim.theory.log_partition import DERIVATIVES, SWAPPED, derivatives, series_length, table
from rmtsim.theory.softmax_moments import softmax_moment

Array = NDArray[np.float64]

_NAMES = [*DERIVATIVES, "diag", "offdiag"]
_LEAST = 1e-3  # |τ| of the smallest logits tabulated
_MOST = 8.0  # |τ| beyond which the series grow long: p is then one class nearly always
_REACHES = (0.5, 1.0, 1.6, 2.5, 4.0, 6.0, _MOST)
_SHARPNESS = 3.0  # of the place of a correlation, over |τ||τ'|
_POINTS = 4096  # evaluated at once


class CovarianceTable:
    """``log_partition.derivatives`` for C ≥ 2 classes at |τ|, |τ'| up to ``largest`` and correlations from 0 to 1.

    A tensor product of Chebyshev series in asinh |τ|, asinh |τ'| and, of ρ, in log(1 + 3|τ||τ'|(1 − ρ)): the larger
    the logits, the narrower the peak at ρ = 1, and few neurons make parallel samples frequent; 1 itself is a node.
    Quantities that stay away from zero on the whole grid are interpolated in their logarithm, and derivatives as
    multiples of ∂_s K = E[p·p'].
    """

    def __init__(self, n_classes: int, largest: float) -> None:
        if largest > _MOST:
            raise InputError(
                f"gain, width, dim: logits whose standard deviation reaches {largest:.3g} are beyond the theory of one "
                f"hidden layer with CE, which ends at {_MOST:g}; give smaller variances, a larger width or a larger dim"
            )
        self.n_classes = n_classes
        self.largest = largest
        n, n_rho = _counts(largest)
        self._shape = (n, n, n_rho)
        nodes, places = chebyshev.chebpts1(n), chebyshev.chebpts2(n_rho)  # the latter with both ends
        sizes = np.sinh((nodes + 1) / 2 * math.asinh(largest))
        values = np.empty((*self._shape, len(_NAMES)))
        with single_threaded_blas():  # many small products: threads would cost more than they do
            tables = [table(n_classes, x**2, series_length(x, largest)) for x in np.maximum(sizes, _LEAST)]
            for i, first in enumerate(tables):
                for k, second in enumerate(tables[: i + 1]):
                    found = derivatives(first, second, _correlation((places + 1) / 2, sizes[i] * sizes[k]))
                    values[i, k] = np.stack([found[name] for name in _NAMES], axis=1)
                    values[k, i] = np.stack([found[SWAPPED.get(name, name)] for name in _NAMES], axis=1)
        place = _NAMES.index("s")
        self._relative = [name in DERIVATIVES and name != "s" for name in _NAMES]
        values[..., self._relative] /= values[..., place, None]
        self._in_log = values.min(axis=(0, 1, 2)) > 1e-3 * np.median(values, axis=(0, 1, 2))
        self._in_log[[place, -2, -1]] = True  # moments of probabilities, which span many powers of C
        values[..., self._in_log] = np.log(values[..., self._in_log])
        by_n, by_rho = _to_coefficients(nodes), _to_coefficients(places)
        self._coefficients = np.einsum("ai,bj,ck,ijkf->abcf", by_n, by_n, by_rho, values, optimize=True)

    def __call__(self, size: Array, size_2: Array, rho: Array, names: Iterable[str]) -> dict[str, Array]:
        """Evaluate the named ``log_partition.derivatives`` at |τ|, |τ'| and ρ, each (points,)."""
        names = list(dict.fromkeys(["s", *names]))
        chosen = [_NAMES.index(name) for name in names]
        columns = np.concatenate(
            [
                self._series(size[k : k + _POINTS], size_2[k : k + _POINTS], rho[k : k + _POINTS], chosen)
                for k in range(0, len(size), _POINTS)
            ]
        ).T
        for row, k in zip(columns, chosen, strict=True):
            if self._in_log[k]:
                np.exp(row, out=row)
        found = dict(zip(names, columns, strict=True))
        return {
            name: v * found["s"] if self._relative[k] else v for (name, v), k in zip(found.items(), chosen, strict=True)
        }

    def _series(self, size: Array, size_2: Array, rho: Array, chosen: list[int]) -> Array:
        n, _, n_rho = self._shape
        scale = 2 / math.asinh(self.largest)
        first, second = (chebyshev.chebvander(scale * np.arcsinh(x) - 1, n - 1) for x in (size, size_2))
        both = (first[:, :, None] * second[:, None, :]).reshape(len(size), -1)
        coefficients = self._coefficients[..., chosen].reshape(n * n, -1)
        with single_threaded_blas():
            series = (both @ coefficients).reshape(len(size), n_rho, -1)
        third = chebyshev.chebvander(2 * _place(rho, size * size_2) - 1, n_rho - 1)
        values: Array = np.einsum("nk,nkf->nf", third, series)
        return values


def covariance_table(n_classes: int, largest: float) -> CovarianceTable:
    """Return a table that reaches at least to ``largest``; close values share one table."""
    return _covariance_table(n_classes, _round_reach(largest))


_covariance_table = lru_cache(maxsize=8)(CovarianceTable)


def _round_reach(largest: float) -> float:
    """Return where a table ends: rounded so that a size and its limit d → ∞ nearly always share one."""
    return next((reach for reach in _REACHES if reach >= largest), largest)


class MeanCurvature:
    """∂_a and ∂_a² of E[L − a], a = |τ|²/2, at |τ| up to ``largest``: one sample's part of Cov_p(ξ_i, ξ_i) − 1.

    ∂_a E L = 1 − E Σ p², and ∂_a² E L = −Σ E[2p² − 8p³ + 6p⁴] − 6 Σ_{c≠e} E[p_c² p_e²], from the heat equation.
    """

    def __init__(self, n_classes: int, largest: float) -> None:
        self.largest = largest
        n, C = round(24 + 4 * largest), n_classes
        rows = []
        nodes = chebyshev.chebpts1(n)
        for x in (nodes + 1) / 2 * largest:
            v = max(float(x), _LEAST) ** 2
            p2, p3, p4 = (C * softmax_moment(C, k, logit_variance=v) for k in (2, 3, 4))
            pair = C * (C - 1) * softmax_moment(C, 2, 2, v)
            rows.append((-p2, -(2 * p2 - 8 * p3 + 6 * p4 + 6 * pair)))
        self._coefficients = _to_coefficients(nodes) @ np.array(rows)

    def __call__(self, size: Array) -> tuple[Array, Array]:
        """Both derivatives at |τ|, each (points,)."""
        first, second = chebyshev.chebval(2 * size / self.largest - 1, self._coefficients)
        return first, second


def mean_curvature(n_classes: int, largest: float) -> MeanCurvature:
    """Return interpolants that reach at least to ``largest``."""
    return _mean_curvature(n_classes, _round_reach(largest))


_mean_curvature = lru_cache(maxsize=8)(MeanCurvature)


def _counts(largest: float) -> tuple[int, int]:
    """Return the numbers of nodes in the size of a sample's logits and in the correlation."""
    return round(3 + 5 * math.asinh(largest)), round(6 + 1.2 * largest)


def _place(rho: Array, product: Array) -> Array:
    """Return the place in [0, 1] of a correlation, 0 where it is 1, at this product |τ||τ'|."""
    sharpness = _SHARPNESS * np.maximum(product, _LEAST)
    place: Array = np.log1p(sharpness * (1 - rho)) / np.log1p(sharpness)
    return place


def _correlation(place: Array, product: float) -> Array:
    """Return the correlations at these places."""
    sharpness = _SHARPNESS * max(product, _LEAST)
    return np.clip(1 - np.expm1(place * math.log1p(sharpness)) / sharpness, 0.0, 1.0)


def _to_coefficients(nodes: Array) -> Array:
    """Return the matrix (n, n) from values at n nodes in [−1, 1] to coefficients of the series."""
    inverse: Array = np.linalg.inv(chebyshev.chebvander(nodes, len(nodes) - 1)).astype(np.float64)
    return inverse
