"""Two samples whose activations are parallel or nearly so, as those of few neurons often are, against quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from rmtsim.theory import covariance_table, one_hidden_ce_pairs
from rmtsim.theory.covariance_table import CovarianceTable, MeanCurvature
from rmtsim.theory.log_partition import derivatives, series_length, table
from rmtsim.theory.neuron_pairs import n_coordinates
from rmtsim.theory.one_hidden_ce_pairs import (
    PRODUCTS,
    _Integrand,
    operator_coefficients,
    pair_terms,
    sizes_and_cosine,
    within,
)
from rmtsim.theory.quasi_monte_carlo import integrate

Array = NDArray[np.float64]

_LARGEST = 3.0
_ANGLES = (0.0, 0.01, 0.05, 0.2, 0.7)  # between τ and τ'
_SIZES = (0.2, 1.0, 2.0, 2.9)


def the_old_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that are as dense at ρ = 1 for large logits as for small ones, and none at 1 itself."""
    monkeypatch.setattr(covariance_table, "_place", lambda rho, product: 1 - rho)
    monkeypatch.setattr(covariance_table, "_correlation", lambda place, product: 1 - place)
    monkeypatch.setattr(covariance_table, "_counts", lambda largest: (round(5 + 2 * largest), round(6 + 0.8 * largest)))
    monkeypatch.setattr(covariance_table.chebyshev, "chebpts2", chebyshev.chebpts1)


def pairs_of_vectors() -> tuple[Array, Array]:
    """τ and τ' in the positive quadrant, of all sizes and angles."""
    grid = np.array([(a, b, angle) for a in _SIZES for b in _SIZES for angle in _ANGLES])
    a, b, angle = grid.T
    start = 0.35
    tau = a[:, None] * np.stack([np.cos(0 * a + start), np.sin(0 * a + start)], axis=1)
    return tau, b[:, None] * np.stack([np.cos(start + angle), np.sin(start + angle)], axis=1)


def two_classes(tau: Array, tau_2: Array) -> Array:
    """E[λ_00 λ'_00] and E[λ_01 λ'_01], (pairs, 2), λ_ij = Cov_p(ξ_i, ξ_j) = p_1 p_2 ζ_i ζ_j, ζ = ξ_1 − ξ_2."""
    z = np.arange(-8.5, 8.51, 0.1)
    density = np.exp(-(z**2) / 2)
    mass = (density[:, None] * density).ravel() / density.sum() ** 2
    x, y = (math.sqrt(2) * side.ravel() for side in np.meshgrid(z, z, indexing="ij"))
    found = []
    for t, t_2 in zip(tau, tau_2, strict=True):
        slopes = [1 / (2 + 2 * np.cosh(s[0] * x + s[1] * y)) for s in (t, t_2)]
        both = mass * slopes[0] * slopes[1]
        found.append((both @ x**4, both @ (x * y) ** 2))
    return np.array(found)


def by_the_table(tau: Array, tau_2: Array) -> Array:
    """The same from derivatives of the two-point function."""
    found = CovarianceTable(2, _LARGEST)
    names = [name for _, _, name in PRODUCTS]
    K = found(*sizes_and_cosine(tau, tau_2), [*names, "d1", "d2", "d3", "d4"])
    first, second = operator_coefficients(tau, tau_2)[:, :2].transpose(1, 2, 0)
    apart = sum(K[n] * (first[i] * second[j] + (i != j) * first[j] * second[i]) for i, j, n in PRODUCTS)
    same = 1 + sum(K[n] * first[i] * first[j] * (2 - (i == j)) for i, j, n in PRODUCTS)
    same = same + K["d1"] + K["d2"] * first[1] + K["d3"] * first[2] + K["d4"] * first[0]
    curvature = MeanCurvature(2, _LARGEST)
    for side in (tau, tau_2):
        slope, second_slope = curvature(np.hypot(*side.T))
        same = same + slope + side[:, 0] ** 2 * second_slope
    return np.stack([same, apart], axis=1)


def test_the_table_resolves_parallel_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """To 2e-5, where the values are 0.75 for the smallest logits and 1e-3 for the largest; the old nodes do not."""
    tau, tau_2 = pairs_of_vectors()
    expected = two_classes(tau, tau_2)
    found = np.abs(by_the_table(tau, tau_2) - expected)
    assert np.all(found < 1e-3)
    the_old_rule(monkeypatch)
    wrong = np.abs(by_the_table(tau, tau_2) - expected)
    assert wrong.max() > 5e-3  # negative control


