"""The two-point function of the log-partition function: quadrature, brute force, identities, and its table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from rmtsim.errors import InputError
from rmtsim.theory.covariance_table import CovarianceTable, MeanCurvature, covariance_table
from rmtsim.theory.log_partition import DERIVATIVES, SWAPPED, derivatives, table
from rmtsim.theory.neuron_pairs import n_coordinates, neuron_pairs
from rmtsim.theory.one_hidden_ce import _covariance_moments
from rmtsim.theory.one_hidden_ce_pairs import PRODUCTS, operator_coefficients
from rmtsim.theory.softmax_moments import softmax_moment, weight_moments

Array = NDArray[np.float64]

TAU, TAU_2 = np.array([1.1, 0.6, 0.0]), np.array([0.5, 0.9, 0.4])
ON = 0.7 * np.array([1.1, 0.6, 0.5])


def evaluate(n_classes: int, tau: Array, tau_2: Array) -> dict[str, float]:
    """The two-point function at a pair of vectors."""
    size, size_2 = np.linalg.norm(tau), np.linalg.norm(tau_2)
    first, second = (table(n_classes, float(s) ** 2, 80) for s in (size, size_2))
    found = derivatives(first, second, np.array([tau @ tau_2 / (size * size_2)]))
    return {name: float(v[0]) for name, v in found.items()}


def covariance_products(n_classes: int, tau: Array, tau_2: Array) -> tuple[float, float]:
    """E[Cov_p(ξ_0, ξ_j) Cov_p'(ξ_0, ξ_j)] for j = 0 and 1, from the derivatives by the chain rule."""
    K = evaluate(n_classes, tau, tau_2)
    first, second = operator_coefficients(tau[None], tau_2[None])[0, :2]
    apart = sum(K[n] * (first[i] * second[j] + (i != j) * first[j] * second[i]) for i, j, n in PRODUCTS)
    same = sum(K[n] * first[i] * first[j] * (2 - (i == j)) for i, j, n in PRODUCTS)
    same += K["d1"] + K["d2"] * first[1] + K["d3"] * first[2] + K["d4"] * first[0]
    curvature = MeanCurvature(n_classes, 2.0)
    for t in (tau, tau_2):
        slope, second_slope = curvature(np.array([np.linalg.norm(t)]))
        same += float(slope[0] + t[0] ** 2 * second_slope[0])
    return 1 + same, apart


def weights_of(rng: np.random.Generator, draws: int, n_classes: int) -> tuple[Array, Array, Array]:
    """Standard normal ξ, (draws, C, 3), and the softmax weights at TAU and TAU_2."""
    xi = rng.standard_normal((draws, n_classes, 3))
    p, q = (np.exp(xi @ t) for t in (TAU, TAU_2))
    return xi, p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)


def z_score(expected: float, sample: Array) -> float:
    return abs(expected - float(sample.mean())) / (float(sample.std()) / math.sqrt(len(sample)))


