"""One hidden layer, cross-entropy, C → ∞: Theorem 2's constants in closed form, for hidden and output blocks.

As C → ∞, C p_c → e^{√g v_c·σ − g|σ|²/2m}: the average over V tilts v to N(√g σ/m, I/m), and the weights of one and of
two samples leave powers of e^{g|σ|²/m} and e^{g σ·σ'/m}. V and σ are those of the LeCun ensemble; ``gain`` is g, the
factor of the variance of the logits. The neurons are independent given r = |x|²/d, r' = |x'|²/d and
ρ = cos ∠(x, x'), since the pre-activations of one neuron are normal, of variances r and r' and correlation ρ. So every
constant is a power of one-neuron functions; in the limit d → ∞ they are taken at r = r' = 1, ρ = 0, and at finite d
averaged over the law of (r, r', ρ).

At finite d that average is asymptotic: far in the tail of |x|²|x'|² (beyond r r' ~ m², of probability e^{−O(d)}) the
one-neuron functions diverge, and strictly no C is large enough. The Gauss rule of a few nodes sums the series in 1/d
that describes the C that one can meet; where its nodes reach the divergence, the constant is given as infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rmtsim.theory.one_hidden_mse import hidden_geometry
from rmtsim.theory.prediction import Terms
from rmtsim.theory.quadrature import gauss_beta, gauss_chi2_over

_N_NODES = 6


def hidden(width: int, dim: int | None, gain: float = 1.0) -> Terms:
    """Constants of E‖H_ii‖² and C · E‖H_ij‖² (14); in the limit divided by d. Off-diagonal: infinite for m ≤ 2g.

    diag: λ_ii → 1(g_i > 0)/m. off: tilting leaves C λ_ij λ'_ij → e^{g σ·σ'/m} Π_{k=i,j} 1_k 1'_k (1/m + g σ_k σ'_k/m²),
    where with t = g/m each of the m − 2 other neurons gives M(t), and each of i, j gives J(t)/m + g J'(t)/m².
    """
    on = hidden_geometry(width, dim)
    same_diag, pair_diag = on.same_diag / width**2, on.pair_diag / width**2
    if width == 1:
        return Terms(same_diag, math.nan, pair_diag, math.nan)
    t = gain / width
    same = pair = 0.0
    for weight, r in _same_nodes(dim, extra=4):
        f = _one_sample(t, r)
        same += weight * _power(f.full, width - 2) * (f.both / width + gain * f.both_1 / width**2) ** 2
    for weight, kappa, rho in _pair_nodes(dim, weighted=True):
        f = _two_samples(t, kappa, rho)
        pair += weight * _power(f.full, width - 2) * (f.both / width + gain * f.both_1 / width**2) ** 2
    if dim is not None:
        same, pair = dim * (dim + 2) * same, dim * pair
    return Terms(same_diag, same, pair_diag, pair)


def output(width: int, dim: int | None, gain: float = 1.0) -> Terms:
    """Constants of C² E‖H_ii‖² (t = g/m) and C⁴ E‖H_ij‖² (t = 2g/m) (15): d²/dt² E e^{t σ·σ'} = d²/dt² M(t)^m.

    In the limit N → ∞ the pairs n = k drop out. Infinite where t ≥ 1: diag for m ≤ g, off for m ≤ 2g.
    """
    same = [0.0, 0.0]
    pair = [0.0, 0.0]
    for k, t in enumerate((gain / width, 2 * gain / width)):
        if dim is not None:
            same[k] = sum(w * _power_2(_one_sample(t, r), width) for w, r in _same_nodes(dim, extra=0))
        pair[k] = sum(w * _power_2(_two_samples(t, c, rho), width) for w, c, rho in _pair_nodes(dim, weighted=False))
    return Terms(*same, *pair)


@dataclass(frozen=True)
class OneNeuron:
    """M(t) = E e^{t σσ'} over one neuron, and the part J(t) of it where it is on at both samples, with J', J''."""

    full: float
    both: float
    both_1: float
    both_2: float


def _one_sample(t: float, r: float) -> OneNeuron:
    """Pairs n = k: g ~ N(0, r), J(t) = E[1(g>0) e^{t g²}] = ½ (1 − 2rt)^{−1/2}."""
    if 2 * r * t >= 1:
        return OneNeuron(math.inf, math.inf, math.inf, math.inf)
    tau2 = 1 / (1 - 2 * r * t)
    both = 0.5 * math.sqrt(tau2)
    return OneNeuron(0.5 + both, both, both * r * tau2, 3 * both * (r * tau2) ** 2)


def _two_samples(t: float, kappa: float, rho: float) -> OneNeuron:
    """Pairs n ≠ k: (g, g') of correlation ρ, and κ = √(r r'): J(t) = E[1(g>0, g'>0) e^{tκ g g'}].

    The exponential turns the correlation into c = ρ + tκ(1 − ρ²) and rescales the density by
    √((1−ρ²)/(1−c²)), so J = √(1−ρ²) j(c), j(c) = (1−c²)^{−1/2} (1/4 + arcsin(c)/2π), for |c| < 1.
    """
    slope = kappa * (1 - rho**2)
    c = rho + t * slope
    if c >= 1:
        return OneNeuron(math.inf, math.inf, math.inf, math.inf)
    gap = 1 - c**2
    j = (0.25 + math.asin(c) / (2 * math.pi)) / math.sqrt(gap)
    j_1 = (c * j + 1 / (2 * math.pi)) / gap
    j_2 = (j + 3 * c * j_1) / gap
    root = math.sqrt(1 - rho**2)
    off_somewhere = 0.75 - math.asin(rho) / (2 * math.pi)
    return OneNeuron(off_somewhere + root * j, root * j, root * j_1 * slope, root * j_2 * slope**2)


def _power_2(f: OneNeuron, width: int) -> float:
    """d²/dt² M(t)^m, where M' = J' and M'' = J''."""
    if math.isinf(f.full):
        return math.inf
    second = width * _power(f.full, width - 1) * f.both_2
    if width > 1:
        second += width * (width - 1) * _power(f.full, width - 2) * f.both_1**2
    return second


def _power(base: float, exponent: int) -> float:
    """Power of a number above 1, infinite where a float does not hold it."""
    return base**exponent if exponent * math.log(base) < 700 else math.inf


def _same_nodes(dim: int | None, extra: int) -> list[tuple[float, float]]:
    if dim is None:
        return [(1.0, 1.0)]
    r, weights = gauss_chi2_over(dim + extra, dim, _N_NODES)
    return list(zip(weights.tolist(), r.tolist(), strict=True))


def _pair_nodes(dim: int | None, weighted: bool) -> list[tuple[float, float, float]]:
    """Weights and nodes (κ, ρ); ``weighted``: under the law tilted by (x·x')², as in ``weighted_pair_moments``."""
    if dim is None:
        return [(1.0, 1.0, 0.0)]
    r, r_weights = gauss_chi2_over(dim + 2 * weighted, dim, _N_NODES)
    cos2, weights = np.ones(1), np.ones(1)
    if dim > 1:
        cos2, weights = gauss_beta(1.5 if weighted else 0.5, (dim - 1) / 2, _N_NODES)
    nodes = []
    for a, wa in zip(r, r_weights, strict=True):
        for b, wb in zip(r, r_weights, strict=True):
            for y, wy in zip(cos2, weights, strict=True):
                for sign in (1.0, -1.0):
                    nodes.append((0.5 * float(wa * wb * wy), math.sqrt(a * b), sign * math.sqrt(y)))
    return nodes
