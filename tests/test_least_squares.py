"""Least squares against SciPy's and simulated errors; Kolmogorov-Smirnov distances against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from rmtsim.stats.distances import distance_of_samples, distances_from_law
from rmtsim.stats.least_squares import least_squares


def test_weighted_fit_agrees_with_curve_fit() -> None:
    rng = np.random.default_rng(1)
    x, errors = np.linspace(1, 5, 12), rng.uniform(0.1, 0.5, 12)
    y = 1 - 2 * x + 0.3 * x**2 + errors * rng.standard_normal(12)
    fit = least_squares([np.ones_like(x), x, x**2], y, errors)
    found, covariance = curve_fit(lambda x, a, b, c: a + b * x + c * x**2, x, y, sigma=errors, absolute_sigma=True)
    np.testing.assert_allclose(fit.values, found, rtol=1e-6)
    np.testing.assert_allclose(fit.std_errors, np.sqrt(np.diag(covariance)), rtol=1e-6)
    assert fit.chi2 == pytest.approx(np.sum(((y - found @ [x**0, x, x**2]) / errors) ** 2))
    assert np.sum(fit.leverages) == pytest.approx(3)


def test_standard_errors_are_the_spread_of_the_fitted_values() -> None:
    rng = np.random.default_rng(2)
    x, errors = np.array([1.0, 2.0, 3.0, 5.0]), np.array([0.1, 0.3, 0.2, 0.4])
    y = 3 + 0.5 * x[:, None] + errors[:, None] * rng.standard_normal((4, 20_000))
    fit = least_squares([np.ones(4), x], y, errors)
    np.testing.assert_allclose(fit.values.std(axis=1), fit.std_errors, rtol=0.02)
    np.testing.assert_allclose(fit.values.mean(axis=1), [3, 0.5], atol=5 * 0.4 / 20_000**0.5)


def test_many_sets_of_values_are_fitted_as_each_alone() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(6), rng.standard_normal((6, 3))
    together = least_squares([np.ones(6), x], y).values
    for k in range(3):
        np.testing.assert_allclose(together[:, k], np.polyfit(x, y[:, k], 1)[::-1])


def test_a_fit_with_an_unknown_error_is_unknown() -> None:
    fit = least_squares([np.ones(3)], np.array([1.0, 2.0, 3.0]), np.array([0.1, np.nan, 0.1]))
    assert np.isnan([*fit.values, *fit.std_errors, fit.chi2]).all()


def _distance(values: np.ndarray, cdf: np.ndarray, points: np.ndarray) -> float:
    """Return sup |F_n − F| by definition, on a fine grid."""
    empirical = np.searchsorted(np.sort(values), points, side="right") / len(values)
    return float(np.abs(empirical - cdf).max())


def test_distance_from_a_law_with_an_atom_at_zero() -> None:
    rng = np.random.default_rng(4)
    atom, points = 0.3, np.linspace(1e-9, 1, 400_001)
    samples = rng.uniform(size=(2, 50))
    for zeros in (0, 10, 40):
        share = atom if zeros else 0.0
        found = distances_from_law(share + (1 - share) * samples, zeros, share)
        for sample, distance in zip(samples, found, strict=True):
            whole = np.append(np.zeros(zeros), sample)
            assert distance == pytest.approx(_distance(whole, share + (1 - share) * points, points), abs=1e-5)


def test_distance_of_samples_that_share_values() -> None:
    first, second = np.array([0.0, 0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0, 3.0])
    assert distance_of_samples(first, second) == pytest.approx(0.25)
    assert distance_of_samples(first, first) == 0
    assert distance_of_samples(first, first + 10) == 1
