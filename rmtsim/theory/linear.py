"""Linear model: block norms of the Hessian for MSE (3) and cross-entropy (5), Theorem 1 and beyond.

For data of variance 1. ``gain`` is the factor g of the variance of the logits, 1 in the LeCun ensemble of the theorem:
given x, they are N(0, g|x|²/d).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from rmtsim.data.gaussian import Gaussian
from rmtsim.data.row_laws import RowLaw
from rmtsim.errors import InputError
from rmtsim.theory.laws import cosines
from rmtsim.theory.prediction import Terms
from rmtsim.theory.quadrature import chi2_over, gauss_chi2_over
from rmtsim.theory.softmax_moments import weight_moments
from rmtsim.theory.two_point import fixed_length_pair_moments, weighted_pair_moments

GAUSSIAN = Gaussian()

#: Nodes for means over the cosine of two samples of exponentials of it.
_COSINES = 40


def mse(n_classes: int | None, dim: int | None, law: RowLaw = GAUSSIAN) -> Terms:
    """MSE (3): H_ii = (2/N) Σ x_n x_nᵀ and H_ij = 0, at every d; ``dim`` None gives the limit, divided by d.

    A = 4 E|x|⁴ and B = 4 E(x·x')²; with normal data E|x|⁴ = d(d+2) and E(x·x')² = d.
    """
    offdiag = math.nan if n_classes == 1 else 0.0
    same, pair = (1.0, 1.0) if dim is None else (law.fourth_moment(dim), law.pair_moment(dim))
    return Terms(4 * same, offdiag, 4 * pair, offdiag)


def ce_limit(n_classes: int, gain: float = 1.0) -> Terms:
    """Theorem 1: (1/d) E‖H_ij‖² → γ E λ_ij² + (E λ_ij)² with λ_ii = p₁(1 − p₁), λ_ij = p₁p₂, p = softmax(N(0, g I_C)).

    It is the second moment of the generalised Marchenko–Pastur law of (1/N) Σ λ_n x_n x_nᵀ.
    """
    w = weight_moments(n_classes, gain)
    return Terms(w.sq_diag, w.sq_offdiag, w.mean_diag**2, w.mean_offdiag**2)


def ce_finite(n_classes: int, dim: int, gain: float = 1.0) -> Terms:
    """Cross-entropy (5), H_ij = (1/N) Σ λ_n x_n x_nᵀ: A = E[|x|⁴ λ²], B = E[(x·x')² λλ'], exact at this C and d.

    Given x, the logits are N(0, g|x|²/d); the factor |x|⁴, of mean d(d+2), tilts |x|² to χ²_{d+4}.
    """
    if n_classes == 1:
        return Terms(0.0, math.nan, 0.0, math.nan)
    pair = weighted_pair_moments(n_classes, dim, gain)
    return Terms(*ce_same(n_classes, dim, gain), pair.diag, pair.offdiag)


@lru_cache(maxsize=1 << 16)  # which all N of a sweep ask for
def ce_same(n_classes: int, dim: int, gain: float) -> tuple[float, float]:
    """Return A = E[|x|⁴ λ²] of `ce_finite`, i = j and i ≠ j: to 3e−8 in few dimensions, 2e−9 from 20 on."""
    # In few dimensions |x|² spreads over orders of magnitude, and the moments of a softmax are no polynomials there.
    rule = gauss_chi2_over(dim + 4, dim, 12) if dim >= 20 else chi2_over(dim + 4, dim)
    diag = offdiag = 0.0
    for r, weight in zip(*rule, strict=True):
        w = weight_moments(n_classes, gain * float(r))
        diag += weight * w.sq_diag
        offdiag += weight * w.sq_offdiag
    scale = dim * (dim + 2)
    return scale * diag, scale * offdiag


def ce_fixed_length(n_classes: int, dim: int, gain: float, law: RowLaw) -> Terms:
    """Cross-entropy at this C and d with samples of length √d (`rmtsim.theory.laws`): their logits are N(0, g I_C)."""
    if n_classes == 1:
        return Terms(0.0, math.nan, 0.0, math.nan)
    w, scale = weight_moments(n_classes, gain), float(dim) ** 2
    pair = fixed_length_pair_moments(n_classes, dim, gain, law.name)
    return Terms(scale * w.sq_diag, scale * w.sq_offdiag, pair.diag, pair.offdiag)


def ce_fixed_length_large_c(dim: int, gain: float, law: RowLaw) -> Terms:
    """Leading constants of C² E‖H_ii‖² and C⁴ E‖H_ij‖² with samples of length √d, which exist at every d.

    A = d² e^{td} and B = E[(x·x')² e^{t x·x'}], with t as in `ce_large_c`.
    """
    cos, weights = cosines(law.name, dim, _COSINES)
    same = [dim**2 * math.exp(factor * gain) for factor in (1, 2)]
    return Terms(*same, *(float(weights @ np.exp(factor * gain * cos)) for factor in (1, 2)))


def ce_large_c(dim: int | None, gain: float = 1.0) -> Terms:
    """Leading constants of C² E‖H_ii‖² and C⁴ E‖H_ij‖² as C → ∞; ``dim`` None gives d → ∞, divided by d.

    C p₁ → e^{√g v·x − gr/2}, r = |x|²/d, so averaging over v leaves λλ' → e^{t x·x'} with t = g/d on the diagonal, and
    t = 2g/d off it, where two classes take part. With M(t) = E e^{t x·x'} = (1 − t²)^{−d/2} and
    L(t) = E e^{t|x|²} = (1 − 2t)^{−d/2}, A = L''(t) and B = M''(t). These exist for t < 1/2 and t < 1: the diagonal
    constants for d > 2g, all of them for d > 4g. In the limit A/d² = e^g (diag) and e^{2g} (off), and B/d = 1.
    """
    if dim is None:
        return Terms(math.exp(gain), math.exp(2 * gain), 1.0, 1.0)
    if dim <= 2 * gain:
        raise InputError(
            f"dim: at {dim} there are no constants as C → ∞: rare samples with large logits outweigh all others "
            f"(2 gain / dim is {2 * gain / dim:.3g}, and would have to be below 1); give a dim above {4 * gain:g}, or "
            "ask for finite"
        )
    return Terms(*(_same(t * gain / dim, dim) for t in (1, 2)), *(_pair(t * gain / dim, dim) for t in (1, 2)))


def _same(t: float, dim: int) -> float:
    if 2 * t >= 1:
        return math.inf
    return dim * (dim + 2) * math.exp(-(dim / 2 + 2) * math.log1p(-2 * t))


def _pair(t: float, dim: int) -> float:
    if t >= 1:
        return math.inf
    return dim * (1 + (dim + 1) * t**2) * math.exp(-(dim / 2 + 2) * math.log1p(-(t**2)))
