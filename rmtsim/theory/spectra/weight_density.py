"""Densities of softmax weights of independent normal logits, each in a variable where it is analytic.

The sum R = Σ_{c≤n} e^{z_c}, z ~ N(0, v I_n), enters through E R^{−a} = ∫ e^{au} ψ(u)^n du / Γ(a) at complex a, with
ψ(u) = E exp(−e^{u+z}): with an independent normal term, that is the characteristic function of a log-ratio.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import loggamma

from rmtsim.theory.spectra.analytic_law import LogTable

Array = NDArray[np.float64]

_TILTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_ROUNDING = 4e-16
_DIGITS = 100.0  # a density is kept where it exceeds its rounding error by this factor
_PER_DEVIATION = 8  # points of a table in the standard deviation of its smoothest part


@lru_cache(maxsize=64)
def log_ratio(n_terms: int, variance: float, normal_variance: float) -> LogTable:
    """Density of L = G − log R, G ~ N(0, normal_variance) independent of R = Σ_{c≤n} e^{z_c}, z ~ N(0, variance I_n).

    Fourier inversion of E e^{(a+iτ)L} = e^{s²(a+iτ)²/2} E R^{−a−iτ}. The Gaussian wins over 1/|Γ(a+iτ)| ~ e^{πτ/2}.
    A tilt a multiplies rounding errors by e^{−aL}, so at each L the tilt is taken whose errors are least; the table
    ends where fewer than 2 digits are left. What is lost there has a probability of 1e−12 at variance 1, 5e−9 at 0.2
    and 1e−9 at 25; the mass of the table is 1.
    """
    s, sigma = math.sqrt(normal_variance), math.sqrt(variance)
    top = _TILTS[-1]
    reach = 10 * (s + sigma)
    centre = -math.log(n_terms)
    step = min(s, 2.0) / _PER_DEVIATION
    first = math.floor((centre - reach - variance) / step)
    last = math.ceil((centre + reach + top * (normal_variance + variance / n_terms)) / step)
    points = step * np.arange(first, last + 1)

    most = 8.6 / s
    tau = np.arange(0.0, most, 2 * math.pi / (1.5 * (points[-1] - points[0])))
    u, log_psi = _log_laplace(variance, n_terms, _TILTS[0], top, 2 * math.pi / (2 * most + 24))
    waves = np.exp(1j * np.outer(tau, u - centre))
    inverse = np.exp(-1j * np.outer(points - centre, tau))
    inverse[:, 0] /= 2
    d_tau, d_u = tau[1] - tau[0], u[1] - u[0]
    density, least = np.zeros(len(points)), np.full(len(points), np.inf)
    for a in _TILTS:
        exponent = a * (u - centre) + n_terms * log_psi
        scale = exponent.max()
        integrand = np.exp(exponent - scale) * d_u
        factor = normal_variance * (a + 1j * tau) ** 2 / 2 - loggamma(a + 1j * tau)
        peak = factor.real.max()
        factor = np.exp(factor - peak)
        tilt = np.exp(np.clip(scale + peak - a * (points - centre), -745, 700)) * d_tau / math.pi
        error = _ROUNDING * tilt * integrand.sum() * np.abs(factor).sum()
        better = error < least
        value = tilt * (inverse @ (factor * (waves @ integrand))).real
        density[better], least[better] = value[better], error[better]
    return LogTable.where(step, first, density, density > _DIGITS * least)


@lru_cache(maxsize=64)
def log_excess(n_classes: int, variance: float) -> LogTable:
    """Density of y = log((p₁p₂)^{−1/2} − 2), p = softmax(z), z ~ N(0, variance I_C), C ≥ 3; so p₁p₂ = (2 + e^y)^{−2}.

    With δ = (z₁ − z₂)/2 and ρ = Σ_{c>2} e^{z_c} e^{−(z₁+z₂)/2}, independent of each other, e^y = 4 sinh²(δ/2) + ρ. The
    integral over δ is taken by the double-exponential rule (Takahasi and Mori, 1974).
    """
    ratio = log_ratio(n_classes - 2, variance, variance / 2)  # −log ρ
    s = math.sqrt(variance / 2)
    step = min(s, 2.0) / _PER_DEVIATION
    low, high = -ratio.points[-1], -ratio.points[0]
    first, last = math.floor(low / step), math.ceil((math.log(math.exp(high) + 4 * math.sinh(4 * s) ** 2)) / step)
    y = step * np.arange(first, last + 1)[:, None]
    knots = np.arange(-3.4, 3.4001, 0.05)
    inner, complement = (1 / (1 + np.exp(sign * math.pi * np.sinh(knots))) for sign in (-1, 1))
    jacobian = 0.05 * math.pi * np.cosh(knots) * inner * complement
    edge = 2 * np.arcsinh(np.exp(y / 2) / 2)  # |δ| < edge
    reach = np.minimum(edge, 9 * s)
    delta = reach * inner
    rho = 4 * np.sinh((edge - reach + reach * complement) / 2) * np.sinh((edge + delta) / 2)
    normal = np.exp(-(delta**2) / variance) / math.sqrt(math.pi * variance)
    log_rho = np.log(rho)
    density = (2 * reach * jacobian * normal * ratio(-log_rho).real * np.exp(y - log_rho)).sum(axis=1)
    weighted = density * (2 + np.exp(y[:, 0])) ** -8.0
    kept = (density > 1e-13 * density.max()) | (weighted > 1e-12 * weighted.max())
    return LogTable.where(step, first, density, kept & (density > 0))


def _log_laplace(variance: float, n_terms: int, least: float, most: float, step: float) -> tuple[Array, Array]:
    """Log ψ(u) = log E exp(−e^{u+z}) where e^{au} ψ(u)^n counts, for all a from ``least`` to ``most``."""
    sigma = math.sqrt(variance)
    u = np.arange(-math.log(n_terms) - 9 * sigma - 40 / least, most * variance + 9 * sigma + 5, step)
    step_z = min(0.2, sigma / 2)
    z = np.arange(-most * variance - 9 * sigma, 9 * sigma + step_z, step_z)
    mass = step_z / math.sqrt(2 * math.pi * variance) * np.exp(-(z**2) / (2 * variance))
    t = np.exp(np.clip(u[:, None] + z, -745.0, 7.0))
    psi, one_minus_psi = np.exp(-t) @ mass, -np.expm1(-t) @ mass
    # ψ^n for large n needs the digits of 1 − ψ, and for small ψ those of ψ.
    return u, np.where(psi < 0.5, np.log(np.maximum(psi, 1e-300)), np.log1p(-np.minimum(one_minus_psi, 0.75)))
