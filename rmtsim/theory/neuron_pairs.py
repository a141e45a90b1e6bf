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
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainccinv, betaincinv, gammainccinv, gammaincinv, ndtr, ndtri

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline

Array = NDArray[np.float64]

_MOST_TILT = 0.7  # of tκ(1 + ρ), which must stay below 1
_MOST_COSINE = 1 - 1e-10  # in one dimension it is 1, where the tilted law has no density


@dataclass(frozen=True)
class NeuronPairs:
    """Pairs of samples, the first axis, with W integrated out.

    Attributes
    ----------
    sigma, sigma_2
        σ and σ', (pairs, m), at data and weights of unit scale.
    overlap
        σ·σ'.
    weight
        Their probability density over that which they were drawn with.
    tilt, kappa, rho
        The t that they were drawn with, κ and ρ of each pair.
    """

    sigma: Array
    sigma_2: Array
    overlap: Array
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
    # The wedges of the quadrants (+ +), (− +), (− −), (+ −), counter-clockwise; the mass of the first one is tilted.
    skew, skew_tilted = np.arcsin(rho), np.arcsin(c)
    shrink = np.sqrt((1 - rho**2) / (1 - c**2))
    first = shrink * (np.pi / 2 + skew_tilted)
    total = 3 * np.pi / 2 - skew + first
    place = cube[:, :m] * total[:, None]
    tilted = place < first[:, None]
    skew = np.where(tilted, skew_tilted[:, None], skew[:, None])
    angle = np.where(tilted, place / shrink[:, None] - skew, place + (np.pi / 2 - first)[:, None])
    radius = np.sqrt(-2 * np.log1p(-cube[:, m : 2 * m])) * np.where(tilted, shrink[:, None], 1.0)
    sigma = np.sqrt(r)[:, None] * np.maximum(radius * np.cos(angle), 0)
    sigma_2 = np.sqrt(r_2)[:, None] * np.maximum(radius * np.sin(angle + skew), 0)
    overlap = np.einsum("ni,ni->n", sigma, sigma_2)
    weight = np.exp(m * np.log(total / (2 * np.pi)) - t * overlap)
    return NeuronPairs(sigma, sigma_2, overlap, weight, t, kappa, rho)


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
    from scipy.interpolate import CubicSpline  # it takes a quarter of a second to load, and few need it

    half = np.linspace(0, 8.3, 201)
    z = np.concatenate([-half[:0:-1], half])
    tail, k = ndtr(-half), dim / 2 + weighted
    log_r = np.log(2 * np.concatenate([gammaincinv(k, tail)[:0:-1], gammainccinv(k, tail)]) / dim)
    log_cosine = np.zeros(len(z))
    if dim > 1:
        beta = (1.5 if weighted else 0.5, (dim - 1) / 2)
        log_cosine = np.log(np.concatenate([betaincinv(*beta, tail)[:0:-1], betainccinv(*beta, tail)])) / 2
    return CubicSpline(z, log_r), CubicSpline(z, log_cosine)


class LargeC(NamedTuple):
    """The large-C law e^{t σ·σ'} of each pair, and its exact means given the pair's (κ, ρ).

    What the points make of such a mean, less the mean itself, has expectation 0 whatever density they were drawn with.
    """

    density: Array  #: weight · e^{t σ·σ'}
    mass: Array  #: E e^{t σ·σ'} = M^m
    overlap: Array  #: E[σ·σ' e^{t σ·σ'}]
    square: Array  #: E[(σ·σ')² e^{t σ·σ'}]
    both: Array  #: E[Π_{k=i,j} 1_k 1'_k (1 + slope σ_kσ'_k) e^{t σ·σ'}], i ≠ j


def large_c(pairs: NeuronPairs, t: float, slope: float) -> LargeC:
    """Return the law at tilt t, from the M and J of ``one_hidden_ce_large_c``.

    At most at the tilt that a pair was drawn with: beyond it the means would lie in the tails, where no points are.
    """
    kappa, rho, m = pairs.kappa, pairs.rho, pairs.sigma.shape[1]
    t_here = np.minimum(t, pairs.tilt)
    gradient = kappa * (1 - rho**2)
    c = rho + t_here * gradient
    gap = 1 - c**2
    j = (0.25 + np.arcsin(c) / (2 * math.pi)) / np.sqrt(gap)
    j_1 = (c * j + 1 / (2 * math.pi)) / gap
    j_2 = (j + 3 * c * j_1) / gap
    root = np.sqrt(1 - rho**2)
    on, on_1, on_2 = root * j, root * j_1 * gradient, root * j_2 * gradient**2
    M = 0.75 - np.arcsin(rho) / (2 * math.pi) + on
    return LargeC(
        density=pairs.weight * np.exp(t_here * pairs.overlap),
        mass=M**m,
        overlap=m * M ** (m - 1) * on_1,
        square=m * M ** (m - 1) * on_2 + m * (m - 1) * M ** (m - 2.0) * on_1**2,
        both=M ** (m - 2.0) * (on + slope * on_1) ** 2,
    )
