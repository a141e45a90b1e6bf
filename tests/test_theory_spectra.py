"""Limiting spectra: closed forms, free cumulants, the defining equation, tails."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from scipy import integrate, special

from rmtsim.theory import limit
from rmtsim.theory.softmax_moments import softmax_moment
from rmtsim.theory.spectra import Spectrum, block_spectrum, weight_laws
from rmtsim.theory.spectra.weight_laws import (
    bernoulli,
    discrete,
    hidden_ce_diag,
    hidden_ce_offdiag,
    linear_ce_diag,
    linear_ce_offdiag,
    lognormal,
)
from tests.spectrum_weights import hidden_weights, output_weights

RATIOS = (0.05, 0.5, 1.0, 3.0)


def marchenko_pastur(x, ratio, scale):
    """Density of the continuous part of (scale/N) X Xᵀ."""
    low, high = scale * (1 - math.sqrt(ratio)) ** 2, scale * (1 + math.sqrt(ratio)) ** 2
    inside = np.maximum((high - x) * (x - low), 0)
    return np.sqrt(inside) / (2 * math.pi * scale * ratio * np.abs(x))


def diag_moment(n_classes, k, gain):
    """E (p(1 − p))^k, k ≤ 2, or at any k for two classes, where 1 − p₁ = p₂."""
    if n_classes == 2:
        return softmax_moment(2, k, k, gain)
    return sum((-1) ** j * math.comb(k, j) * softmax_moment(n_classes, k + j, 0, gain) for j in range(k + 1))


def cumulants_to_moments(k):
    k1, k2, k3, k4 = k
    return [k1, k2 + k1**2, k3 + 3 * k1 * k2 + k1**3, k4 + 4 * k1 * k3 + 2 * k2**2 + 6 * k1**2 * k2 + k1**4]


# --- closed forms


@pytest.mark.parametrize("ratio", [0.1, 0.25, 1.0, 4.0])
@pytest.mark.parametrize(("scale", "probability"), [(2.0, 1.0), (3.0, 0.5), (-0.7, 0.25)])
def test_marchenko_pastur(ratio, scale, probability):
    """A share q of the samples: (λ/N) Σ over qN of them is λq times a Wishart matrix of ratio γ/q."""
    spectrum = Spectrum(bernoulli(scale, probability), ratio)
    own, mean = ratio / probability, scale * probability
    [(low, high)] = np.sort(np.abs(spectrum.edges))
    assert low == pytest.approx(abs(mean) * (1 - math.sqrt(own)) ** 2, abs=1e-12)
    assert high == pytest.approx(abs(mean) * (1 + math.sqrt(own)) ** 2, rel=1e-13)
    x = math.copysign(1, scale) * (low + (high * 1.1 - low) * (0.001 + np.linspace(0, 1, 301)))
    exact = marchenko_pastur(x / mean, own, 1.0) / abs(mean)
    assert np.abs(spectrum.density(x) - exact).max() < 1e-8
    assert np.abs(Spectrum(bernoulli(scale, probability), 1.1 * ratio).density(x) - exact).max() > 1e-3
    assert spectrum.atom == pytest.approx(max(0.0, 1 - 1 / own), abs=1e-15)
    # s = −(z + c(γ' − 1) ∓ √…)/(2γ'cz), the root in the upper half-plane
    z = x + np.array([[1e-9], [1e-3], [10.0]]) * 1j
    root = np.sqrt((z - mean * (1 + own)) ** 2 - 4 * own * mean**2)
    both = [(mean * (1 - own) - z + sign * root) / (2 * own * mean * z) for sign in (1, -1)]
    closed = np.where(both[0].imag > both[1].imag, *both)
    assert np.abs(spectrum.stieltjes(z) / closed - 1).max() < 1e-6
    assert np.abs(spectrum.stieltjes(z.conj()) - spectrum.stieltjes(z).conj()).max() == 0


def test_distribution_function_of_marchenko_pastur():
    spectrum = Spectrum(bernoulli(1.0, 1.0), 0.25)
    x = np.array([-1.0, 0.25, 0.2501, 0.5, 1.0, 2.2, 2.25, 7.0])
    exact = [integrate.quad(marchenko_pastur, 0.25, min(max(b, 0.25), 2.25), (0.25, 1.0), epsabs=1e-12)[0] for b in x]
    assert spectrum.cdf(x) == pytest.approx(exact, abs=1e-9)
    assert Spectrum(bernoulli(1.0, 1.0), 0.26).cdf(x) != pytest.approx(exact, abs=1e-4)


def test_no_weights():
    """C = 1, or an off-diagonal block of the linear MSE: the zero matrix."""
    for spectrum in (
        Spectrum(linear_ce_diag(1), 0.5),
        block_spectrum("linear", "mse", "linear", "offdiag", 5, 0.5),
    ):
        assert spectrum.atom == 1
        assert spectrum.edges.shape == (0, 2)
        assert spectrum.cdf([-0.1, 0.0, 0.1]).tolist() == [0, 1, 1]
        assert spectrum.density(0.1) == 0
        assert spectrum.moments().tolist() == spectrum.free_moments().tolist() == [0, 0, 0, 0]
        assert spectrum.stieltjes(2j) == -1 / 2j


def test_exact_separation():
    """Far apart, each value of λ has a band with the eigenvalues of its own samples: mass P(λ)/γ (Bai, Silverstein)."""
    spectrum = Spectrum(discrete([-1.0, 0.0, 0.5, 10.0], [0.3, 0.1, 0.5, 0.1]), 2.0)
    masses = np.diff(spectrum.cdf(spectrum.edges), axis=1).ravel()
    assert masses == pytest.approx([0.15, 0.25, 0.05], abs=1e-9)
    assert spectrum.atom == pytest.approx(0.55)
    gaps = (spectrum.edges[:-1, 1] + spectrum.edges[1:, 0]) / 2
    assert spectrum.density(gaps).tolist() == [0, 0]
    assert (spectrum.density(spectrum.edges.mean(axis=1)) > 0.001).all()


# --- mass and moments


@pytest.mark.parametrize(
    ("n_classes", "gain", "ratio"),
    [(2, 1.0, 3.0), (2, 9.0, 0.5), (3, 0.2, 0.5), (3, 1.0, 0.05), (10**6, 1.0, 3.0), (10**6, 9.0, 0.5)],
)
def test_linear_ce_moments(n_classes, gain, ratio):
    for law, exact, orders in (
        (linear_ce_diag, lambda k: diag_moment(n_classes, k, gain), 4 if n_classes == 2 else 2),
        (linear_ce_offdiag, lambda k: softmax_moment(n_classes, k, k, gain), 4),
    ):
        spectrum = Spectrum(law(n_classes, gain), ratio)
        kappa = [ratio ** (k - 1) * exact(k) if k <= orders else math.nan for k in range(1, 5)]
        expected = cumulants_to_moments(kappa)[:orders]
        assert spectrum.moments(orders) == pytest.approx(expected, rel=1e-7, abs=0)
        assert spectrum.moments() == pytest.approx(spectrum.free_moments(), rel=1e-7, abs=0)
        assert spectrum.rule[1].sum() + spectrum.atom == pytest.approx(1, abs=1e-6)
        wrong = Spectrum(law(n_classes, 1.1 * gain), ratio).free_moments()
        assert wrong[1] != pytest.approx(expected[1], rel=1e-3, abs=0)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("log_variance", [0.1, 1.0, 2.0, 6.0])
def test_lognormal_moments(log_variance, ratio):
    spectrum = Spectrum(lognormal(log_variance, 3.0), ratio)
    kappa = [ratio ** (k - 1) * 3.0**k * math.exp(k * (k - 1) / 2 * log_variance) for k in range(1, 5)]
    assert spectrum.moments() == pytest.approx(cumulants_to_moments(kappa), rel=1e-8)
    assert spectrum.rule[1].sum() + spectrum.atom == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("n_classes", [2, 10, 1000])
def test_second_moment_is_theorem_1(n_classes):
    [norms] = limit("linear", "ce", n_classes, 0.5)
    for block in ("diag", "offdiag"):
        spectrum = block_spectrum("linear", "ce", "linear", block, n_classes, 0.5)
        assert spectrum.moments(2)[1] == pytest.approx(getattr(norms, block), rel=1e-9, abs=0)


@pytest.mark.parametrize("ratio", [0.1, 2.0])
@pytest.mark.parametrize("pair", [(0, 0), (0, 1)])
def test_hidden_ce_moments(pair, ratio):
    """E λ^k by plain sampling; mass and moments of the density to far better."""
    law, other, sample = hidden_case(*pair)
    spectrum = Spectrum(law, ratio)
    assert spectrum.rule[1].sum() + spectrum.atom == pytest.approx(1, abs=1e-6)
    assert spectrum.moments() == pytest.approx(spectrum.free_moments(), rel=1e-4, abs=0)
    deviations = []
    for k in (1, 2, 3, 4):
        std_error = (sample**k).std() / math.sqrt(len(sample))
        assert abs(law.moment(k) - (sample**k).mean()) < 4 * std_error
        deviations.append(abs(other.moment(k) - (sample**k).mean()) / std_error)
    assert max(deviations) > 20  # negative control: other neurons


@pytest.mark.parametrize("pair", [(0, 0), (0, 1)])
def test_hidden_ce_moments_are_good_to_1e_3(pair, monkeypatch):
    """Against quadrature over the orthants in which neuron i and j are on."""
    V = output_weights(200, 3)
    exact = hidden_moments(V, *pair)

    def errors():
        law = hidden_ce_diag(V, 0) if pair == (0, 0) else hidden_ce_offdiag(V, *pair)
        return [abs(law.moment(k) / exact[k - 1] - 1) for k in (1, 2, 3, 4)]

    assert max(errors()) < 1e-3
    monkeypatch.setattr(weight_laws, "_WORK", 2**6 * len(V))
    assert max(errors()) > 1e-3  # negative control: fewer points


def hidden_moments(V, i, j):
    """E λ^k for k = 1, …, 4 by Gauss-Legendre nodes on either side of 0 for each neuron."""
    nodes, weights = special.roots_legendre(20)
    nodes, weights = 4.5 * (nodes + 1), 4.5 * weights
    weights *= np.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)
    moments = np.zeros(4)
    for signs in itertools.product((1, -1), repeat=V.shape[1]):
        if signs[i] > 0 and signs[j] > 0:
            g = np.stack(np.meshgrid(*(sign * nodes for sign in signs), indexing="ij"), axis=-1)
            w = math.prod(np.meshgrid(*[weights] * len(signs), indexing="ij")).ravel()
            found = hidden_weights(V, g.reshape(len(w), -1), i, j)
            moments += [w @ found**k for k in (1, 2, 3, 4)]
    return moments


@cache
def hidden_case(i, j):
    """The law of neurons i and j, that of others, and a sample of the first."""
    V = output_weights(10, 4)
    sample = hidden_weights(V, np.random.default_rng(1).standard_normal((200_000, 4)), i, j)
    if i == j:
        return hidden_ce_diag(V, i), hidden_ce_diag(V, 2), sample
    return hidden_ce_offdiag(V, i, j), hidden_ce_offdiag(V, 2, 3), sample


# --- the defining equation, and the way to the real axis


@pytest.mark.parametrize("ratio", [0.3, 2.0])
@pytest.mark.parametrize(("n_classes", "diag"), [(2, True), (5, True), (5, False), (400, True), (400, False)])
def test_equation_37_by_sampling(n_classes, diag, ratio):
    """E[λ/(1 + γλs)] by brute force at the s returned, within standard errors; a wrong s or C is far off."""
    rng = np.random.default_rng(3)
    z = rng.standard_normal((400_000 // max(1, n_classes // 20), n_classes))
    p = np.exp(z)
    p /= p.sum(axis=1, keepdims=True)
    weights = p[:, 0] * (1 - p[:, 0]) if diag else p[:, 0] * p[:, 1]
    law = linear_ce_diag if diag else linear_ce_offdiag
    spectrum, wrong = Spectrum(law(n_classes), ratio), Spectrum(law(math.ceil(1.3 * n_classes)), ratio)
    scale = spectrum.free_moments()[0]
    points = scale * np.array([0.5 + 0.3j, 1 + 0.1j, 2 + 1j, -1 + 0.5j])

    def deviations(s):
        terms = weights / (1 + ratio * weights * s[:, None])
        std_error = np.sqrt(np.var(terms, axis=1) / len(weights))
        return np.abs(1 / s + points - terms.mean(axis=1)) / std_error

    assert deviations(spectrum.stieltjes(points)).max() < 4.5
    assert deviations(wrong.stieltjes(points)).max() > 9


def test_equation_37_by_gauss_hermite():
    y, w = special.roots_hermitenorm(300)
    weights, w = np.exp(y - 0.5), w / w.sum()
    for ratio in RATIOS:
        points = np.array([1 + 1j, 0.3 + 0.5j, 4 + 2j])
        s = Spectrum(lognormal(1.0), ratio).stieltjes(points)
        right = 1 / (-points + (w * weights / (1 + ratio * weights * s[:, None])).sum(axis=1))
        assert np.abs(s / right - 1).max() < 1e-10
        assert np.abs(1.001 * s / right - 1).max() > 1e-4


LAWS = {
    "diag 2": lambda: linear_ce_diag(2),
    "diag 1000": lambda: linear_ce_diag(1000),
    "off 3": lambda: linear_ce_offdiag(3),
    "off 1000": lambda: linear_ce_offdiag(1000),
    "heavy": lambda: lognormal(4.0),
    "atoms": lambda: discrete([-1.0, 0.5, 10.0], [0.3, 0.5, 0.2]),
    "hidden": lambda: hidden_ce_offdiag(output_weights(10, 4)),
}


#: Each law at γ = 1, where a band reaches 0, and at a γ on one of its sides.
SPECTRA = [(name, ratio) for k, name in enumerate(LAWS) for ratio in (1.0, (0.1, 2.0)[k % 2])]


@cache
def spectrum_of(name, ratio):
    return Spectrum(LAWS[name](), ratio)


@pytest.mark.parametrize(("name", "ratio"), SPECTRA)
def test_to_the_real_axis(name, ratio):
    """Im s/π → density as Im z → 0, linearly; s agrees with ∫ρ/(x − z) away from it, and with −1/z − m₁/z² far off."""
    spectrum = spectrum_of(name, ratio)
    quantiles = np.linspace(0.02, 0.98, 25)
    x, weights = spectrum.rule
    points = np.interp(quantiles * weights.sum(), weights.cumsum(), x)
    density = spectrum.density(points)
    seen = density > 1e-6 * density.max()
    errors = []
    for eta in (1e-9, 1e-11):
        s = spectrum.stieltjes(points + 1j * eta * np.abs(points))
        errors.append(np.abs(s.imag / math.pi / density - 1)[seen])
    assert np.median(errors[1]) < 1e-8
    assert np.quantile(errors[1], 0.9) < 1e-6
    assert np.median(errors[0]) > 3 * np.median(errors[1])
    width = math.sqrt(spectrum.free_moments()[1])
    z = np.array([2 + 3j, -1 + 2j]) * width
    direct = (weights / (x - z[:, None])).sum(axis=1) - spectrum.atom / z
    assert np.abs(spectrum.stieltjes(z) / direct - 1).max() < 1e-6
    far = 1e6j * width
    assert spectrum.stieltjes(far) == pytest.approx(-1 / far - spectrum.free_moments(1)[0] / far**2, rel=1e-9)


@pytest.mark.parametrize(("name", "ratio"), SPECTRA)
def test_distribution_function(name, ratio):
    """F' = density by central differences, F goes from 0 to 1, and the quadrature's steps lie on it."""
    spectrum = spectrum_of(name, ratio)
    x, weights = spectrum.rule
    assert spectrum.cdf(x[-1] * 1e9) == pytest.approx(1, abs=1e-6)
    assert spectrum.cdf(min(x[0], 0) - 1.0) == 0
    quantiles = np.linspace(0.05, 0.95, 19)
    points = np.interp(quantiles * weights.sum(), weights.cumsum(), x)
    step = 1e-4 * np.abs(points)
    slope = (spectrum.cdf(points + step) - spectrum.cdf(points - step)) / (2 * step)
    density = spectrum.density(points)
    assert np.median(np.abs(slope / density - 1)) < 1e-5
    half = weights.cumsum() - weights / 2 + np.where(x > 0, spectrum.atom, 0)
    assert np.abs(spectrum.cdf(x) - half).max() < 0.6 * weights.max()


def test_tail_of_heavy_weights():
    """One big weight makes one big eigenvalue, γλ + E λ: 1 − F(x) → P(λ > (x − E λ)/γ)/γ far out."""
    ratio, log_variance = 0.5, 2.0
    spectrum = Spectrum(lognormal(log_variance), ratio)
    for x, tolerance in ((300.0, 2e-2), (1e4, 1e-3)):
        normal = (math.log((x - 1) / ratio) + log_variance / 2) / math.sqrt(log_variance)
        expected = special.ndtr(-normal) / ratio
        xs, weights = spectrum.rule
        grid = x * np.exp(np.linspace(0, 8, 4001))
        tail = integrate.trapezoid(spectrum.density(grid) * grid, np.log(grid))
        assert tail == pytest.approx(expected, rel=tolerance)
        assert weights[xs > x].sum() == pytest.approx(expected, rel=0.5)


@pytest.mark.parametrize(("law", "log_variance", "power"), [(linear_ce_diag, 1.0, 1), (linear_ce_offdiag, 2.0, 2)])
def test_many_classes_tend_to_the_lognormal_law(law, log_variance, power):
    large = Spectrum(lognormal(log_variance), 0.5)
    x = np.geomspace(0.02, 30, 200)
    distances = []
    for n_classes in (10**2, 10**3, 10**4):
        scaled = Spectrum(law(n_classes), 0.5).cdf(x / float(n_classes) ** power)
        distances.append(np.abs(scaled - large.cdf(x)).max())
    assert distances[0] < 0.05
    assert distances[0] > 7 * distances[1] > 49 * distances[2]  # O(1/C)
