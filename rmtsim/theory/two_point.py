"""The two-point function: softmax weights of one class pair, at two samples whose logits are correlated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rmtsim.theory.quadrature import gauss_beta, gauss_chi2_over
from rmtsim.threads import single_threaded_blas

Array = NDArray[np.float64]

_STEP = 0.3  # of log s; the integrands are analytic for |Im| < π/2: error e^{−π²/step} ≈ 5e−15
_TAIL = 8.0  # standard deviations kept
_NEGLIGIBLE = 34.0  # contributions below e^{−34} are dropped


@dataclass(frozen=True)
class PairMoments:
    """E[λ_ii λ'_ii] and E[λ_ij λ'_ij] with λ_ii = p_i(1 − p_i), λ_ij = p_i p_j at two samples."""

    diag: float
    offdiag: float


class HermiteTable:
    r"""Hermite coefficients of the one-class functions t^a e^{−t}, t = s e^z, z ~ N(0, v), on a grid of log s.

    With (z, z') normal of variances v, v' and correlation ρ, independently over C classes, the Laplace identity of
    ``softmax_moments`` used at both samples makes the classes independent, and Mehler's formula the two samples:

        E[p_1^a p'_1^b] = 1/(Γ(a)Γ(b)) ∫∫ φ_ab(s, s') φ_00(s, s')^{C−1} du du',   u = log s,
        E[p_1 p_2 p'_1 p'_2] = ∫∫ φ_11² φ_00^{C−2} du du',
        φ_ab(s, s') = E[t^a e^{−t} t'^b e^{−t'}] = Σ_k ρ^k c_{a,k}(s) c'_{b,k}(s'),

    c_{a,k} being the coefficient of t^a e^{−t} on the k-th normalised Hermite polynomial. The functions are analytic
    for |Im z| < π/2, so the series converges for every ρ in [−1, 1].
    """

    def __init__(self, n_classes: int, variance: float, n_terms: int) -> None:
        scale = math.sqrt(variance)
        top = min(2 * scale, math.log(n_classes) / scale + scale) + _TAIL
        step = min(0.2, 0.3 / scale)
        xi = np.arange(-_TAIL - 4, top + 4, step)
        mass = step / math.sqrt(2 * math.pi) * np.exp(-(xi**2) / 2)
        hermite = np.empty((n_terms, len(xi)))
        hermite[0], hermite[1] = 1.0, xi
        for k in range(1, n_terms - 1):
            hermite[k + 1] = (xi * hermite[k] - math.sqrt(k) * hermite[k - 1]) / math.sqrt(k + 1)
        basis = (hermite * mass).T

        u = np.arange(-math.log(n_classes) - top * scale - _NEGLIGIBLE, _TAIL * scale + 5, _STEP)
        t = np.exp(np.minimum(u[:, None] + scale * xi, 7.0))
        decay = np.exp(-t)
        # Drop the s at which the other C − 1 classes already make the integrand negligible.
        keep = (n_classes - 1) * -np.log(np.maximum(decay @ mass, 1e-300)) < 2 * _NEGLIGIBLE
        keep |= n_classes <= 2
        t, decay = t[keep], decay[keep]
        self.n_classes = n_classes
        self.zero = -np.expm1(-t) @ basis  # of 1 − e^{−t}: the digits of 1 − φ_00 matter when C is large
        self.one = (t * decay) @ basis
        self.two = (t**2 * decay) @ basis


def pair_moments(first: HermiteTable, second: HermiteTable, rho: float) -> PairMoments:
    """E[λλ'] for two samples, of the logit variances of the tables and correlation ``rho`` of their logits."""
    n_classes = first.n_classes
    powers = rho ** np.arange(first.zero.shape[1])
    zero, one, two = first.zero * powers, first.one * powers, first.two * powers
    # E[e^{−t−t'}] = 1 − E f − E f' + E f f', f = 1 − e^{−t}; Hermite coefficient 0 is the mean.
    deficit = first.zero[:, :1] + second.zero[:, 0] - zero @ second.zero.T
    log_psi = np.log1p(-np.minimum(deficit, 1 - 1e-16))
    others = np.exp((n_classes - 1) * log_psi)
    phi_11 = one @ second.one.T
    p_p = phi_11 - two @ second.one.T - one @ second.two.T + two @ second.two.T
    diag = float((p_p * others).sum()) * _STEP**2
    if n_classes == 1:
        return PairMoments(0.0, math.nan)
    pairs = np.exp((n_classes - 2) * log_psi)
    return PairMoments(diag, float((phi_11**2 * pairs).sum()) * _STEP**2)


@lru_cache(maxsize=4096)
def weighted_pair_moments(
    n_classes: int, dim: int, gain: float = 1.0, rule: tuple[int, int] | None = None
) -> PairMoments:
    """E[(x·x')² λλ'] for the linear model at N(0, I_d) data and N(0, gain/d) weights, exactly at this d.

    (x·x')² = |x|²|x'|² cos², of mean d, tilts the laws of its three independent factors: |x|² and |x'|² become
    χ²_{d+2} and cos² becomes Beta(3/2, (d−1)/2). Given them, the logits are normal with variances g|x|²/d, g|x'|²/d and
    correlation cos. So E[(x·x')² λλ'] = d · E_tilted[E[λλ' | |x|, |x'|, cos]], by Gauss rules:
    at gain 1 to 3e−7 at d = 3, 2e−8 for d ≥ 5, 2e−11 for d ≥ 100; at gain 16 to 1e−6 at d = 20, 2e−8 for d ≥ 100.
    ``rule``: nodes and Mehler terms, if not those chosen for d and the gain.
    """
    if n_classes == 1:
        return PairMoments(0.0, math.nan)
    n_nodes, n_terms = rule or _rule(dim, gain)
    r, r_weights = gauss_chi2_over(dim + 2, dim, n_nodes)
    y, y_weights = (np.ones(1), np.ones(1)) if dim == 1 else gauss_beta(1.5, (dim - 1) / 2, n_nodes)
    with single_threaded_blas():  # many small products: threads would cost more than they do
        tables = [HermiteTable(n_classes, gain * float(v), n_terms) for v in r]
        diag = offdiag = 0.0
        for i, first in enumerate(tables):
            for k, second in enumerate(tables[: i + 1]):
                symmetry = 1.0 if i == k else 2.0
                for cos2, weight in zip(y, y_weights, strict=True):
                    for sign in (1.0, -1.0):
                        moments = pair_moments(first, second, sign * math.sqrt(cos2))
                        share = 0.5 * symmetry * r_weights[i] * r_weights[k] * weight
                        diag += share * moments.diag
                        offdiag += share * moments.offdiag
    return PairMoments(dim * diag, dim * offdiag)


def _rule(dim: int, gain: float) -> tuple[int, int]:
    """Return the nodes of each Gauss rule and the terms of Mehler's series; the laws narrow as d grows."""
    if dim >= 100:
        return 5, 40
    more = round(math.log2(max(1.0, gain)))
    if dim >= 20:
        return 6 + more, 48
    return (8 + more, 64) if dim >= 10 else (12, 100)
