"""Two samples of one hidden layer with cross-entropy: pairs of neurons, quasi-Monte Carlo, and the norms they give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from rmtsim import Ensemble
from rmtsim.errors import InputError
from rmtsim.theory import finite, one_hidden_ce_large_c, quasi_monte_carlo
from rmtsim.theory.neuron_pairs import NeuronPairs, large_c, n_coordinates, neuron_pairs
from rmtsim.theory.one_hidden_ce_pairs import pair_terms
from rmtsim.theory.quasi_monte_carlo import Expectations, integrate

Array = NDArray[np.float64]

#: Functions of two activation vectors whose means fix the law of a pair of neurons, and how two of them depend.
FEATURES = {
    "on": lambda s, t: (s[:, 0] > 0) * (t[:, 0] > 0),
    "off": lambda s, t: (s[:, 0] > 0) * (t[:, 0] == 0),
    "norm": lambda s, t: (s**2).sum(axis=1),
    "overlap": lambda s, t: (s * t).sum(axis=1),
    "square": lambda s, t: (s * t).sum(axis=1) ** 2,
    "crossed": lambda s, t: (s[:, 0] * t[:, -1]) ** 2,
    "decay": lambda s, t: np.exp(-(s**2).sum(axis=1) - t[:, -1]),
}


def drawn(width: int, dim: int | None, tilt: float, *, weighted: bool, n: int = 100_000) -> NeuronPairs:
    cube = np.random.default_rng([width, dim or 0, weighted]).random((n, n_coordinates(width, dim)))
    return neuron_pairs(cube, width, dim, tilt, weighted=weighted)


def plain_pairs(width: int, dim: int | None, n: int = 100_000) -> tuple[Array, Array, Array]:
    """σ, σ' and (x·x')²/d from W, x and x'; ``dim`` None: orthogonal x, x' of norm √d."""
    rng = np.random.default_rng([3, width, dim or 0])
    if dim is None:
        g, g_2 = rng.standard_normal((2, n, width))
        return np.maximum(g, 0), np.maximum(g_2, 0), np.ones(n)
    W, x, x_2 = rng.standard_normal((n, width, dim)), *rng.standard_normal((2, n, dim))
    g, g_2 = (np.maximum(np.einsum("nij,nj->ni", W, side) / math.sqrt(dim), 0) for side in (x, x_2))
    return g, g_2, (x * x_2).sum(axis=1) ** 2 / dim


def z_score(a: Array, b: Array) -> float:
    return float(abs(a.mean() - b.mean()) / math.sqrt(a.var() / len(a) + b.var() / len(b) + 1e-30))


@pytest.mark.parametrize("dim", [None, 1, 2, 3, 50])
@pytest.mark.parametrize(("width", "tilt"), [(1, 0.5), (3, 0.4), (3, 0.0)])
def test_pairs_have_the_law_of_the_samples(width: int, tilt: float, dim: int | None) -> None:
    """Weighted means against plain normals; the tilted law itself, its weights left out, is another."""
    plain_1, plain_2, data = plain_pairs(width, dim)
    for weighted in (False, True):
        pairs = drawn(width, dim, tilt, weighted=weighted)
        assert z_score(pairs.weight, np.ones(1)) < 4.5
        shares = data if weighted else np.ones(len(data))
        controls = []
        for name, feature in FEATURES.items():
            expected = shares * feature(plain_1, plain_2)
            values = feature(pairs.sigma, pairs.sigma_2)
            assert z_score(pairs.weight * values, expected) < 4.5, (name, weighted)
            controls.append(z_score(values, expected))
            if weighted and dim is not None:
                controls.append(z_score(pairs.weight * values, feature(plain_1, plain_2)))
        assert max(controls) > 4.5 or (tilt == 0 and not (weighted and dim))
    if tilt == 0:
        np.testing.assert_allclose(pairs.weight, 1, rtol=1e-12)
    else:
        assert pairs.weight.std() > 0.01


@pytest.mark.parametrize("dim", [None, 2, 50])
@pytest.mark.parametrize("tilt", [0.3, 0.5])
def test_large_c_means_are_exact(dim: int | None, tilt: float) -> None:
    """They centre what they should, given (κ, ρ): on average, and where ρ > 0, whatever the points were drawn with."""
    width, slope, t = 3, 0.4, 0.3
    pairs = drawn(width, dim, tilt, weighted=False)
    first, second = pairs.sigma, pairs.sigma_2
    overlap = (first * second).sum(axis=1)
    on = (first > 0) * (second > 0) * (1 + slope * first * second)
    law = large_c(pairs, t, slope)
    columns = (1, law.mass), (overlap, law.overlap), (overlap**2, law.square), (on[:, 0] * on[:, 1], law.both)
    for values, mean in columns:
        for where in (np.ones(len(first)), pairs.rho > 0):
            residual = where * (law.density * values - mean)
            if where.any() and residual.std() > 1e-9:
                assert z_score(residual, np.zeros(1)) < 4.5
                assert z_score(residual, -0.5 * where * mean) > 4.5  # negative control
    if tilt == t:  # the density of the points is the law itself
        np.testing.assert_allclose(law.density, law.mass, rtol=1e-9)


def cheap(monkeypatch: pytest.MonkeyPatch, least: int) -> None:
    monkeypatch.setattr(quasi_monte_carlo, "_LEAST_POINTS", least)


def one_value(function, controls=()):  # type: ignore[no-untyped-def]
    """An integrand of one value."""
    return lambda pilot: lambda cube, wanted: np.array([[f(cube).mean() for f in (function, *controls)]])


def test_known_integrals() -> None:
    """∫ e^{x+y} and ∫ x², at their two precisions; a control variate that is exact leaves no error."""
    e = math.e - 1

    def make(pilot: Array):  # type: ignore[no-untyped-def]
        def means(cube: Array, wanted: Array) -> Array:
            x, y = cube.T
            rows = [[np.exp(x + y).mean(), 0.0], [(x**2).mean(), (x**2 - 1 / 3).mean()]]
            return np.array(rows)[wanted]

        return means

    found = integrate(make, 2, 2, (1,), 1e-6)
    assert found.mean == pytest.approx([e**2, 1 / 3], rel=1e-5)
    assert abs(found.mean[0] - e**2) < 4.5 * math.sqrt(found.covariance[0, 0])
    assert found.covariance[1, 1] < 1e-20
    again = integrate(make, 2, 2, (1,), 1e-6)
    assert np.array_equal(found.mean, again.mean)
    assert not np.array_equal(found.mean, integrate(make, 2, 2, (2,), 1e-6).mean)


def test_points_double_until_the_target_is_met() -> None:
    asked = []

    def make(pilot: Array):  # type: ignore[no-untyped-def]
        def means(cube: Array, wanted: Array) -> Array:
            asked.append(len(cube))
            return np.array([[np.exp(2 * np.sin(6 * cube).sum(axis=1)).mean()]])[wanted]

        return means

    rse = {}
    for target in (0.5, 3e-4):
        asked.clear()
        found = integrate(make, 1, 4, (5,), target)
        rse[sum(asked)] = math.sqrt(found.covariance[0, 0]) / found.mean[0]
    (few, rough), (many, fine) = rse.items()
    assert few == 32 * 512
    assert many > few
    assert fine < 3e-4 < rough


def test_a_control_variate_that_is_mere_rounding_is_left_out() -> None:
    """Else the last digits of other processors would be taken out of the value; one that is small in itself stays."""

    def of_controls(*factors: float) -> Array:
        noise = [lambda x, f=f: f * (x[:, 0] ** 2 - 1 / 3) for f in factors]
        return integrate(one_value(lambda x: np.exp(x[:, 0] + x[:, 1]), noise), 1, 2, (3,), 1.0).mean

    def with_rounding(scale: float) -> Array:
        rng = np.random.default_rng(5)
        controls = (lambda x: x[:, 0] ** 2 - 1 / 3, lambda x: scale * rng.standard_normal(len(x)))
        return integrate(one_value(lambda x: np.exp(x[:, 0] + x[:, 1]), controls), 1, 2, (3,), 1.0).mean

    assert np.array_equal(with_rounding(1e-16), of_controls(1.0))
    assert not np.array_equal(with_rounding(1e-3), of_controls(1.0))
    np.testing.assert_allclose(of_controls(1e-16), of_controls(1.0), rtol=1e-12)


@pytest.mark.parametrize("tail", ["smooth", "heavy"])
def test_standard_errors_cover(tail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over 150 keys, the 1, 2 and 3 σ bands hold as often as Student's t says; a bias of 1.5 σ is seen."""
    cheap(monkeypatch, 32)
    functions = {
        "smooth": (lambda x: np.exp(x[:, 0] + x[:, 1] ** 2), (math.e - 1) * 1.4626517459071816),
        "heavy": (lambda x: x[:, 0] ** -0.2 * x[:, 1] ** -0.15, 1 / 0.8 / 0.85),
    }
    function, exact = functions[tail]
    control = (lambda x: x[:, 0] - 0.5,)
    found = [integrate(one_value(function, control), 1, 2, (k,), 10.0) for k in range(150)]
    z = np.array([(e.mean[0] - exact) / math.sqrt(e.covariance[0, 0]) for e in found])

    def pulls(z: Array) -> list[float]:
        shares = [float(2 * stats.t.sf(band, 30)) for band in (1, 2, 3)]
        seen = [float(np.mean(np.abs(z) > band)) for band in (1, 2, 3)]
        return [(a - b) / math.sqrt(b * (1 - b) / len(z)) for a, b in zip(seen, shares, strict=True)]

    assert max(np.abs(pulls(z))) < 4, pulls(z)
    assert max(pulls(z + 1.5)) > 4
    assert max(pulls(1.6 * z)) > 4


