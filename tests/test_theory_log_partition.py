"""The two-point function of the log-partition function: quadrature, brute force, identities, and its table."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from rmtsim.errors import InputError
from rmtsim.theory.covariance_table import CovarianceTable, MeanCurvature
from rmtsim.theory.log_partition import DERIVATIVES, SWAPPED, derivatives, table
from rmtsim.theory.one_hidden_ce import _covariance_moments
from rmtsim.theory.one_hidden_ce_pairs import PRODUCTS
from rmtsim.theory.softmax_moments import softmax_moment, weight_moments

Array = NDArray[np.float64]

TAU, TAU_2 = np.array([1.1, 0.6, 0.0]), np.array([0.5, 0.9, 0.4])


def evaluate(n_classes: int, tau: Array, tau_2: Array, n_terms: int = 80) -> dict[str, float]:
    """The two-point function at a pair of vectors."""
    size, size_2 = math.hypot(*tau), math.hypot(*tau_2)
    rho = np.array([tau @ tau_2 / (size * size_2)])
    tables = (table(n_classes, s**2, n_terms) for s in (size, size_2))
    return {name: float(v[0]) for name, v in derivatives(*tables, rho).items()}


def covariances(n_classes: int, tau: Array, tau_2: Array) -> tuple[float, float]:
    """E[Cov_p(ξ_0, ξ_j) Cov_p'(ξ_0, ξ_j)] for j = 0 and 1, put together from the derivatives by the chain rule."""
    K = evaluate(n_classes, tau, tau_2)
    (c, d, e, _), (c1, d1, e1, _) = ([t * u, t * t, u * u, 1.0] for t, u in zip(tau[:2], tau_2[:2], strict=True))
    first, second = np.array([c, d, e, 1.0]), np.array([c1, d1, e1, 1.0])
    means = [1.0]
    for size2, square in ((tau @ tau, d), (tau_2 @ tau_2, e)):
        slope, curvature = _mean_curvature(n_classes, float(size2))
        means.append(slope + square * curvature)
    products = [(i, j, K[name]) for i, j, name in PRODUCTS]
    same = sum(k * first[i] * first[j] * (2 - (i == j)) for i, j, k in products)
    same += 3 * 0 + sum(K[name] * first[place] for name, place in (("d1", 3), ("d2", 1), ("d3", 2), ("d4", 0)))
    apart = sum(k * (first[i] * second[j] + (i != j) * first[j] * second[i]) for i, j, k in products)
    return sum(means) + same, apart