@pytest.mark.parametrize(("size", "size_2"), [(3.0, 3.0), (5.0, 5.0), (6.0, 2.0)])
def test_enough_terms_where_samples_are_parallel(size: float, size_2: float) -> None:
    """The series at ρ = 1: λλ' of one neuron to 1e-4, which it is not with 30 % of the terms."""
    expected = two_classes(np.array([[size, 0.0]]), np.array([[size_2, 0.0]]))[0, 0]
    curvature = MeanCurvature(2, 6.0)
    errors = []
    for share in (1.0, 0.3):
        tables = [table(2, s**2, round(share * series_length(size, size_2))) for s in (size, size_2)]
        K = {name: float(v[0]) for name, v in derivatives(*tables, np.ones(1)).items()}
        terms = np.array([size * size_2, size**2, size_2**2, 1.0])
        value = 1 + sum(K[n] * terms[i] * terms[j] * (2 - (i == j)) for i, j, n in PRODUCTS)
        value += K["d1"] + K["d2"] * terms[1] + K["d3"] * terms[2] + K["d4"] * terms[0]
        for s in (size, size_2):
            slope, second_slope = curvature(np.array([s]))
            value += float(slope[0] + s**2 * second_slope[0])
        errors.append(abs(value - expected))
    assert errors[0] < 1e-4
    assert errors[1] > 1e-3  # negative control


def one_neuron() -> float:
    """B/d of the hidden block at m = 1, C = 2 as d → ∞: E_δ[δ⁴ (E_h[1(h > 0) p_1p_2])²], δ = v_1 − v_2 ~ N(0, 2)."""
    h = np.arange(0.005, 9, 0.01)
    density = 0.01 * np.exp(-(h**2) / 2) / math.sqrt(2 * math.pi)
    zeta = np.arange(-9, 9.01, 0.05)
    mass = np.exp(-(zeta**2) / 2) / np.exp(-(zeta**2) / 2).sum()
    delta = math.sqrt(2) * zeta
    slope = 1 / (2 + 2 * np.cosh(delta[:, None] * h))
    return float(mass @ (delta**4 * (slope @ density) ** 2))


def test_one_neuron(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two samples that are both on are parallel: B to 3e-4, within 4 stated standard errors; not by the old nodes."""
    expected = one_neuron()
    covariance_table._covariance_table.cache_clear()
    z = []
    for _ in range(2):
        found = integrate(lambda pilot: _Integrand(2, 1, None, 1.0, pilot), 1, n_coordinates(1, None), (2, 1, 0), 2e-4)
        std_error = math.sqrt(found.covariance[0, 0])
        assert std_error < 3e-4 * expected
        z.append(abs(found.mean[0] - expected) / std_error)
        the_old_rule(monkeypatch)
        covariance_table._covariance_table.cache_clear()
    assert z[0] < 4
    assert z[1] > 4.5  # negative control


def test_logits_beyond_the_table_are_taken_to_its_edge() -> None:
    """Along their own direction, so that the correlation of two samples stays what it is."""
    tau, tau_2 = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]]), np.array([[4.0, 3.0], [0.0, 9.0], [0.0, 1.0]])
    short, short_2 = within(tau, 2.0), within(tau_2, 2.0)
    np.testing.assert_allclose(short, [[1.2, 1.6], [0.3, 0.4], [0, 0]], rtol=1e-15)
    size, size_2, cosine = sizes_and_cosine(short, short_2)
    np.testing.assert_allclose(size, [2, 0.5, 0], rtol=1e-15)
    np.testing.assert_allclose(size_2, [2, 2, 1], rtol=1e-15)
    np.testing.assert_allclose(cosine, [0.96, 0.8, 0], rtol=1e-15)


def test_a_size_and_its_limit_share_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the time of a value goes into its table. Control: rounded to halves, their reaches differ."""
    reaches = []

    def ask(n_classes: int, largest: float) -> None:
        reaches.append(largest)
        raise InterruptedError

    monkeypatch.setattr(one_hidden_ce_pairs, "covariance_table", ask)
    for dim in (500, None):
        with pytest.raises(InterruptedError):
            pair_terms.__wrapped__(10, 8, dim, 1.0)  # type: ignore[attr-defined]
    finite, limit = reaches
    assert covariance_table._round_reach(finite) == covariance_table._round_reach(limit) >= max(reaches)
    assert math.ceil(2 * finite) != math.ceil(2 * limit)
