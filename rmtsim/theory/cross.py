"""Cross blocks between the layers, (11) and (18), at initialisation: labels are uniform and independent.

The theorems make no claim about these blocks. Their expected norms have the same two terms as those of the other
blocks. Below, ∂_i is the derivative by the i-th coordinate of σ, and 1_i is 1 where neuron i is active, else 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, gammaln, ndtri

from rmtsim.theory.covariance_table import covariance_table
from rmtsim.theory.disk_cache import kept_on_disk
from rmtsim.theory.one_hidden_ce import cross_same
from rmtsim.theory.one_hidden_ce_pairs import operator_coefficients, reach_of, sizes_and_cosine, within
from rmtsim.theory.prediction import Terms
from rmtsim.theory.quadrature import angle_rule
from rmtsim.theory.quasi_monte_carlo import TARGET_RSE, Expectations, integrate

Array = NDArray[np.float64]

_DERIVATIVES = ("s", "as", "bs", "e1e4", "e2e4", "e3e4", "e4e4")


def mse(n_classes: int | None, width: int, dim: int | None, gain: float = 1.0) -> Terms:
    """(11): x 1_i 2[(f_j − y_j) e_iᵀ + v_ji σᵀ], exact at every C, d, m; ``n_classes`` None is C → ∞.

    V integrates out: A/4 = E[|x|² 1_i (1/C + 2 gain (|σ|² + σ_i²)/m)] and, with E y_j y'_j = 1/C²,
    B/4 = E[x·x' 1_i 1'_i (1/C² + 2 gain (σ·σ' + σ_iσ'_i)/m)]. ``dim`` None gives the limits of A/d and B.
    """
    rare = 0.0 if n_classes is None else 1 / n_classes
    overlap = _overlaps(width, dim)
    spread = 1.0 if dim is None else 1 + 2 / dim
    same = (rare / 2 + gain * spread * (2 + (width - 1) / 2) / width) * (dim or 1)
    pair = rare**2 * overlap[0] + 2 * gain / width * (overlap[1] + overlap[2])
    return Terms(math.nan, 4 * same, math.nan, 4 * pair)


def ce_large_c(dim: int | None) -> Terms:
    """Leading constant of (18) · C as C → ∞: only the residual of the label itself remains, A → d/2."""
    return Terms(math.nan, (dim or 1) / 2, math.nan, 0.0)


def ce(n_classes: int, width: int, dim: int | None, gain: float = 1.0, target_rse: float = TARGET_RSE) -> Terms:
    """(18): x 1_i [(p_j − y_j) e_iᵀ + (∂_i p_j) σᵀ]; A deterministic, B by quasi-Monte Carlo.

    ``dim`` None gives the limits of A/d and B.
    """
    if n_classes == 1:
        return Terms(math.nan, 0.0, math.nan, 0.0)
    pair = _ce_pair(n_classes, width, dim, gain, target_rse)
    same = cross_same(n_classes, width, dim, gain)
    return Terms(math.nan, same, math.nan, float(pair.mean[0]), var_offdiag=float(pair.covariance[0, 0]))


def n_coordinates(width: int, dim: int | None) -> int:
    """Return the number of coordinates of the unit cube for a pair: those of T, y and y' below."""
    k = width if dim is None else min(dim, width)
    return 2 * k + (0 if dim is None else width * k)


@kept_on_disk(Expectations, {"mean": (1,), "covariance": (1, 1)})
def _ce_pair(n_classes: int, width: int, dim: int | None, gain: float, target_rse: float) -> Expectations:
    """Return B, the mean over all blocks.

    With P = E_V Σ_j p_j p'_j = ∂_s K of ``log_partition``, Σ_j E_V of the product at two samples is
    P − 1/C + σ_i ∂_i P + σ'_i ∂'_i P + σ·σ' ∂_i ∂'_i P. W x is sampled in few dimensions: W = T Q/√d with Q orthonormal
    rows that span those of W and T the Bartlett factor of d W Wᵀ, so that W x = T y/√d with y ~ N(0, I_k),
    k = min(d, m), and E[x·x' | T, y, y'] = y·y'.
    """
    return integrate(
        lambda pilot: _Integrand(n_classes, width, dim, gain, pilot),
        1,
        n_coordinates(width, dim),
        (n_classes, width, dim or 0, 1),
        target_rse,
    )