@pytest.mark.parametrize(("n_classes", "draws"), [(2, 400_000), (3, 400_000), (10, 150_000), (50, 40_000)])
def test_against_brute_force(n_classes: int, draws: int) -> None:
    """Sampled means over V; the controls are the same with the two vectors aligned."""
    xi, p, q = weights_of(np.random.default_rng(4), draws, n_classes)

    def covariance(p: Array, j: int) -> Array:
        return (p * xi[..., 0] * xi[..., j]).sum(1) - (p * xi[..., 0]).sum(1) * (p * xi[..., j]).sum(1)

    off = ((p * q).sum(axis=1) ** 2 - (p**2 * q**2).sum(axis=1)) / (n_classes * (n_classes - 1))
    pull = xi[..., 0] - (p * xi[..., 0]).sum(1, keepdims=True)
    pull_2 = xi[..., 0] - (q * xi[..., 0]).sum(1, keepdims=True)
    samples = {
        "same": covariance(p, 0) * covariance(q, 0),
        "apart": covariance(p, 1) * covariance(q, 1),
        "s": (p * q).sum(axis=1),
        "diag": (p * (1 - p) * q * (1 - q)).mean(axis=1),
        "offdiag": off,
        "slope": (p * q * pull).sum(axis=1),
        "slope_2": (p * q * pull_2).sum(axis=1),
        "curvature": (p * q * pull * pull_2).sum(axis=1),
    }

    def expectations(tau: Array, tau_2: Array) -> dict[str, float]:
        """``slope`` and the like are ∂_0, ∂'_0 and ∂_0 ∂'_0 of E Σ p p' = ∂_s K."""
        K = evaluate(n_classes, tau, tau_2)
        terms = operator_coefficients(tau[None], tau_2[None])[0, 0]
        same, apart = covariance_products(n_classes, tau, tau_2)
        return K | {
            "same": same,
            "apart": apart,
            "slope": tau[0] * K["as"] + tau_2[0] * K["e4e4"],
            "slope_2": tau_2[0] * K["bs"] + tau[0] * K["e4e4"],
            "curvature": terms @ [K["e1e4"], K["e2e4"], K["e3e4"], K["e4e4"]],
        }

    found = expectations(TAU, TAU_2)
    z = {name: z_score(found[name], sample) for name, sample in samples.items()}
    assert max(z.values()) < 4.5, z
    other = expectations(TAU, np.linalg.norm(TAU_2) / np.linalg.norm(TAU) * TAU)
    control = {name: z_score(other[name], sample) for name, sample in samples.items()}
    assert min(control[name] for name in ("apart", "s", "diag", "offdiag", "slope", "slope_2")) > 4.5, control


def test_every_derivative_against_quadrature_at_two_classes() -> None:
    """C = 2: L is (z₁ + z₂)/2 + ℓ(z₁ − z₂), ℓ(x) = log 2cosh(x/2), and the heat equation differentiates ℓ."""
    size, size_2, rho = 1.3, 0.8, 0.7
    xi = np.arange(-10, 10.01, 0.1)
    mass = 0.1**2 / (2 * math.pi) * np.exp(-(xi[:, None] ** 2 + xi**2) / 2)
    x = math.sqrt(2) * size * xi[:, None] + 0 * xi
    y = math.sqrt(2) * size_2 * (rho * xi[:, None] + math.sqrt(1 - rho**2) * xi)
    p = Polynomial([0.0, 1.0])
    slopes = [Polynomial([-0.5, 1.0])]  # of ℓ, in p = 1/(1 + e^{−x}), where dp/dx = p(1 − p)
    for _ in range(6):
        slopes.append(slopes[-1].deriv() * p * (1 - p))
    first, second = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-y))

    def side(order: int, twice: int, at: Array) -> Array:
        """∂_a^p ∂_s^r on one side; taking a out of L takes 1 out of its first ∂_a alone."""
        value: Array = 2**twice * slopes[order + 2 * twice - 1](at)
        return value - 1 if (order, twice) == (0, 1) else value

    K = derivatives(table(2, size**2, 96), table(2, size_2**2, 96), np.array([rho]))
    for name, orders in DERIVATIVES.items():
        expected = 0.0
        for (a, b, s), factor in orders.items():
            value = 2**s * float((mass * side(s, a, first) * side(s, b, second)).sum())
            expected += factor * (value + 0.5 * ((a, b, s) == (0, 0, 1)))
        assert K[name][0] == pytest.approx(expected, rel=1e-8, abs=1e-9), name
    logistic = float((mass * first * (1 - first) * second * (1 - second)).sum())
    assert K["diag"][0] == pytest.approx(logistic, rel=1e-9)
    assert K["offdiag"][0] == pytest.approx(logistic, rel=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3, 30, 1000, 10**6])
