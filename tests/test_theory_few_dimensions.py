"""One hidden layer with cross-entropy where |σ|² spreads over orders of magnitude: few dimensions, few neurons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from rmtsim.theory import one_hidden_ce
from rmtsim.theory.linear import ce_same
from rmtsim.theory.neuron_pairs import n_coordinates
from rmtsim.theory.one_hidden_ce import hidden_same, output_same
from rmtsim.theory.one_hidden_ce_pairs import _Integrand
from rmtsim.theory.quadrature import chi2_over, gauss_chi2_over
from rmtsim.theory.quasi_monte_carlo import integrate

Array = NDArray[np.float64]

_Z = np.linspace(-9, 9, 361)
_NORMAL = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()


def grid_chi2(dof: int) -> tuple[Array, Array]:
    """A fine grid of u = log χ² and its masses; its step is the same for all degrees of freedom."""
    u = np.arange(-90.0, 6.0, 0.1)
    log_mass = dof / 2 * u - np.exp(u) / 2
    mass = np.exp(log_mass - log_mass.max())
    return u, mass / mass.sum()


def curvatures(dof: int, width: int, dim: int, n_on: int, powers: tuple[int, ...]) -> list[Array]:
    """E[(pq)² ζ^power] and log v for C = 2 at each v = χ²_dof χ²_on/(d m), and the masses of these."""
    (u, first), (_, second) = grid_chi2(dof), grid_chi2(n_on)
    mass = np.convolve(first, second)
    sums = 2 * u[0] + 0.1 * np.arange(len(mass))
    kept = mass > 1e-17
    v = np.exp(sums[kept]) / (width * dim)
    logits = np.minimum(np.sqrt(2 * v)[:, None] * np.abs(_Z), 700)  # z_1 − z_2 = √(2v) ζ
    weights = (2 + 2 * np.cosh(logits)) ** -2.0  # (p_1 p_2)²
    return [v, mass[kept], *(weights @ (_NORMAL * _Z**power) for power in powers)]


def two_class_hidden(width: int, dim: int) -> tuple[float, float]:
    """E[λ_ii² |x|⁴] and E[λ_ij² |x|⁴] at C = 2, where λ_ij = p_1 p_2 δ_i δ_j and δ = v_1 − v_2 ~ N(0, 2 I/m).

    Along u = σ/|σ| it is √(2/m) ζ, and ζ alone is in the logits: the moments of δ_i given ζ are those of a normal.
    """
    diag = offdiag = 0.0
    for k in range(1, width + 1):
        _, mass, m0, m2, m4 = curvatures(dim + 4, width, dim, k, (0, 2, 4))
        s0, s2, s4 = float(mass @ m0), float(mass @ m2), float(mass @ m4)
        one, two = 1 / k, 1 / (k * (k + 2))
        own = s4 * 3 * two + 6 * s2 * (one - 3 * two) + 3 * s0 * (1 - 2 * one + 3 * two)
        diag += math.comb(width - 1, k - 1) / 2**width * own
        if k > 1:
            pair = s4 * two + s2 * (2 * (one - two) - 4 * two) + s0 * (1 - 2 * one + 3 * two)
            offdiag += math.comb(width - 2, k - 2) / 2**width * pair
    scale = 4 / width**2 * dim * (dim + 2)
    return scale * diag, scale * offdiag


def two_class_output(width: int, dim: int) -> float:
    """E[|σ|⁴ (p_1 p_2)²], |σ|² = m v."""
    total = 0.0
    for k in range(1, width + 1):
        v, mass, m0 = curvatures(dim, width, dim, k, (0,))
        total += math.comb(width, k) / 2**width * float(mass @ (m0 * (width * v) ** 2))
    return total


#: (m, d) and the least error of Gauss rules of 40 nodes in the hidden diagonal.
SIZES = [(1, 1, 5e-2), (3, 1, 2e-3), (3, 2, 5e-4)]


@pytest.mark.parametrize(("width", "dim", "of_gauss"), SIZES)
def test_same_sample_terms_are_exact(width: int, dim: int, of_gauss: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-6 (output blocks 3e-5) of quadrature on a fine grid; Gauss's rules are not."""
    diag, offdiag = two_class_hidden(width, dim)
    found = hidden_same(2, width, dim)
    assert found[0] == pytest.approx(diag, rel=1e-6)
    assert found[1] == pytest.approx(offdiag if width > 1 else math.nan, rel=1e-6, nan_ok=True)
    assert output_same(2, width, dim) == pytest.approx([two_class_output(width, dim)] * 2, rel=3e-5)
    monkeypatch.setattr(one_hidden_ce, "chi2_over", lambda dof, n: gauss_chi2_over(dof, n, 40))
    assert abs(hidden_same.__wrapped__(2, width, dim)[0] / diag - 1) > of_gauss  # negative control


