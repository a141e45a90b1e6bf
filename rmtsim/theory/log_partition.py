"""The two-point function of the log-partition function L(τ) = log Σ_c e^{ξ_c·τ}, ξ_c ~ N(0, I_m).

Every two-sample moment of one hidden layer with cross-entropy follows from it. The softmax weights are derivatives of
L: with τ = √(gain/m) σ, Cov_p(ξ_i, ξ_j) = ∂_i ∂_j L. So the average over V of a product at two samples is a derivative
of K = E[L(τ) L(τ')], which depends on three numbers only, whatever m is:

    a = |τ|²/2,   b = |τ'|²/2,   s = τ·τ'.

By L = ∫ (e^{−t} − e^{−t Σ e^z}) dt/t at both samples, K = ∫∫ ψ^C du du' up to terms that mixed derivatives remove,
where ψ(u, u') = E exp(−e^{u+z} − e^{u'+z'}) over one class. Since ψ solves the heat equation, ∂_s ψ = ∂_u ∂_{u'} ψ and
∂_a ψ = (∂_u² − ∂_u) ψ; the drift −∂_u, that of z − Var(z)/2, removes the leading part a of L, and with it all
cancellation at large C. A derivative of the power ψ^C is a sum over set partitions.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from rmtsim.theory.hermite import HermiteTable, log_psi, pair_means
from rmtsim.theory.softmax_moments import set_partitions

Array = NDArray[np.float64]
Order = tuple[int, int, int]  # of differentiation by a, b, s

#: Of u: functions of it are smooth over the logits' standard deviation, but for those of u − u' where samples are
#: parallel. There the trapezoid rule errs by e^{−2π²/step}, and each of eight derivatives makes it 2π/step times that.
_STEP, _STEP_OVER_SCALE, _MOST_STEP = 0.5, 0.15, 0.75
_NEGLIGIBLE = 25.0
_NEGLIGIBLE_TERM = 1e-12  # over the largest of a series

#: Combinations of derivatives of K̂ = E[(L − a)(L' − b)] that blocks need: name → {order: factor}. With the operators
#: e₁ = ∂_a∂_b + ∂_s², e₂ = ∂_a∂_s, e₃ = ∂_b∂_s, e₄ = ∂_s, ∂_{τ_i}∂_{τ'_i} is τ_iτ'_i e₁ + τ_i² e₂ + τ'_i² e₃ + e₄;
#: "e1e2" and so on are their products, "d…" the further terms of ∂²_{τ_i}∂²_{τ'_i}, whose coefficients vary.
DERIVATIVES: dict[str, dict[Order, int]] = {
    "e1e1": {(2, 2, 0): 1, (1, 1, 2): 2, (0, 0, 4): 1},
    "e1e2": {(2, 1, 1): 1, (1, 0, 3): 1},
    "e1e3": {(1, 2, 1): 1, (0, 1, 3): 1},
    "e1e4": {(1, 1, 1): 1, (0, 0, 3): 1},
    "e2e2": {(2, 0, 2): 1},
    "e2e3": {(1, 1, 2): 1},
    "e2e4": {(1, 0, 2): 1},
    "e3e3": {(0, 2, 2): 1},
    "e3e4": {(0, 1, 2): 1},
    "e4e4": {(0, 0, 2): 1},
    "d1": {(1, 1, 0): 1, (0, 0, 2): 1},
    "d2": {(2, 1, 0): 1, (1, 0, 2): 3},
    "d3": {(1, 2, 0): 1, (0, 1, 2): 3},
    "d4": {(1, 1, 1): 6, (0, 0, 3): 2},
    "as": {(1, 0, 1): 1},
    "bs": {(0, 1, 1): 1},
    "s": {(0, 0, 1): 1},
}

#: The name of each derivative when the two samples change places.
SWAPPED = dict(zip(DERIVATIVES, DERIVATIVES, strict=True)) | {
    "e1e2": "e1e3",
    "e1e3": "e1e2",
    "e2e2": "e3e3",
    "e3e3": "e2e2",
    "e2e4": "e3e4",
    "e3e4": "e2e4",
    "d2": "d3",
    "d3": "d2",
    "as": "bs",
    "bs": "as",
}


def _one_sided() -> dict[str, Polynomial]:
    """(∂_u² − ∂_u)^p ∂_u^r e^{−t} = q(t) e^{−t}, t = e^{u+z}, as "pr"; and t(1 − t), for p_c(1 − p_c) at the output."""
    t = Polynomial([0.0, 1.0])
    found = {"output": t - t**2}
    even = Polynomial([1.0])
    for p in range(3):
        q = even
        for r in range(5):
            found[f"{p}{r}"] = q
            q = t * q.deriv() - t * q
        even = t**2 * (even.deriv(2) - 2 * even.deriv() + even)
    del found["00"]  # ``deficit`` keeps its digits
    return found


_POLYNOMIALS = _one_sided()


def _faa_di_bruno(order: Order) -> Counter[tuple[Order, ...]]:
    """How often each multiset of blocks occurs in the derivative of a power of ψ."""
    found: Counter[tuple[Order, ...]] = Counter()
    for blocks in set_partitions([0] * order[0] + [1] * order[1] + [2] * order[2]):
        found[tuple(sorted((b.count(0), b.count(1), b.count(2)) for b in blocks))] += 1
    return found


_EXPANSIONS = {
    name: sum(
        (
            Counter({blocks: factor * count for blocks, count in _faa_di_bruno(order).items()})
            for order, factor in orders.items()
        ),
        Counter(),
    )
    for name, orders in DERIVATIVES.items()
}
_TERMS = sorted({blocks for expansion in _EXPANSIONS.values() for blocks in expansion}, key=lambda b: (len(b), b))


def _shared(before: tuple[Order, ...], blocks: tuple[Order, ...]) -> int:
    """Return how many of its first blocks a term has in common with the one before, if that has as many."""
    if len(before) != len(blocks):
        return 0
    return next(k for k in range(len(blocks)) if before[k] != blocks[k])


_SHARED = [_shared(*both) for both in pairwise([(), *_TERMS])]


def series_length(size: float, size_2: float) -> int:
    """Return how many terms Mehler's series needs for two samples whose logits have these standard deviations.

    Coefficients of order k fall as e^{−π√(k/2)/|τ|}, and where samples are parallel nothing else makes the series
    converge: so its length goes with the square of the harmonic mean of the two.
    """
    return round(30 + 7 * (2 / (1 / size + 1 / size_2)) ** 2)


def table(n_classes: int, variance: float, n_terms: int) -> HermiteTable:
    """Tabulate one sample whose logits have this variance, |τ|²."""
    step = min(max(_STEP, _STEP_OVER_SCALE * math.sqrt(variance)), _MOST_STEP)
    return HermiteTable(n_classes, variance, n_terms, _POLYNOMIALS, step=step, negligible=_NEGLIGIBLE)


def derivatives(first: HermiteTable, second: HermiteTable, rho: Array) -> dict[str, Array]:
    """Evaluate ``DERIVATIVES`` of K̂ at logit correlations ``rho`` = s/(|τ||τ'|), and the moments of the last layer.

    Of these, "diag" is E[p_c(1 − p_c) p'_c(1 − p'_c)] and "offdiag" is E[p_c p_e p'_c p'_e], c ≠ e (NaN if C = 1).
    """
    C, area = first.n_classes, np.outer(first.weights, second.weights)
    # The coefficients of the smaller logits fall the faster.
    n_terms = min(first.deficit.shape[1], second.deficit.shape[1])
    powers = rho[:, None] ** np.arange(n_terms)
    log_of_psi = log_psi(first, second, powers)
    # C(C−1)…(C−k+1) ψ^{C−k}, where k classes are distinguished from the others.
    others = {k: math.perm(C, k) * area * np.exp((C - k) * log_of_psi) for k in range(1, min(C, 4) + 1)}
    psi = _means(first, second, powers)
    integrals: dict[tuple[Order, ...], Array] = {}
    kept: list[Array] = []  # products of the first blocks of a term: the next in order shares most of them
    for shared, blocks in zip(_SHARED, _TERMS, strict=True):
        if len(blocks) > C:
            break
        kept = [others[len(blocks)], *kept[1 : shared + 1]]
        while len(kept) < len(blocks):
            kept.append(kept[-1] * psi[blocks[len(kept) - 1]])
        integrals[blocks] = _contracted(kept[-1], psi[blocks[-1]])
    found = {
        name: np.asarray(sum(count * integrals[blocks] for blocks, count in expansion.items() if len(blocks) <= C))
        for name, expansion in _EXPANSIONS.items()
    }
    output = pair_means(first.coefficients["output"], second.coefficients["output"], powers)
    found["diag"] = _contracted(output, others[1]) / C
    pairs = _contracted(psi[0, 0, 1] ** 2, others[2]) / (C * (C - 1)) if C > 1 else np.nan * rho
    return found | {"offdiag": pairs}


def _means(first: HermiteTable, second: HermiteTable, powers: Array) -> dict[Order, Array]:
    """Return the derivatives of ψ that terms are made of, by their order: (correlations, grid, grid')."""
    found: dict[Order, Array] = {}
    for r in range(5):
        most = min(2, 4 - r)
        left, right = (_coefficients(side, most, r)[..., : powers.shape[1]] for side in (first, second))
        sizes = powers.max(axis=0) * np.abs(left).max(axis=(0, 1)) * np.abs(right).max(axis=(0, 1))
        length = 1 + int(np.flatnonzero(sizes > _NEGLIGIBLE_TERM * sizes.max())[-1])
        terms = left[..., :length] * powers[:, None, None, :length]  # of all correlations and p side by side
        for q in range(most + 1):
            count = min(most, 4 - r - q) + 1
            means = (terms[:, :count].reshape(-1, length) @ right[q, :, :length].T).reshape(
                len(powers), count, left.shape[1], right.shape[1]
            )
            found |= {(p, q, r): means[:, p] for p in range(count)}
    return found


def _contracted(first: Array, second: Array) -> Array:
    """Sum of the products over the grids, at each correlation."""
    n = len(first)
    return np.asarray(first.reshape(n, 1, -1) @ second.reshape(n, -1, 1)).reshape(n)


def _coefficients(side: HermiteTable, most: int, r: int) -> Array:
    """Hermite coefficients of (∂_u² − ∂_u)^p ∂_u^r e^{−t}, p up to ``most``, (p, grid, terms)."""
    found = [side.coefficients[f"{p}{r}"] for p in range(r == 0, most + 1)]
    if r == 0:
        rest = -side.deficit  # of e^{−t}
        rest[:, 0] += 1
        found = [rest, *found]
    return np.stack(found)