def test_independent_samples_factorise(n_classes: int) -> None:
    """At correlation 0 every mixed derivative is a product of moments of one softmax."""
    v, v_2, C = 1.4, 0.5, n_classes
    K = {name: float(x[0]) for name, x in derivatives(table(C, v, 64), table(C, v_2, 64), np.zeros(1)).items()}
    w, w_2 = weight_moments(C, v), weight_moments(C, v_2)
    squares, squares_2 = (C * softmax_moment(C, 2, logit_variance=x) for x in (v, v_2))
    assert K["s"] == pytest.approx(1 / C, rel=1e-6)
    assert K["diag"] == pytest.approx(w.mean_diag * w_2.mean_diag, rel=1e-6)
    assert K["offdiag"] == pytest.approx(w.mean_offdiag * w_2.mean_offdiag, rel=1e-6)
    hessians = C * w.mean_diag * w_2.mean_diag + C * (C - 1) * w.mean_offdiag * w_2.mean_offdiag
    assert K["e4e4"] == pytest.approx(hessians, rel=1e-6)
    assert K["d1"] - K["e4e4"] == pytest.approx(squares * squares_2, rel=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3, 30, 1000, 10**6])
def test_equal_samples_have_the_moments_of_one(n_classes: int) -> None:
    """At τ' = τ, by the averages over V given the logits that ``hidden_same`` uses for n = k."""
    C, v = n_classes, float(ON @ ON)
    K = evaluate(C, ON, ON)
    w = weight_moments(C, v)
    delta2, q_tr, dz2, tr_d2, tr2_d, s2, _ = _covariance_moments(C, v)
    assert K["s"] == pytest.approx(s2, rel=1e-6)
    assert K["diag"] == pytest.approx(w.sq_diag, rel=1e-6)
    assert K["offdiag"] == pytest.approx(w.sq_offdiag, rel=1e-6)
    assert K["e4e4"] == pytest.approx(tr_d2, rel=1e-6)
    q2 = delta2 + 2 * q_tr - tr2_d  # E Q²/v²

    def expected(i: int, j: int) -> float:
        u, P = ON / math.sqrt(v), np.eye(3) - np.outer(ON, ON) / v
        mixed = u[i] ** 2 * P[j, j] + u[j] ** 2 * P[i, i] + 2 * u[i] * u[j] * P[i, j]
        rest = (P[i, i] * P[j, j] + P[i, j] ** 2) * tr_d2 + P[i, j] ** 2 * tr2_d
        return float(u[i] ** 2 * u[j] ** 2 * q2 + 2 * u[i] * u[j] * P[i, j] * q_tr + mixed * dz2 + rest)

    same, apart = covariance_products(C, ON, ON)
    assert same == pytest.approx(expected(0, 0), rel=1e-6)
    assert apart == pytest.approx(expected(0, 1), rel=1e-5)


def test_small_logits_are_uniform_weights() -> None:
    K = evaluate(5, TAU, 1e-4 * TAU_2)
    assert K["s"] == pytest.approx(1 / 5, rel=1e-3)
    assert K["diag"] == pytest.approx(weight_moments(5, float(TAU @ TAU)).mean_diag * 4 / 25, rel=1e-3)


@pytest.mark.parametrize("n_classes", [2, 40])
def test_swapped_samples(n_classes: int) -> None:
    here, there = evaluate(n_classes, TAU, TAU_2), evaluate(n_classes, TAU_2, TAU)
    for name, value in here.items():
        assert there[SWAPPED.get(name, name)] == pytest.approx(value, rel=1e-10, abs=1e-12)
    assert here["as"] != pytest.approx(here["bs"], rel=0.01)


def test_many_classes() -> None:
    """C K̂ → e^s: the derivatives by s tend to e^s, those by a and b to 0, with errors that fall as 1/C."""
    limit = math.exp(TAU @ TAU_2)
    errors = []
    for C in (10**4, 10**5, 10**6):
        K = evaluate(C, TAU, TAU_2)
        errors.append([C * K[name] / limit - 1 for name in ("s", "e4e4", "e1e1", "d1")])
        errors[-1] += [C * K[name] / limit for name in ("as", "e2e2", "e3e4")]
        errors[-1].append(C**2 * K["diag"] / C / (limit / C) - 1)
    before, between, after = np.abs(errors)
    assert after.max() < 1e-3
    np.testing.assert_allclose(after, between / 10, rtol=0.1)
    np.testing.assert_allclose(between, before / 10, rtol=0.5)


def test_one_class_of_two_has_no_pairs_and_one_class_none() -> None:
    assert math.isnan(evaluate(1, TAU, TAU_2)["offdiag"])


