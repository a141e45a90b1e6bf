"""One hidden layer, cross-entropy, at finite C: the same-sample terms A, deterministic at every C, d and m.

Given σ, the logits z_c = √gain v_c·σ are N(0, gain |σ|²/m) and the rest of v_c is independent of them, so V integrates
out and leaves moments of a softmax of normal logits (``softmax_moments``), averaged over |σ|², a mixture of χ²_k with
k ~ Binomial(m, 1/2) neurons on. For the pairs n ≠ k see ``one_hidden_ce_pairs``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev

from rmtsim.theory.quadrature import Array, chi2_over
from rmtsim.theory.softmax_moments import laplace_table, weight_moments

_LEAST_VARIANCE = 1e-3  # below it the moments are linear in v
_MOST_VARIANCE = 60.0  # times the gain: beyond it they are powers of v, and there is little mass
_N_CHEBYSHEV = 64


@lru_cache(maxsize=256)
def hidden_same(n_classes: int, width: int, dim: int | None, gain: float = 1.0) -> tuple[float, float]:
    """Hidden blocks (14): A = E[λ_ij² |x|⁴], i = j and i ≠ j (NaN at m = 1); ``dim`` None gives the limit of A/d².

    λ_ij = Cov_p(v_i, v_j) = v_iᵀ D v_j, D = diag(p) − ppᵀ, where i and j are on. Write u = σ/|σ| and
    v_{c,i} = z_c u_i/|σ| + w_{c,i}, w_c ~ N(0, (I − uuᵀ)/m) independent of z. With Q = zᵀDz and Π = I − uuᵀ,

        E_w λ_ij² = u_i²u_j² Q²/|σ|⁴ + 2 u_iu_j Π_ij Q tr D/(m|σ|²)
                    + (u_i²Π_jj + u_j²Π_ii + 2u_iu_jΠ_ij) |Dz|²/(m|σ|²)
                    + ((Π_iiΠ_jj + Π_ij²) tr D² + Π_ij² (tr D)²)/m²,

    and u, independent of |σ|, is uniform on the sphere of the k neurons that are on: E u_i² = 1/k,
    E u_i²u_j² = 1/(k(k+2)), E u_i⁴ = 3/(k(k+2)). At finite d, |x|⁴ tilts |x|² to χ²_{d+4}.
    """
    if n_classes == 1:
        return 0.0, (0.0 if width > 1 else math.nan)
    moments = _interpolated(_covariance_moments, n_classes, gain)
    tilt = 1.0 if dim is None else dim * (dim + 2.0)
    diag = offdiag = 0.0
    for k in _likely(width):
        v, weights = _logit_variances(k, width, dim, gain, extra=4)
        delta2, q_tr, dz2, tr_d2, tr2_d = moments(v)[:5] @ weights
        one, two = 1 / k, 1 / (k * (k + 2))
        chance = math.comb(width - 1, k - 1) / 2**width
        diag += chance * (
            3 * two * (delta2 + 2 * q_tr - tr2_d)
            + 2 * (one - 3 * two) * (q_tr + 2 * dz2)
            + (1 - 2 * one + 3 * two) * (2 * tr_d2 + tr2_d)
        )
        if k > 1:
            chance = math.comb(width - 2, k - 2) / 2**width
            offdiag += chance * (two * delta2 + 2 * (one - 2 * two) * dz2 + (1 - 2 * one + 2 * two) * tr_d2)
    scale = tilt / width**2
    return scale * diag, (scale * offdiag if width > 1 else math.nan)


@lru_cache(maxsize=256)
def output_same(n_classes: int, width: int, dim: int, gain: float = 1.0) -> tuple[float, float]:
    """Output blocks (15): A = E[|σ|⁴ λ²], with λ_ii = p_i(1 − p_i) and λ_ij = p_i p_j (NaN at C = 1)."""
    if n_classes == 1:
        return 0.0, math.nan
    moments = _interpolated(_squared_weights, n_classes, gain)
    total = np.zeros(2)
    for k in _likely(width):
        v, weights = _logit_variances(k, width, dim, gain, extra=0)
        total += math.comb(width, k) / 2**width * (moments(v) @ (weights * (width * v / gain) ** 2))
    return float(total[0]), float(total[1])


@lru_cache(maxsize=256)
def cross_same(n_classes: int, width: int, dim: int | None, gain: float = 1.0) -> float:
    """Cross blocks (18): A = E|x 1_i [(p_j − y_j) e_iᵀ + u_j σᵀ]|², mean over j; ``dim`` None gives the limit of A/d.

    With u_j = ∂p_j/∂σ_i and labels uniform, Σ_j E_y of the square is 1 − 2/C + Σp² + 2σ_i Σ p_j u_j + |σ|² Σ u_j². In
    the terms of `hidden_same`, σ_i p_j u_j averages to u_i² (Σp²z − Σpz Σp²), and |σ|² Σ u_j² to
    u_i² |Dz|² + (1 − u_i²) v tr D², v the variance of the logits.
    """
    C = n_classes
    if C == 1:
        return 0.0
    moments = _interpolated(_covariance_moments, C, gain)
    total = 0.5 * (1 - 2 / C)
    for k in _likely(width):
        v, weights = _logit_variances(k, width, dim, gain, extra=2)
        _, _, dz2, tr_d2, _, s2, pull = moments(v)
        total += (
            math.comb(width - 1, k - 1)
            / 2**width
            * float((s2 + 2 * pull / k + v * (dz2 / k + (1 - 1 / k) * tr_d2)) @ weights)
        )
    return total / C * (dim or 1)


def _likely(width: int) -> range:
    """Numbers of neurons that are on, 1 … m, less those that a Binomial(m, 1/2) all but never has."""
    reach = 8 * math.sqrt(width) + 8
    return range(max(1, math.ceil(width / 2 - reach)), min(width, math.floor(width / 2 + reach)) + 1)


def _logit_variances(n_on: int, width: int, dim: int | None, gain: float, extra: int) -> tuple[Array, Array]:
    """Nodes and weights for gain |σ|²/m = gain r χ²_k / m, r = χ²_{d+extra}/d."""
    q, q_weights = chi2_over(n_on, width)
    r, r_weights = (np.ones(1), np.ones(1)) if dim is None else chi2_over(dim + extra, dim)
    return np.outer(gain * q, r).ravel(), np.outer(q_weights, r_weights).ravel()


@lru_cache(maxsize=32)
def _interpolated(
    function: Callable[[int, float], list[float]], n_classes: int, gain: float
) -> Callable[[Array], Array]:
    """Chebyshev interpolant in log v of the logarithms of positive functions of the logit variance v.

    Below the table they go on linearly in v, as they are smooth at 0; beyond it as powers of v, to which they tend as
    the softmax saturates.
    """
    low, high = math.log(_LEAST_VARIANCE), math.log(_MOST_VARIANCE * max(gain, 1.0))
    nodes = chebyshev.chebpts1(_N_CHEBYSHEV)
    table = [function(n_classes, math.exp(low + (x + 1) / 2 * (high - low))) for x in nodes]
    coefficients = chebyshev.chebfit(nodes, np.log(table), _N_CHEBYSHEV - 1)
    slopes = chebyshev.chebder(coefficients) * 2 / (high - low)  # by log v
    at_low, at_high = (chebyshev.chebval(x, slopes) for x in (-1.0, 1.0))

    def interpolant(v: Array) -> Array:
        log_v = np.log(v)
        x = 2 * (np.clip(log_v, low, high) - low) / (high - low) - 1
        above = np.outer(at_high, np.maximum(log_v - high, 0.0))
        below = 1 + np.outer(at_low, np.minimum(v / _LEAST_VARIANCE - 1, 0.0))
        values: Array = np.exp(chebyshev.chebval(x, coefficients) + above) * below
        return values

    return interpolant


def _squared_weights(n_classes: int, variance: float) -> list[float]:
    w = weight_moments(n_classes, variance)
    return [w.sq_diag, w.sq_offdiag]


def _covariance_moments(n_classes: int, variance: float) -> list[float]:
    """E δ², E[Q tr D]/v, E|Dz|²/v, E tr D², E(tr D)², E Σp² and E[Σp²z − Σpz Σp²], δ = Q/v − tr D, for z ~ N(0, v I_C).

    D is diag(p) − ppᵀ, Q is zᵀDz.

    Q, |Dz|² do not see a shift of z. With S_f = Σ p f(z), S'_f = Σ p² f(z) and Σ p = 1: Q/v = 1 + S_{h₂} − S_{h₁}²,
    tr D = 1 − S'_1, tr D² = S'_1 − 2 Σ p³ + S'_1², and |Dz|²/v = S'_{h₁²} − 2 S'_{h₁} S_{h₁} + S'_1 S_{h₁}².
    As C → ∞, δ = O(C^{−1/2}), which Q²/v² − 2Q tr D/v + (tr D)² would lose.
    """
    mean = laplace_table(n_classes, variance).product
    h1, h2 = (1, 1, 0), (1, 0, 1)
    p2, p2_h1, p2_h11, p3 = (2, 0, 0), (2, 1, 0), (2, 2, 0), (3, 0, 0)
    s20, s20_2, s11_2, s20_h2, s20_h11 = mean([p2]), mean([p2, p2]), mean([h1, h1]), mean([p2, h2]), mean([p2, h1, h1])
    delta2 = mean([h2, h2]) + mean([h1] * 4) + s20_2 + 2 * (s20_h2 - s20_h11 - mean([h2, h1, h1]))
    q_tr = 1 + mean([h2]) - s11_2 - s20 - s20_h2 + s20_h11
    dz2 = mean([p2_h11]) - 2 * mean([p2_h1, h1]) + s20_h11
    pull = math.sqrt(variance) * (mean([p2_h1]) - mean([h1, p2]))
    return [delta2, q_tr, dz2, s20 - 2 * mean([p3]) + s20_2, 1 - 2 * s20 + s20_2, s20, pull]
