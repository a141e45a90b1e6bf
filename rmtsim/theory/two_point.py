"""The two-point function: softmax weights of one class pair, at two samples whose logits are correlated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from rmtsim.arrays.threads import single_threaded_blas
from rmtsim.theory.disk_cache import kept_on_disk
from rmtsim.theory.hermite import HermiteTable, log_psi, pair_means
from rmtsim.theory.laws import cosines
from rmtsim.theory.quadrature import gauss_beta, gauss_chi2_over, unit_of_means

Array = NDArray[np.float64]

_STEP = 0.3  # of log s; the integrands are analytic for |Im| < π/2: error e^{−π²/step} ≈ 5e−15
_NEGLIGIBLE = 34.0  # contributions below e^{−34} are dropped
_POLYNOMIALS = {"p": Polynomial([0.0, 1.0]), "p(1-p)": Polynomial([0.0, 1.0, -1.0])}


@dataclass(frozen=True)
class PairMoments:
    """E[λ_ii λ'_ii] and E[λ_ij λ'_ij] with λ_ii = p_i(1 − p_i), λ_ij = p_i p_j at two samples."""

    diag: float
    offdiag: float


def table(n_classes: int, variance: float, n_terms: int) -> HermiteTable:
    """Tabulate one sample whose logits have this variance: t e^{−t} for p, and t(1 − t) e^{−t} for p(1 − p)."""
    unit = unit_of_means(variance)
    return HermiteTable(n_classes, variance, n_terms, _POLYNOMIALS, step=_STEP, negligible=_NEGLIGIBLE, unit=unit)


def pair_moments(first: HermiteTable, second: HermiteTable, rho: float) -> PairMoments:
    """E[λλ'] for two samples, of the logit variances of the tables and correlation ``rho`` of their logits.

        E[p_1^a p'_1^b] = 1/(Γ(a)Γ(b)) ∫∫ φ_ab(s, s') φ_00(s, s')^{C−1} du du',   u = log s,
        E[p_1 p_2 p'_1 p'_2] = ∫∫ φ_11² φ_00^{C−2} du du',

    φ_ab(s, s') = E[t^a e^{−t} t'^b e^{−t'}], from the Hermite coefficients of the two tables.
    """
    C = first.n_classes
    if C == 1:
        return PairMoments(0.0, math.nan)
    powers = rho ** np.arange(first.deficit.shape[1], dtype=np.float64)
    log_of_psi = log_psi(first, second, powers)
    own, one = (pair_means(first.coefficients[q], second.coefficients[q], powers) for q in ("p(1-p)", "p"))
    others = np.exp((C - 2) * log_of_psi)
    diag = first.weights @ (own * others * np.exp(log_of_psi)) @ second.weights
    return PairMoments(float(diag), float(first.weights @ (one**2 * others) @ second.weights))


def _moments(diag: Array, offdiag: Array) -> PairMoments:
    return PairMoments(float(diag), float(offdiag))


@kept_on_disk(_moments, {"diag": (), "offdiag": ()})
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
        tables = [table(n_classes, gain * float(v), n_terms) for v in r]
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


@kept_on_disk(_moments, {"diag": (), "offdiag": ()})
def fixed_length_pair_moments(n_classes: int, dim: int, gain: float, law: str) -> PairMoments:
    """E[(x·x')² λλ'] for the linear model at N(0, gain/d) weights and data of length √d (`rmtsim.theory.laws`).

    Given the cosine, the logits are normal with variance g and that correlation.
    """
    n_nodes, n_terms = _rule(dim, gain)
    with single_threaded_blas():
        of_sample = table(n_classes, gain, n_terms)
        nodes, weights = cosines(law, dim, n_nodes)
        found = [pair_moments(of_sample, of_sample, float(cos)) for cos in nodes]
    return PairMoments(
        float(np.sum(weights * [moments.diag for moments in found])),
        float(np.sum(weights * [moments.offdiag for moments in found])),
    )


def _rule(dim: int, gain: float) -> tuple[int, int]:
    """Return the nodes of each Gauss rule and the terms of Mehler's series; the laws narrow as d grows."""
    if dim >= 100:
        return 5, 40
    more = round(math.log2(max(1.0, gain)))
    if dim >= 20:
        return 6 + more, 48
    return (8 + more, 64) if dim >= 10 else (12, 100)