@pytest.mark.parametrize(("n_classes", "largest"), [(2, 1.5), (10, 2.5), (1000, 2.0), (10**5, 2.5)])
def test_table_at_random_points(n_classes: int, largest: float) -> None:
    """Derivatives within 2e-3 of ∂_s K (or of their size), the leading ones within 3e-4; nodes are not points."""
    rng = np.random.default_rng(6)
    size, size_2, rho = (rng.uniform(0.02, most, 30).tolist() for most in (largest, largest, 1))
    names = [*DERIVATIVES, "diag", "offdiag"]
    found = CovarianceTable(n_classes, largest)(*(np.array(x) for x in (size, size_2, rho)), names)
    for k, (x, y, r) in enumerate(zip(size, size_2, rho, strict=True)):
        exact = derivatives(table(n_classes, x**2, 100), table(n_classes, y**2, 100), np.array([r]))
        for name in names:
            scale = abs(exact[name][0]) if name in ("s", "diag", "offdiag") else exact["s"][0]
            tolerance = 3e-4 if name in ("s", "diag", "offdiag", "e4e4") else 2e-3
            assert abs(found[name][k] - exact[name][0]) < tolerance * scale, (name, x, y, r)


@pytest.mark.parametrize("n_classes", [10, 10**4])
def test_table_does_not_bias_the_norms(n_classes: int) -> None:
    """Means over pairs of m = 4 neurons, of the weights that blocks have, within 1e-4."""
    cube = np.random.default_rng(2).random((150, n_coordinates(4, None)))
    pairs = neuron_pairs(cube, 4, None, 0.25, weighted=False)
    tau, tau_2 = pairs.sigma / 2, pairs.sigma_2 / 2
    used = (tau * tau_2).sum(axis=1) > 0
    tau, tau_2, weight = tau[used], tau_2[used], pairs.weight[used]
    size, size_2 = (np.linalg.norm(t, axis=1) for t in (tau, tau_2))
    overlap = (tau * tau_2).sum(axis=1)
    rho = overlap / size / size_2
    names = [name for _, _, name in PRODUCTS] + ["diag", "offdiag"]
    exact = {name: np.empty(len(tau)) for name in names}
    for k in range(len(tau)):
        for name, v in derivatives(
            *(table(n_classes, float(s[k]) ** 2, 100) for s in (size, size_2)), rho[k : k + 1]
        ).items():
            if name in exact:
                exact[name][k] = v[0]
    found = covariance_table(n_classes, float(max(size.max(), size_2.max())))(size, size_2, rho, names)
    terms = operator_coefficients(tau, tau_2)
    total = terms.sum(axis=1)
    distinct = total[:, :, None] * total[:, None, :] - np.einsum("nia,nib->nab", terms, terms)

    def norms(K: dict[str, Array]) -> Array:
        hidden = sum(K[name] * distinct[:, i, j] * (2 - (i == j)) for i, j, name in PRODUCTS)
        return np.array([weight @ hidden, *(weight @ (overlap**2 * K[name]) for name in ("diag", "offdiag"))])

    np.testing.assert_allclose(norms(found), norms(exact), rtol=1e-4)


def test_mean_curvature_is_the_slope_of_the_entropy_term() -> None:
    """∂_a E L = 1 − E Σ p², a = |τ|²/2, and its own slope by differences."""
    for n_classes in (2, 7, 10**4):
        curvature = MeanCurvature(n_classes, 3.0)
        for size in (0.0, 0.31, 1.2, 2.9):
            h = 1e-3

            def first(a: float, C: int = n_classes) -> float:
                return -C * softmax_moment(C, 2, logit_variance=max(2 * a, 1e-6))

            a = size**2 / 2 if size else 2 * h
            slope, second = (float(v[0]) for v in curvature(np.array([math.sqrt(2 * a)])))
            assert slope == pytest.approx(first(a), rel=1e-7)
            assert second == pytest.approx((first(a + h) - first(a - h)) / (2 * h), rel=1e-4)


def test_logits_beyond_the_table_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"gain, width, dim: logits whose standard deviation reaches 12\.5 are beyond"
    ) as caught:
        CovarianceTable(10, 12.5)
    assert ";" in str(caught.value)
