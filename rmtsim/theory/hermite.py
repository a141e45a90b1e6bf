"""Two samples at once: expectations over a pair of correlated normal logits, by Hermite series (Mehler's formula)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from rmtsim.theory.quadrature import log_rule

Array = NDArray[np.float64]

_TAIL = 8.0  # standard deviations kept


class HermiteTable:
    r"""Hermite coefficients of one-class functions q(t) e^{−t}, t = s e^z, z ~ N(0, v), on a grid of u = log s.

    For p = softmax(z) and p' = softmax(z') of C independent pairs (z_c, z'_c), normal of variances v, v' and
    correlation ρ, the Laplace identity of ``softmax_moments`` used at both samples makes the classes independent, and
    Mehler's formula the two samples:

        E[f(e^z s) h(e^{z'} s')] = Σ_k ρ^k c_k(s) c'_k(s'),

    c_k being the coefficient of the function on the k-th normalised Hermite polynomial of z/√v. The functions are
    analytic for |Im z| < π/2, so the series converges for every ρ in [−1, 1].

    Parameters
    ----------
    n_classes, variance, n_terms
        C, v and the number of terms of the series.
    polynomials
        The polynomials q by name; ``coefficients[name]`` is (grid, n_terms).
    step, negligible, unit
        Of the grid of u (`rmtsim.theory.quadrature.log_rule`); sums over it err by e^{−π²/step}.

    Attributes
    ----------
    weights
        Of the points of the grid in integrals over u, (grid,).
    deficit
        Coefficients of 1 − e^{−t}: its digits matter when C is large.
    """

    def __init__(
        self,
        n_classes: int,
        variance: float,
        n_terms: int,
        polynomials: Mapping[str, Polynomial],
        *,
        step: float,
        negligible: float,
        unit: float = 1.0,
    ) -> None:
        scale = math.sqrt(variance)
        top = min(2 * scale, math.log(n_classes) / scale + scale) + _TAIL
        # A term of order k oscillates with the wavelength 2π/√k, and the functions vary over 1/scale.
        xi_step = min(0.2, 0.3 / scale, 2 / math.sqrt(n_terms))
        xi = np.arange(-_TAIL - 4, top + 4, xi_step)
        mass = xi_step / math.sqrt(2 * math.pi) * np.exp(-(xi**2) / 2)
        basis = (_hermite(xi, n_terms) * mass).T
        u, self.weights = log_rule(n_classes, variance, step, negligible, unit)
        t = np.exp(np.minimum(u[:, None] + scale * xi, 7.0))
        decay = np.exp(-t)
        # Drop the s at which the other C − 1 classes already make the integrand negligible.
        keep = (n_classes - 1) * -np.log(np.maximum(decay @ mass, 1e-300)) < 2 * negligible
        keep |= n_classes <= 2
        t, decay, self.weights = t[keep], decay[keep], self.weights[keep]
        self.n_classes = n_classes
        self.deficit: Array = -np.expm1(-t) @ basis
        self.coefficients: dict[str, Array] = {name: (q(t) * decay) @ basis for name, q in polynomials.items()}


def log_psi(first: HermiteTable, second: HermiteTable, powers: Array) -> Array:
    """Return log E[e^{−t−t'}], (…, grid, grid'), for as many powers ρ^k, (…, k), as are wanted."""
    # E[e^{−t−t'}] = 1 − E f − E f' + E f f', f = 1 − e^{−t}; Hermite coefficient 0 is the mean.
    both = pair_means(first.deficit, second.deficit, powers)
    gap = first.deficit[:, :1] + second.deficit[:, 0] - both
    return np.log1p(-np.minimum(gap, 1 - 1e-16))


def pair_means(first: Array, second: Array, powers: Array) -> Array:
    """Σ_k ρ^k c_k c'_k, (…, grid, grid'), for as many powers ρ^k, (…, k), as are wanted."""
    n_terms = powers.shape[-1]
    return (first[:, :n_terms] * powers[..., None, :]) @ second[:, :n_terms].T


def _hermite(xi: Array, n_terms: int) -> Array:
    """Normalised Hermite polynomials of order 0 … n_terms − 1, (n_terms, points)."""
    values = np.ones((n_terms, len(xi)))
    values[1] = xi
    for k in range(1, n_terms - 1):
        values[k + 1] = (xi * values[k] - math.sqrt(k) * values[k - 1]) / math.sqrt(k + 1)
    return values
