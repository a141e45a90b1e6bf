"""Random pairs of hidden activations σ(W x), σ(W x') for two samples, made where the large-C integrand lies.

Given r = |x|²/d, r' = |x'|²/d and the cosine ρ of their angle, the neurons are independent: the two pre-activations of
one neuron are normal, of variances r, r' and correlation ρ. As C → ∞ the blocks weigh a pair by e^{t σ·σ'}, t ∝ 1/m,
whose variance is infinite for few neurons; so pairs are drawn with that weight in their density. Where both
pre-activations are positive this makes another normal law, of correlation c = ρ + tκ(1 − ρ²), κ = √(r r'): see
``one_hidden_ce_large_c``. Each quadrant of the plane of (g, g') is a wedge in whitened polar coordinates, so a point of
the unit square gives a neuron: the first coordinate the quadrant and the angle, the second the radius.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import betainccinv, betaincinv, gammainccinv, gammaincinv, ndtr, ndtri

Array = NDArray[np.float64]

_MOST_TILT = 0.6  # of tκ(1 + ρ), which must stay below 1
_MOST_COSINE = 1 - 1e-10  # in one dimension it is 1, where the tilted law has no density


@dataclass(frozen=True)
class NeuronPairs:
    """Pairs of samples, the first axis, with W integrated out.

    Attributes
    ----------
    sigma, sigma_2
        σ and σ', (pairs, m), at data and weights of unit scale.
    weight
        Their probability density over that which they were drawn with.
    tilt, kappa, rho
        t, κ and ρ of each pair.
    """

    sigma: Array
    sigma_2: Array
    weight: Array
    tilt: Array
    kappa: Array
    rho: Array


def n_coordinates(width: int, dim: int | None) -> int:
    """Coordinates of the unit cube that a pair takes."""
    return 2 * width + (0 if dim is None else 4)


def neuron_pairs(cube: Array, width: int, dim: int | None, tilt: float, *, weighted: bool) -> NeuronPairs:
    """Turn points of the unit cube, (pairs, n_coordinates), into pairs; ``dim`` None is r = r' = 1, ρ = 0.

    ``weighted``: under the law of (x, x') tilted by (x·x')², of mean d, as in ``two_point.weighted_pair_moments``.
    """
    m = width
    r, r_2, rho = _data(cube[:, 2 * m :], dim, weighted)
    kappa = np.sqrt(r * r_2)
    t = np.minimum(tilt, _MOST_TILT / (kappa * (1 + np.maximum(rho, 0))))
    c = rho + t * kappa * (1 - rho**2)
    shrink = np.sqrt((1 - rho**2) / (1 - c**2))
    # Masses of the quadrants (+ +), (− +), (− −), (+ −), counter-clockwise; the first one tilted.
    both, same, other = (np.pi / 2 + np.arcsin(x) for x in (c, rho, -rho))
    masses = np.stack([shrink * both, other, same, other], axis=1) / (2 * np.pi)
    total = masses.sum(axis=1)
    upper = np.cumsum(masses, axis=1) / total[:, None]
    quadrant = (cube[:, :m, None] >= upper[:, None, :3]).sum(axis=2)
    share = np.take_along_axis(masses / total[:, None], quadrant, axis=1)
    inside = 1 + (cube[:, :m] - np.take_along_axis(upper, quadrant, axis=1)) / np.where(share > 0, share, 1)
    correlation = np.where(quadrant == 0, c[:, None], rho[:, None])
    skew = np.arcsin(correlation)
    start = quadrant * (np.pi / 2) - np.where(quadrant % 2 == 0, skew, 0)
    angle = start + inside * (np.pi / 2 + np.where(quadrant % 2 == 0, skew, -skew))
    radius = np.sqrt(-2 * np.log1p(-cube[:, m : 2 * m])) * np.where(quadrant == 0, shrink[:, None], 1.0)
    g = np.maximum(radius * np.cos(angle), 0)
    g_2 = np.maximum(radius * (correlation * np.cos(angle) + np.sqrt(1 - correlation**2) * np.sin(angle)), 0)
    weight = np.exp(m * np.log(total) - t * kappa * (g * g_2).sum(axis=1))
    return NeuronPairs(np.sqrt(r)[:, None] * g, np.sqrt(r_2)[:, None] * g_2, weight, t, kappa, rho)


def _data(cube: Array, dim: int | None, weighted: bool) -> tuple[Array, Array, Array]:
    """r, r' and ρ."""
    if dim is None:
        one = np.ones(len(cube))
        return one, one, 0 * one
    square, cosine = _quantiles(dim, weighted)
    normal = ndtri(np.clip(cube[:, :3], 1e-16, 1 - 1e-16))
    r, r_2 = np.exp(square(normal[:, :2])).T
    rho = np.minimum(np.exp(cosine(normal[:, 2])), _MOST_COSINE)
    return r, r_2, np.where(cube[:, 3] < 0.5, rho, -rho)


@lru_cache(maxsize=16)
def _quantiles(dim: int, weighted: bool) -> tuple[CubicSpline, CubicSpline]:
    """Tabulate the quantiles of log r and log |ρ| over those of a normal: smooth, and quick to interpolate."""
    half = np.linspace(0, 8.3, 201)
    z = np.concatenate([-half[:0:-1], half])
    tail, k = ndtr(-half), dim / 2 + weighted
    log_r = np.log(2 * np.concatenate([gammaincinv(k, tail)[:0:-1], gammainccinv(k, tail)]) / dim)
    log_cosine = np.zeros(len(z))
    if dim > 1:
        beta = (1.5 if weighted else 0.5, (dim - 1) / 2)
        log_cosine = np.log(np.concatenate([betaincinv(*beta, tail)[:0:-1], betainccinv(*beta, tail)])) / 2
    return CubicSpline(z, log_r), CubicSpline(z, log_cosine)


def large_c_means(pairs: NeuronPairs, width: int, slope: float) -> tuple[Array, Array, Array]:
    """Means under the density of each pair given its (κ, ρ): of σ·σ', of (σ·σ')², and of 1_i 1'_i (1 + slope σ_iσ'_i).

    They are J'/M and the like at tilt t, with the functions of ``one_hidden_ce_large_c``; exact, so that what the
    pairs make of them can be taken out of an estimate.
    """
    t, kappa, rho = pairs.tilt, pairs.kappa, pairs.rho
    gradient = kappa * (1 - rho**2)
    c = rho + t * gradient
    gap = 1 - c**2
    j = (0.25 + np.arcsin(c) / (2 * math.pi)) / np.sqrt(gap)
    j_1 = (c * j + 1 / (2 * math.pi)) / gap
    j_2 = (j + 3 * c * j_1) / gap
    root = np.sqrt(1 - rho**2)
    whole = 0.75 - np.arcsin(rho) / (2 * math.pi) + root * j
    first, second = root * j_1 * gradient / whole, root * j_2 * gradient**2 / whole
    on = root * j / whole + slope * first
    return width * first, width * second + width * (width - 1) * first**2, on
