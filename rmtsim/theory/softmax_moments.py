"""Moments of softmax probabilities of independent normal logits, as one-dimensional integrals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rmtsim.theory.quadrature import log_rule, unit_of_means

Array = NDArray[np.float64]
Factor = tuple[int, int, int]
T = TypeVar("T")

_MAX_POWER = 4
_TAIL = 9.0  # standard deviations kept: e^{−81/2} ≈ 1e−18
_NEGLIGIBLE = 42.0  # contributions below e^{−42} are dropped
_STEP = 0.2  # the integrands are analytic for |Im| < π/2, so the trapezoid rule errs by e^{−π²/step} ≈ 4e−22
_VANISHED = 7.0  # log t beyond which e^{−t} is 0 in double precision
_AT_ONCE = 2**14  # numbers, so that they stay in the processor's cache


@dataclass(frozen=True)
class LaplaceTable:
    """The one-class functions φ_{a,j}(s) on a grid of u = log s.

    For p = softmax(z), z ~ N(0, v I_C), 1/(Σ e^z)^A = ∫ s^{A−1} exp(−s Σ e^z) ds / Γ(A) makes the classes independent:

        E[Π_b p_b^{a_b} f_b(z_b)] = 1/Γ(A) ∫ Π_b φ_{a_b,f_b} · ψ^{C−B} du,   A = Σ a_b ≥ 1, B distinct classes,
        φ_{a,f}(s) = E[t^a e^{−t} f(z)],   t = s e^z,   ψ = φ_{0,1}.

    The f are products h₁^i h₂^j, i + 2j ≤ 4, of h₁ = (z − shift)/√v and h₂ = h₁² − 1. As C → ∞ the p_c tilt z to
    N(v, v); with shift = v, Σ p h₁ and Σ p h₂ then tend to 0, and small differences of them keep their digits.

    This is the classical Laplace-transform identity E[Y^{−A}] = ∫ s^{A−1} E[e^{−sY}] ds / Γ(A) with Y = Σ e^z.
    """

    n_classes: int
    weights: Array  # of the grid, in integrals over u
    phi: Array  # (a, i, j, u)
    log_psi: Array

    def distinct(self, factors: Sequence[Factor]) -> float:
        """E[Π_b p_b^a h₁^i h₂^j] over *distinct* classes b, NaN if C has not as many; ``factors`` lists (a, i, j)."""
        rest = self.n_classes - len(factors)
        if rest < 0:
            return math.nan
        integrand = np.exp(rest * self.log_psi)
        for factor in factors:
            integrand = integrand * self.phi[factor]
        return float(self.weights @ integrand) / math.gamma(sum(a for a, _, _ in factors))

    def product(self, factors: Sequence[Factor]) -> float:
        """E[Π_b Σ_c p_c^a h₁^i h₂^j], each sum over all classes: a sum over the set partitions of the factors."""
        return sum(
            count * math.perm(self.n_classes, len(blocks)) * self.distinct(blocks)
            for blocks, count in _over_partitions(tuple(factors))
            if len(blocks) <= self.n_classes
        )


@lru_cache(maxsize=64)
def _over_partitions(factors: tuple[Factor, ...]) -> list[tuple[tuple[Factor, ...], int]]:
    """Return the factors that come of every set partition of ``factors``, one for each block, and how often they do."""
    found = Counter(
        tuple(
            sorted((sum(f[0] for f in block), sum(f[1] for f in block), sum(f[2] for f in block)) for block in blocks)
        )
        for blocks in set_partitions(list(factors))
    )
    return list(found.items())


@lru_cache(maxsize=64)
def laplace_table(n_classes: int, logit_variance: float = 1.0) -> LaplaceTable:
    """Tabulate φ_{a,f}, a ≤ 4, for C classes whose logits are N(0, logit_variance), logit_variance > 0."""
    scale = math.sqrt(logit_variance)
    u, weights = log_rule(n_classes, logit_variance, _STEP, _NEGLIGIBLE, unit_of_means(logit_variance))
    # p^a e^{−z²/2v} peaks no later than z = 4v, and no later than the place where p saturates at 1. Or z ends where its
    # law is negligible, since p^a is at most 1 and no moment is much below C^{−4}.
    top = min(_MAX_POWER * logit_variance, math.log(n_classes) + logit_variance) + _TAIL * scale
    top = min(top, scale * math.sqrt(_TAIL**2 + 2 * _MAX_POWER * math.log(n_classes)))
    step_z = _STEP / math.ceil(max(1.0, 2 * _STEP / scale))
    z = np.arange(-_TAIL * scale, top + step_z, step_z)
    mass = step_z / math.sqrt(2 * math.pi * logit_variance) * np.exp(-(z**2) / (2 * logit_variance))
    # p tilts z by v, unless it has saturated at the largest of the C logits.
    h1 = (z - min(logit_variance, math.sqrt(2 * logit_variance * math.log(n_classes)))) / scale
    orders = [(i, j) for i in range(_MAX_POWER + 1) for j in range(_MAX_POWER // 2 + 1) if i + 2 * j <= _MAX_POWER]
    functions = np.stack([mass * h1**i * (h1**2 - 1) ** j for i, j in orders], axis=1)
    phi = np.full((_MAX_POWER + 1, _MAX_POWER + 1, _MAX_POWER // 2 + 1, len(u)), np.nan)
    one_minus_psi = np.empty(len(u))
    rows = max(1, _AT_ONCE // len(z))
    for some in (slice(k, k + rows) for k in range(0, len(u), rows)):
        n = int(np.searchsorted(z, _VANISHED - u[some][0]))  # all further ones have vanished
        t = np.exp(np.minimum(u[some, None] + z[:n], _VANISHED))
        one_minus_psi[some] = -np.expm1(-t) @ mass[:n] + mass[n:].sum()
        product = np.exp(-t)
        for a in range(_MAX_POWER + 1):
            for (i, j), column in zip(orders, (product @ functions[:n]).T, strict=True):
                phi[a, i, j, some] = column
            product *= t
    # ψ^C for large C needs the digits of 1 − ψ, and for small ψ those of ψ.
    psi = phi[0, 0, 0]
    with np.errstate(divide="ignore"):
        log_psi = np.where(psi < 0.5, np.log(np.maximum(psi, 1e-300)), np.log1p(-np.minimum(one_minus_psi, 0.75)))
    return LaplaceTable(n_classes, weights, phi, log_psi)


def softmax_moment(n_classes: int, a: int, b: int = 0, logit_variance: float = 1.0) -> float:
    """E[p₁^a p₂^b] for p = softmax(z), z ~ N(0, logit_variance · I_C); a ≥ 1, b ≥ 0, a, b ≤ 4.

    NaN where a second class is asked for and C = 1. Accurate to 13 digits for C from 1 to 10⁷ and beyond.

    Examples
    --------
    >>> round(softmax_moment(4, 1), 12)
    0.25
    """
    factors = [(a, 0, 0)] + ([(b, 0, 0)] if b else [])
    return laplace_table(n_classes, logit_variance).distinct(factors)


@dataclass(frozen=True)
class WeightMoments:
    """First two moments of λ_ii = p₁(1 − p₁) and λ_ij = p₁p₂, the weights of Theorem 1."""

    mean_diag: float
    sq_diag: float
    mean_offdiag: float
    sq_offdiag: float


@lru_cache(maxsize=4096)
def weight_moments(n_classes: int, logit_variance: float = 1.0) -> WeightMoments:
    """Moments of the linear cross-entropy weights at C classes; the off-diagonal ones are NaN at C = 1."""
    if n_classes == 1:
        return WeightMoments(0.0, 0.0, math.nan, math.nan)
    table = laplace_table(n_classes, logit_variance)
    p2, p3, p4 = (table.distinct([(a, 0, 0)]) for a in (2, 3, 4))
    mean_off, sq_off = (table.distinct([(a, 0, 0), (a, 0, 0)]) for a in (1, 2))
    # Σ_j λ_1j = 0, so E λ_ii = (C − 1) E λ_ij: no digits are lost to 1/C − E p².
    return WeightMoments((n_classes - 1) * mean_off, p2 - 2 * p3 + p4, mean_off, sq_off)


def set_partitions(items: list[T]) -> Iterator[list[list[T]]]:
    """Yield every way to part ``items`` into blocks."""
    if not items:
        yield []
        return
    head, *tail = items
    for blocks in set_partitions(tail):
        yield [[head], *blocks]
        for k, block in enumerate(blocks):
            yield [*blocks[:k], [head, *block], *blocks[k + 1 :]]