class _Integrand:
    """Mean over points, with control variates from the form of P at small logits, whose means `mse` has exactly."""

    def __init__(self, n_classes: int, width: int, dim: int | None, gain: float, pilot: Array) -> None:
        self._sizes = n_classes, width, dim
        self._scale = math.sqrt(gain / width)
        self._exact = _overlaps(width, dim)
        *sides, data = self._samples(pilot)
        size = self._scale * np.sqrt(np.maximum(*((side**2).sum(axis=1) for side in sides)))
        overlap = self._scale**2 * (sides[0] * sides[1]).sum(axis=1)
        bound = np.abs(data) * overlap * np.exp(np.minimum(overlap, math.log(n_classes)))
        self._table = covariance_table(n_classes, reach_of(size, bound))

    def __call__(self, cube: Array, wanted: NDArray[np.intp]) -> Array:
        C, m, _ = self._sizes
        sigma, sigma_2, data = self._samples(cube)
        tau, tau_2 = (within(self._scale * side, self._table.largest) for side in (sigma, sigma_2))
        K = self._table(*sizes_and_cosine(tau, tau_2), _DERIVATIVES)
        s, square, square_2, on = operator_coefficients(tau, tau_2).sum(axis=1).T
        P = K["s"] - 1 / C
        slopes = square * K["as"] + square_2 * K["bs"] + 2 * s * K["e4e4"]
        curvature = s * K["e1e4"] + square * K["e2e4"] + square_2 * K["e3e4"] + on * K["e4e4"]
        value = data * (on * P + slopes + s * curvature) / (m * C)
        overlap = (sigma * sigma_2).sum(axis=1)
        small = (on, overlap * on, overlap)
        controls = [data * column / m - exact for column, exact in zip(small, self._exact, strict=True)]
        return np.array([[column.mean() for column in (value, *controls)]])

    def _samples(self, cube: Array) -> tuple[Array, Array, Array]:
        """Return σ, σ' and E[x·x' | σ, σ']."""
        _, m, d = self._sizes
        k = m if d is None else min(d, m)
        y, y_2 = (ndtri(np.clip(cube[:, j * k : (j + 1) * k], 1e-16, 1 - 1e-16)) for j in (0, 1))
        overlap = (y * y_2).sum(axis=1)
        if d is not None:
            T = _bartlett(cube[:, 2 * k :].reshape(-1, m, k), d)
            y, y_2 = ((T @ side[:, :, None])[:, :, 0] for side in (y, y_2))
        return np.maximum(y, 0), np.maximum(y_2, 0), overlap


def _bartlett(cube: Array, dim: int) -> Array:
    """Return factors T/√d, (points, m, k), with T Tᵀ distributed as d W Wᵀ: triangular if d ≥ m, else all of W."""
    m = cube.shape[1]
    T = ndtri(np.clip(cube, 1e-16, 1 - 1e-16))
    if dim >= m:
        T = np.tril(T)
        for j in range(m):
            T[:, j, j] = np.sqrt(2 * gammaincinv((dim - j) / 2, cube[:, j, j]))
    return T / math.sqrt(dim)


def _overlaps(width: int, dim: int | None) -> tuple[float, float, float]:
    """Return E[x·x' 1_i 1'_i f] for f = 1, σ·σ', σ_iσ'_i; ``dim`` None is the limit.

    With the angle θ, p(θ) = (π − θ)/2π and k₁ the first moment of ``arc_cosine``: E[|x||x'| cos θ p] and
    d E[cos θ k₁ (1 + (m − 1) p)], d E[cos θ k₁]; as d → ∞, d E[cos θ f(θ)] → −f'(π/2).
    """
    rest = width - 1
    if dim is None:
        kernel, slope = 1 / (2 * math.pi), 0.25  # k₁ and −k₁' at a right angle, where p = 1/4 and −p' = 1/2π
        both = slope * (1 + rest / 4) + rest * kernel / (2 * math.pi)
        return 1 / (2 * math.pi), both, slope
    theta, weights = angle_rule(dim)
    on = (math.pi - theta) / (2 * math.pi)
    k1 = (np.sin(theta) + (math.pi - theta) * np.cos(theta)) / (2 * math.pi)
    norm = 2 * math.exp(2 * (gammaln((dim + 1) / 2) - gammaln(dim / 2)))  # (E|x|)²
    mean = weights * np.cos(theta)
    return norm * float(mean @ on), dim * float(mean @ (k1 * (1 + rest * on))), dim * float(mean @ k1)