@pytest.mark.parametrize("dof", [1, 2, 5, 40, 10**4])
def test_a_rule_in_the_logarithm_knows_moments_and_saturation(dof: int) -> None:
    """E x = dof, E x² = dof (dof + 2), E 1/x where it exists, and E (1 + x)^−½ against a grid ten times as fine."""
    x, weights = chi2_over(dof, 1)
    assert weights.sum() == pytest.approx(1, rel=1e-14)
    assert weights @ x == pytest.approx(dof, rel=1e-9)
    assert weights @ x**2 == pytest.approx(dof * (dof + 2.0), rel=1e-9)
    if dof > 4:
        assert weights @ (1 / x) == pytest.approx(1 / (dof - 2), rel=1e-8)
    u = np.linspace(-100 / dof - 20 / dof**0.5, 60 / dof + 20 / dof**0.5, 400_001)
    density = np.exp(dof / 2 * (u - np.expm1(u)))
    expected = float(density @ (1 + dof * np.exp(u)) ** -0.5 / density.sum())
    assert weights @ (1 + x) ** -0.5 == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("dim", "gain"), [(1, 2.0), (2, 4.0), (8, 1.0)])
def test_same_samples_of_the_linear_model(dim: int, gain: float) -> None:
    """E[|x|⁴ (p_1 p_2)²] at C = 2, where z_1 − z_2 is √(2v) ζ with v = gain |x|²/d."""

    def square(v: Array) -> Array:
        return (2 + 2 * np.cosh(np.minimum(np.sqrt(2 * v)[:, None] * np.abs(_Z), 700))) ** -2.0 @ _NORMAL

    u, mass = grid_chi2(dim + 4)
    exact = dim * (dim + 2) * float(mass @ square(gain * np.exp(u) / dim))
    assert ce_same(2, dim, gain) == pytest.approx([exact] * 2, rel=2e-8)
    r, weights = gauss_chi2_over(dim + 4, dim, 32)
    of_gauss = abs(dim * (dim + 2) * float(weights @ square(gain * r)) / exact - 1)
    assert of_gauss > 5e-6 if dim < 3 else of_gauss < 1e-9  # negative control


def two_class_pairs_in_one_dimension(width: int, gain: float) -> tuple[Array, Array]:
    """B of the hidden diagonal and off-diagonal blocks at d = 1, C = 2, from 16 replications; their standard errors.

    Given V and W, λ_ij x² averages to δ_iδ_j E[x² 1(x > 0) p_1p_2] over the x of one sign: the same neurons are on.
    """
    x = np.arange(0.02, 8, 0.04)
    density = 0.04 / math.sqrt(2 * math.pi) * np.exp(-(x**2) / 2) * x**2
    slopes = np.concatenate([[0.0], np.geomspace(1e-3, 60, 1500)])
    means = np.array([density @ (1 / (2 + 2 * np.cosh(np.minimum(slope * x, 700)))) for slope in slopes])
    found = []
    for seed in range(16):
        cube = qmc.Sobol(2 * width, rng=np.random.default_rng(seed)).random(2**13)
        normal = ndtri(np.clip(cube, 1e-16, 1 - 1e-16))
        delta, w = normal[:, :width] * math.sqrt(2 / width), normal[:, width:]
        total = np.zeros(2)
        for on in (np.maximum(w, 0), np.maximum(-w, 0)):
            squares = delta**2 * (on > 0)
            mean = np.interp(math.sqrt(gain) * np.abs((delta * on).sum(axis=1)), slopes, means) ** 2
            own, both = (squares**2).sum(axis=1), squares.sum(axis=1) ** 2
            total += [float(mean @ own) / width, float(mean @ (both - own)) / (width * (width - 1))]
        found.append(total / len(cube))
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / 4


def test_hidden_blocks_in_one_dimension() -> None:
    """Where the activations of two samples are parallel, or of different neurons; 3 % more would be noticed."""
    expected, std_error = two_class_pairs_in_one_dimension(3, 0.3)
    found = integrate(lambda pilot: _Integrand(2, 3, 1, 0.3, pilot), 2, n_coordinates(3, 1), (2, 3, 1), 4e-3)
    errors = np.hypot(std_error, np.sqrt(np.diag(found.covariance)))
    assert np.all(np.abs(found.mean - expected) < 4 * errors)
    assert np.all(np.abs(1.03 * found.mean - expected) > 4 * errors)  # negative control
