"""Gauss rules for the laws of |x|², of the angle between two samples, and the like, at any dimension.

Nodes and weights come from the Jacobi matrix of the orthogonal polynomials (Golub and Welsch, 1969), so no Gamma
function is formed and nothing overflows, whatever the dimension.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

Array = NDArray[np.float64]

_SPARSE = 10.0  # −log of the size of an integrand over log s from which nodes grow sparse
_LEAST_W = -5.0  # e^5 to the left of that place, all that is left is negligible


def gauss_gamma(shape: float, n_nodes: int) -> tuple[Array, Array]:
    """Nodes and probability weights for the Gamma law of density ∝ x^{shape−1} e^{−x}."""
    k = np.arange(n_nodes, dtype=np.float64)
    return _golub_welsch(2 * k + shape, np.sqrt(k[1:] * (k[1:] + shape - 1)))


def gauss_chi2_over(dof: float, dim: int, n_nodes: int) -> tuple[Array, Array]:
    """Nodes and probability weights for r = χ²_dof / dim: the law of |x|²/d, or a weighted version of it.

    Exact for polynomials; ``chi2_over`` is the rule for functions that saturate, at few degrees of freedom.
    """
    x, weights = gauss_gamma(dof / 2, n_nodes)
    return 2 * x / dim, weights


def chi2_over(dof: float, dim: int) -> tuple[Array, Array]:
    """Nodes and probability weights for χ²_dof / dim, for functions that are smooth in its logarithm alone.

    The trapezoid rule in the logarithm, where the density is analytic for |Im| < π/2 and falls off at both ends: to 9
    digits for functions that are analytic there, such as powers and (1 + x)^{−1/2}. A Gauss rule, which is exact for
    polynomials, is slow for these where few degrees of freedom spread the law over many orders of magnitude.
    """
    width = math.sqrt(2 / dof)  # of the logarithm, where there are many degrees of freedom
    step = min(0.3, 0.75 * width)
    t = np.arange(-(70 / dof + 9 * width), math.log1p(70 / dof) + 9 * width, step)  # log(x / dof)
    log_density = dof / 2 * (t - np.expm1(t))
    kept = log_density > -36
    weights = np.exp(log_density[kept])
    return dof / dim * np.exp(t[kept]), weights / weights.sum()


def log_rule(n_classes: int, variance: float, step: float, negligible: float, unit: float = 1.0) -> tuple[Array, Array]:
    """Nodes u and weights of ∫ … du, u = log s, for what the Laplace identity makes of C softmax logits z ~ N(0, v).

    The integrands have a factor C E[t e^{−t}], t = s e^z, which is below C s e^{v/2}, and below C e^{−u²/2v} at
    −v < u < 0. What lies below e^{−negligible} is left out. The trapezoid rule has the constant distance step · unit
    where they are above e^{−10}; further left they are mere powers of s, and nodes grow sparse as in the double
    exponential rule (Takahasi and Mori, 1974): u = u₀ + unit (w − e^{−w}) with w in equal steps.
    """

    def left(depth: float) -> float:
        depth += math.log(n_classes)
        return -math.sqrt(2 * variance * depth) if 2 * depth < variance else -(depth + variance / 2)

    first, last, sparse = left(negligible), math.sqrt(2 * negligible * variance) + 5, left(_SPARSE)
    w = np.arange(_LEAST_W, (last - sparse) / unit, step)
    u = sparse + unit * (w - np.exp(-w))
    return u[u > first], (step * unit * (1 + np.exp(-w)))[u > first]


def unit_of_means(variance: float) -> float:
    """Return the ``unit`` of means over z ~ N(0, v) of functions of log s + z: theirs, or that of the law of z."""
    return max(1.0, math.sqrt(variance) / 4)


def gauss_beta(a: float, b: float, n_nodes: int) -> tuple[Array, Array]:
    """Nodes and probability weights for the Beta law of density ∝ y^{a−1} (1−y)^{b−1} on [0, 1]."""
    alpha, beta = b - 1, a - 1
    k = np.arange(n_nodes, dtype=np.float64)
    s = 2 * k + alpha + beta
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (beta**2 - alpha**2) / (s * (s + 2))
    centre[0] = (beta - alpha) / (alpha + beta + 2)
    # b_1 apart: its general form is 0/0 where alpha + beta = −1.
    j, t = k[2:], s[2:]
    rest = 4 * j * (j + alpha) * (j + beta) * (j + alpha + beta) / (t**2 * (t + 1) * (t - 1))
    first = 4 * (1 + alpha) * (1 + beta) / ((2 + alpha + beta) ** 2 * (3 + alpha + beta))
    squares = np.concatenate([[first], rest])[: n_nodes - 1]
    nodes, weights = _golub_welsch(centre, np.sqrt(squares))
    return np.clip((1 + nodes) / 2, 0.0, 1.0), weights


def gauss_sum_of_signs(count: int, n_nodes: int) -> tuple[Array, Array]:
    """Nodes and probability weights for the sum of independent signs, 2K − n with K ~ Bin(n, ½); exact at n + 1 nodes.

    The orthogonal polynomials are Krawtchouk's.
    """
    k = np.arange(min(n_nodes, count + 1), dtype=np.float64)
    return _golub_welsch(np.zeros(len(k)), np.sqrt(k[1:] * (count - k[1:] + 1)))


def angle_rule(dim: int, n_nodes: int = 96) -> tuple[Array, Array]:
    """Nodes θ and probability weights for the angle between two independent directions in R^dim.

    The density is ∝ sin^{d−2} θ on [0, π]; in one dimension the angle is 0 or π. Gauss–Legendre in θ itself, since
    functions of θ such as the arc-cosine kernels are smooth there and not in cos θ.
    """
    if dim == 1:
        return np.array([0.0, math.pi]), np.array([0.5, 0.5])
    half = min(math.pi / 2, 12 / math.sqrt(dim))
    x, weights = _legendre(n_nodes)
    offset = half * x
    weights = weights * np.exp((dim - 2) * np.log(np.cos(offset)))
    return math.pi / 2 + offset, weights / weights.sum()


@lru_cache(maxsize=8)
def _legendre(n_nodes: int) -> tuple[Array, Array]:
    """Return the nodes and weights of Gauss and Legendre on [−1, 1], which take milliseconds to find."""
    return np.polynomial.legendre.leggauss(n_nodes)


def _golub_welsch(centre: Array, off: Array) -> tuple[Array, Array]:
    if len(centre) == 1:
        return centre, np.ones(1)
    nodes, vectors = eigh_tridiagonal(centre, off)
    return nodes.astype(np.float64), vectors[0].astype(np.float64) ** 2
