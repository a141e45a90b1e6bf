"""Moments of softmax weights: identities, an independent quadrature, Monte Carlo, and the clock."""

import math
import time
import tracemalloc

import mpmath
import numpy as np
import pytest

from rmtsim.theory import softmax_moments, two_point
from rmtsim.theory.quadrature import angle_rule, gauss_beta, gauss_gamma
from rmtsim.theory.softmax_moments import laplace_table, softmax_moment, weight_moments
from rmtsim.theory.two_point import pair_moments, table, weighted_pair_moments

P, H1, H2 = (1, 0, 0), (1, 1, 0), (1, 0, 1)


@pytest.mark.parametrize("variance", [1e-3, 0.3, 1.0, 9.0, 60.0, 3840.0])
@pytest.mark.parametrize("n_classes", [1, 2, 7, 1000, 10**7])
def test_probabilities_sum_to_one(n_classes, variance):
    table = laplace_table(n_classes, variance)
    assert n_classes * table.distinct([P]) == pytest.approx(1, rel=1e-12)
    assert table.product([P, P]) == pytest.approx(1, rel=1e-12)
    assert table.product([P] * 4) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("variance", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("n_classes", [2, 3, 50, 10**6])
def test_row_sums_of_the_weights_vanish(n_classes, variance):
    """Σ_j p₁p_j = p₁, and the mean square of λ_11 = −Σ_{j>1} λ_1j by direct expansion."""
    w = weight_moments(n_classes, variance)
    mean_square = softmax_moment(n_classes, 2, logit_variance=variance)
    assert n_classes * (mean_square + (n_classes - 1) * w.mean_offdiag) == pytest.approx(1, rel=1e-12)
    if n_classes == 2:
        assert w.sq_diag == pytest.approx(w.sq_offdiag, rel=1e-12)
        assert w.mean_diag == pytest.approx(w.mean_offdiag, rel=1e-12)


def test_against_mpmath():
    """C = 2: p₁ is the logistic function of z₁ − z₂ ~ N(0, 2v), an integral of another kind."""
    for v in (0.5, 1.0, 3.0):

        def density(z, v=v):
            p = 1 / (1 + mpmath.exp(-z))
            return (p * (1 - p)) ** 2 * mpmath.npdf(z, 0, mpmath.sqrt(2 * v))

        expected = mpmath.quad(density, [-40, -10, -3, 0, 3, 10, 40])
        assert weight_moments(2, v).sq_offdiag == pytest.approx(float(expected), rel=1e-13)


@pytest.mark.parametrize("variance", [60.0, 600.0, 3840.0])
def test_large_logits_at_two_classes(variance):
    """The same by the trapezoid rule, since p₁p₂ vanishes away from z = 0 while the law is flat there."""
    z = np.arange(-80, 80.05, 0.1)
    p = 1 / (1 + np.exp(-z))
    mass = 0.1 * np.exp(-(z**2) / (4 * variance)) / math.sqrt(4 * math.pi * variance)
    w = weight_moments(2, variance)
    assert w.mean_offdiag == pytest.approx(mass @ (p * (1 - p)), rel=1e-12)
    assert w.sq_offdiag == pytest.approx(mass @ (p * (1 - p)) ** 2, rel=1e-12)


#: (C, v) → E λ_ii, E λ_ii², E λ_ij, E λ_ij² by sums over a uniform grid of log s, whose size grew with v.
BY_UNIFORM_GRID = {
    (100, 200.0): [0.0017646655519310962, 0.00028848303694971236, 1.7824904564960568e-05, 2.129734329118903e-06],
    (7, 25.0): [0.03723495967904828, 0.0061880830422749444, 0.0062058266131747135, 0.0007142027223508383],
    (10**7, 200.0): [3.724901946136315e-08, 5.4335501411178626e-09, 3.724902318626547e-15, 2.5437482385678174e-16],
}


@pytest.mark.parametrize("case", BY_UNIFORM_GRID)
def test_large_logits_have_the_moments_of_a_uniform_grid(case, monkeypatch):
    w = weight_moments(*case)
    values = [w.mean_diag, w.sq_diag, w.mean_offdiag, w.sq_offdiag]
    assert values == pytest.approx(BY_UNIFORM_GRID[case], rel=1e-12, abs=0)
    monkeypatch.setattr(softmax_moments, "unit_of_means", lambda variance: 3 * math.sqrt(variance))  # negative control
    coarse = softmax_moments.laplace_table.__wrapped__(*case).distinct([(1, 0, 0), (1, 0, 0)])
    assert coarse != pytest.approx(values[2], rel=1e-9, abs=0)


def test_large_logits_need_little_memory():
    laplace_table.cache_clear()
    tracemalloc.start()
    grid = laplace_table(100, 3840.0).phi.shape[-1]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23  # the whole matrix of log s by z would have 19 MB, and ten were made
    assert grid < 400


def test_power_sums_against_monte_carlo():
    rng = np.random.default_rng(5)
    n_classes, v = 4, 1.7
    z = rng.normal(0, math.sqrt(v), (200_000, n_classes))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    h1 = (z - min(v, math.sqrt(2 * v * math.log(n_classes)))) / math.sqrt(v)
    h2 = h1**2 - 1
    cases = {
        ((2, 0, 0), (2, 0, 0)): (p**2).sum(1) ** 2,
        (H2, H1, H1): (p * h2).sum(1) * (p * h1).sum(1) ** 2,
        ((2, 1, 0), H1): (p**2 * h1).sum(1) * (p * h1).sum(1),
        (H1, H1, H1, H1): (p * h1).sum(1) ** 4,
    }
    table = laplace_table(n_classes, v)
    for factors, sample in cases.items():
        std_error = sample.std() / math.sqrt(len(sample))
        assert abs(table.product(factors) - sample.mean()) < 4 * std_error
        assert abs(0.9 * table.product(factors) - sample.mean()) > 4 * std_error  # negative control


def test_one_class():
    w = weight_moments(1)
    assert (w.mean_diag, w.sq_diag) == (0, 0)
    assert math.isnan(w.mean_offdiag)


def test_a_million_classes_is_quick():
    laplace_table.cache_clear()
    weight_moments.cache_clear()
    start = time.process_time()  # what other processes do does not count
    weight_moments(10**6)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("n_classes", [2, 3, 10, 1000, 10**6])
def test_two_points_become_independent_or_equal(n_classes):
    """At correlation 0 and 1 the two-point function is known from one point."""
    once = table(n_classes, 1.0, 64)
    w = weight_moments(n_classes)
    apart, together = pair_moments(once, once, 0.0), pair_moments(once, once, 1.0)
    assert apart.diag == pytest.approx(w.mean_diag**2, rel=1e-10)
    assert apart.offdiag == pytest.approx(w.mean_offdiag**2, rel=1e-10)
    assert together.diag == pytest.approx(w.sq_diag, rel=1e-10)
    assert together.offdiag == pytest.approx(w.sq_offdiag, rel=1e-10)


@pytest.mark.parametrize("rho", [-0.9, 0.6])
def test_two_points_against_monte_carlo(rho):
    rng = np.random.default_rng(8)
    v, v2, n_classes = 0.7, 1.6, 3
    z = rng.normal(size=(2, 300_000, n_classes))
    z[1] = rho * z[0] + math.sqrt(1 - rho**2) * z[1]
    z *= np.sqrt([v, v2])[:, None, None]
    p, q = np.exp(z) / np.exp(z).sum(axis=2, keepdims=True)
    exact = pair_moments(table(n_classes, v, 64), table(n_classes, v2, 64), rho)
    swapped = pair_moments(table(n_classes, v, 64), table(n_classes, v2, 64), -rho)
    diag = (p * (1 - p) * q * (1 - q)).mean(axis=1)
    offdiag = p[:, 0] * p[:, 1] * q[:, 0] * q[:, 1]
    for name, sample in (("diag", diag), ("offdiag", offdiag)):
        std_error = sample.std() / math.sqrt(len(sample))
        assert abs(getattr(exact, name) - sample.mean()) < 4 * std_error
        assert abs(getattr(swapped, name) - sample.mean()) > 4 * std_error  # negative control


#: (C, d, gain) → the moments by sums over a uniform grid of log s and log s'.
PAIRS_BY_UNIFORM_GRID = {
    (100, 40, 50.0): (0.0007206882978188752, 2.2995407450087332e-07),
    (100, 2, 4.0): (0.00046689876440386696, 5.960237893381017e-07),
    (10**5, 1, 2.0): (1.4782173166761006e-08, 3.1188068782413226e-15),  # samples are parallel
}


@pytest.mark.parametrize("case", PAIRS_BY_UNIFORM_GRID)
def test_two_samples_have_the_moments_of_a_uniform_grid(case, monkeypatch):
    def moments():
        found = weighted_pair_moments.__wrapped__(*case)
        return found.diag, found.offdiag

    assert moments() == pytest.approx(PAIRS_BY_UNIFORM_GRID[case], rel=1e-10, abs=0)
    assert len(table(case[0], case[2], 48).weights) < 120
    monkeypatch.setattr(two_point, "unit_of_means", lambda variance: 20.0)  # negative control
    assert moments() != pytest.approx(PAIRS_BY_UNIFORM_GRID[case], rel=1e-10, abs=0)


def test_gauss_rules_know_their_moments():
    for shape in (0.5, 3.0, 2000.0):
        x, w = gauss_gamma(shape, 6)
        for k in range(1, 12):
            exact = math.exp(math.lgamma(shape + k) - math.lgamma(shape))
            assert w @ x**k == pytest.approx(exact, rel=1e-10)
    for a, b in ((0.5, 0.5), (1.5, 0.5), (1.5, 0.0 + 1.0), (0.5, 5e4), (1.5, 9.5)):
        y, w = gauss_beta(a, b, 5)
        exact = 1.0
        for k in range(1, 10):
            exact *= (a + k - 1) / (a + b + k - 1)
            assert w @ y**k == pytest.approx(exact, rel=1e-10)
    for dim in (1, 2, 3, 7, 1000, 10**6):
        theta, w = angle_rule(dim)
        assert w @ np.cos(theta) ** 2 == pytest.approx(1 / dim, rel=1e-11)
        assert w @ np.cos(theta) ** 4 == pytest.approx(3 / (dim * (dim + 2)), rel=1e-11)


@pytest.mark.parametrize(("dim", "finer", "rtol"), [(5, (13, 104), 2e-8), (20, (9, 80), 2e-8), (100, (7, 60), 2e-11)])
def test_two_sample_moments_do_not_depend_on_their_rule(dim: int, finer: tuple[int, int], rtol: float) -> None:
    chosen, fine = weighted_pair_moments(10, dim), weighted_pair_moments(10, dim, rule=finer)
    assert chosen.diag == pytest.approx(fine.diag, rel=rtol)
    assert chosen.offdiag == pytest.approx(fine.offdiag, rel=rtol)
    coarse = weighted_pair_moments(10, dim, rule=(2, 20))
    assert coarse.offdiag != pytest.approx(fine.offdiag, rel=rtol)