def test_too_many_coordinates_are_refused() -> None:
    with pytest.raises(InputError, match=r"width: a pair of samples has 10000 coordinates.*; give a smaller width"):
        integrate(one_value(lambda x: x[:, 0]), 1, 10_000, (0,), 1.0)


def sampled_terms(n_classes: int, width: int, dim: int | None, gain: float, draws: int, n: int = 16) -> Array:
    """Samples of the four values, (draws, 4): all pairs of ``n`` samples at each (V, W), in plain NumPy."""
    rng = np.random.default_rng([7, n_classes, width, dim or 0])
    C, m, parts, total = n_classes, width, [], 0
    eye = np.eye(n, dtype=bool)
    while total < draws:
        batch = max(1, min(draws - total, 400_000 // (n * C)))
        V = rng.standard_normal((batch, C, m)) / math.sqrt(m)
        if dim is None:
            s, data = np.maximum(rng.standard_normal((batch, n, m)), 0), 1.0
        else:
            W, X = rng.standard_normal((batch, m, dim)) / math.sqrt(dim), rng.standard_normal((batch, n, dim))
            s, data = np.maximum(X @ W.transpose(0, 2, 1), 0), (X @ X.transpose(0, 2, 1)) ** 2
        z = math.sqrt(gain) * s @ V.transpose(0, 2, 1)
        p = np.exp(z - z.max(axis=2, keepdims=True))
        p /= p.sum(axis=2, keepdims=True)
        mean, on = p @ V, s > 0
        second = np.einsum("bnc,bci,bcj->bnij", p, V, V, optimize=True)
        weights = (second - mean[..., :, None] * mean[..., None, :]) * (on[..., :, None] & on[..., None, :])
        flat, own = weights.reshape(batch, n, m * m), np.einsum("bnii->bni", weights)
        both, diag = flat @ flat.transpose(0, 2, 1), own @ own.transpose(0, 2, 1)
        q, sq = p * (1 - p), p**2
        overlap = (s @ s.transpose(0, 2, 1)) ** 2
        values = [
            data * diag / m,
            data * (both - diag) / (m * (m - 1)) if m > 1 else np.full_like(diag, np.nan),
            overlap * (q @ q.transpose(0, 2, 1)) / C,
            overlap * ((p @ p.transpose(0, 2, 1)) ** 2 - sq @ sq.transpose(0, 2, 1)) / (C * (C - 1)),
        ]
        parts.append(np.stack([np.where(eye, 0, v).sum(axis=(1, 2)) / (n * (n - 1)) for v in values], axis=1))
        total += batch
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("n_classes", "width", "dim", "gain", "draws"),
    [
        (2, 1, None, 0.25, 60_000),
        (5, 1, 50, 0.25, 40_000),
        (5, 2, 1, 0.05, 60_000),
        (5, 8, 2, 0.5, 15_000),
        (30, 3, 5, 0.25, 30_000),
        (30, 8, 50, 1.0, 6_000),
        (5, 16, None, 4.0, 4_000),
    ],
)
def test_pair_terms_against_brute_force(n_classes: int, width: int, dim: int | None, gain: float, draws: int) -> None:
    """Within 4.5 standard errors; values wrong by 15 %, which are 7 and more of them, are not."""
    found = pair_terms(n_classes, width, dim, gain, 8e-3)
    sampled = sampled_terms(n_classes, width, dim, gain, draws)
    std_error = np.hypot(sampled.std(axis=0) / math.sqrt(draws), np.sqrt(np.diag(found.covariance)))
    z, *controls = ((factor * found.mean - sampled.mean(axis=0)) / std_error for factor in (1, 0.85, 1.15))
    assert np.isnan(z).tolist() == [False, width == 1, False, False]
    assert np.nanmax(np.abs(z)) < 4.5, z
    assert np.nanmin(np.abs(controls)) > 4.5, controls


def test_standard_errors_cover_under_heavy_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """m = 3, where the large-C law barely exists: 12 seeds at low accuracy scatter about a precise value as stated."""
    n_classes = 10**5
    truth = pair_terms(n_classes, 3, None, 1.0, 2e-3)
    cheap(monkeypatch, 256)
    z = []
    for seed in range(12):
        monkeypatch.setattr(quasi_monte_carlo, "_SEED", 9000 + seed)
        rough = pair_terms.__wrapped__(n_classes, 3, None, 1.0, 10.0)
        assert np.all(np.diag(rough.covariance) > 0)
        z.append((rough.mean - truth.mean) / np.sqrt(np.diag(rough.covariance + truth.covariance)))
    deviations = np.array(z)
    assert np.abs(deviations).max() < 4.5
    chi2 = (deviations**2).sum(axis=0)
    assert np.all(stats.chi2.sf(chi2, 12 * 1.3) > 1e-4), chi2  # 29 degrees of freedom, and the truth's own error
    assert np.all(stats.chi2.sf(16 * chi2, 12 * 1.3) < 1e-4)  # negative control: errors stated four times too small


def test_many_classes_are_precise() -> None:
    found = pair_terms(10**5, 8, None, 1.0, 2e-3)
    assert np.all(np.sqrt(np.diag(found.covariance)) < 2e-3 * found.mean)


@pytest.mark.parametrize("dim", [None, 50])
def test_pair_terms_tend_to_the_closed_form(dim: int | None) -> None:
    """The distance to the C → ∞ constants falls towards 0, and at C = 10⁶ it is below 1e-3 in the limit."""
    hidden, output = one_hidden_ce_large_c.hidden(8, dim), one_hidden_ce_large_c.output(8, dim)
    constants = np.array([hidden.pair_diag, hidden.pair_offdiag, output.pair_diag, output.pair_offdiag])
    distances = []
    for n_classes in (1000, 10**6):
        C = float(n_classes)
        values = pair_terms(n_classes, 8, dim, 1.0, 1e-3).mean * [1, C, C**2, C**4]
        distances.append(np.abs(values / constants - 1))
    assert distances[1].max() < 2e-3
    assert np.all(distances[1] < distances[0])
    assert distances[0].max() > 5e-3


def test_single_class_has_no_curvature() -> None:
    one: Expectations = pair_terms(1, 3, None, 1.0)
    assert one.mean[:3].tolist() == [0, 0, 0]
    assert math.isnan(one.mean[3])
    assert math.isnan(pair_terms(1, 1, 5, 1.0).mean[1])


def test_two_classes_have_blocks_of_one_norm() -> None:
    """p₁p₂ = p₁(1 − p₁): the ratio of the output layer is 1, and has no error."""
    small = Ensemble(last_gain=0.1)  # the theory of large logits takes seconds
    [output] = finite("one_hidden", "ce", 2, 20, 30, 4, ensemble=small, layers=("output",), target_rse=0.1)
    assert output.ratio == pytest.approx(1, rel=1e-9)
    assert output.std_error_ratio < 1e-7
