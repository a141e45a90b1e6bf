"""Limiting spectra: eigenvalues of simulated blocks against them, the front door, errors."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import integrate

from rmtsim.errors import InputError
from rmtsim.theory.spectra import Spectrum, block_spectrum, weight_laws
from rmtsim.theory.spectra.weight_density import log_excess, log_ratio
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

# --- eigenvalues of simulated blocks


def distance(spectrum, eigenvalues):
    """Kolmogorov–Smirnov, on the left and on the right of each eigenvalue."""
    x = np.sort(eigenvalues)
    n = len(x)
    nudge = 1e-9 * np.abs(x).max()
    upper = np.abs(np.arange(1, n + 1) / n - spectrum.cdf(x + nudge))[np.append(np.diff(x) > 2 * nudge, True)]
    lower = np.abs(np.arange(n) / n - spectrum.cdf(x - nudge))[np.append(True, np.diff(x) > 2 * nudge)]
    return max(upper.max(), lower.max())


def simulate_arrays(weights_of, dim, ratio, n_draws, seed):
    """Eigenvalues of (1/N) Σ λ x xᵀ, one row for each draw."""
    rng = np.random.default_rng(seed)
    n = round(dim / ratio)
    eigenvalues = []
    for _ in range(n_draws):
        X = rng.standard_normal((n, dim))
        eigenvalues.append(np.linalg.eigvalsh((X.T * weights_of(X, rng)) @ X / n))
    return np.array(eigenvalues)


def linear_weights(n_classes, diag):
    def weights(X, rng):
        p = np.exp(X @ rng.standard_normal((X.shape[1], n_classes)) / math.sqrt(X.shape[1]))
        p /= p.sum(axis=1, keepdims=True)
        return p[:, 0] * (1 - p[:, 0]) if diag else p[:, 0] * p[:, 1]

    return weights


def one_hidden_weights(V, i, j):
    return lambda X, rng: hidden_weights(
        V, X @ rng.standard_normal((X.shape[1], V.shape[1])) / math.sqrt(X.shape[1]), i, j
    )


V8 = output_weights(6, 8, seed=4)
SIMULATED = {
    "linear diag C=2": (linear_weights(2, True), lambda: linear_ce_diag(2), lambda: linear_ce_diag(4), 0.5),
    "linear diag C=10": (linear_weights(10, True), lambda: linear_ce_diag(10), lambda: linear_ce_diag(14), 2.0),
    "linear off C=10": (linear_weights(10, False), lambda: linear_ce_offdiag(10), lambda: linear_ce_offdiag(13), 0.5),
    "hidden diag": (one_hidden_weights(V8, 0, 0), lambda: hidden_ce_diag(V8), lambda: hidden_ce_diag(1.5 * V8), 0.3),
    "hidden off": (one_hidden_weights(V8, 0, 1), lambda: hidden_ce_offdiag(V8), lambda: hidden_ce_diag(V8), 0.2),
}


@pytest.mark.parametrize("case", SIMULATED)
def test_simulated_eigenvalues(case):
    weights, law, wrong_law, ratio = SIMULATED[case]
    right, wrong = Spectrum(law(), ratio), (Spectrum(wrong_law(), ratio), Spectrum(law(), 1.5 * ratio))
    distances, controls = [], []
    for dim, n_draws in ((50, 16), (200, 8), (800, 2)):
        draws = simulate_arrays(weights, dim, ratio, n_draws, seed=dim)
        distances.append(np.mean([distance(right, draw) for draw in draws]))
        controls.append([distance(spectrum, draws[0]) for spectrum in wrong])
    assert distances[0] > 1.5 * distances[1] > 2.25 * distances[2]
    assert distances[2] < 0.02
    for control in np.array(controls[1:]).T:
        assert control[1] > 0.04
        assert control[1] > 0.6 * control[0]


# --- the front door


def test_block_spectra():
    V = output_weights(5, 3)
    gram = V.T @ V
    diag = block_spectrum("one_hidden", "mse", "hidden", "diag", 5, 0.4, V=V, neurons=(2, 1))
    off = block_spectrum("one_hidden", "mse", "hidden", "offdiag", 5, 0.4, width=3, V=V, neurons=(2, 1))
    assert diag.free_moments(1)[0] == pytest.approx(gram[2, 2])
    assert off.free_moments(1)[0] == pytest.approx(gram[2, 1] / 2)
    assert (diag.atom, off.atom) == pytest.approx((0, 1 - 0.25 / 0.4))
    assert block_spectrum("linear", "mse", "linear", "diag", None, 0.4).free_moments(1)[0] == 2
    hidden = block_spectrum("one_hidden", "ce", "hidden", "diag", None, 0.4, width=8)
    assert hidden.moments(2) == pytest.approx([1 / 16, 1 / 64 * (1 / 4 + 0.4 / 2)])  # Theorem 2
    large = block_spectrum("linear", "ce", "linear", "offdiag", None, 0.5)
    assert large.moments(2) == pytest.approx([1, 1 + 0.5 * math.e**2])  # Theorem 1
    finite = block_spectrum("one_hidden", "ce", "hidden", "offdiag", 5, 0.4, V=V, neurons=(2, 1))
    assert finite.free_moments(2) == pytest.approx(Spectrum(hidden_ce_offdiag(V, 2, 1), 0.4).free_moments(2))


def test_grid_for_drawing():
    for law in (linear_ce_diag(10), lognormal(2.0), hidden_ce_offdiag(output_weights(10, 4))):
        spectrum = Spectrum(law, 0.5)
        x, density = spectrum.grid(300)
        assert (np.diff(x) > 0).all()
        assert np.isfinite(density).all()
        assert integrate.trapezoid(density, x) == pytest.approx(1 - spectrum.atom, abs=0.02)


def test_a_spectrum_is_quick():
    for law in (linear_ce_diag, linear_ce_offdiag):
        log_ratio.cache_clear()
        log_excess.cache_clear()
        start = time.process_time()  # what other processes do does not count
        spectrum = Spectrum(law(1000), 0.5)
        spectrum.moments()
        spectrum.cdf(spectrum.grid()[0])
        assert time.process_time() - start < 3  # it takes 0.4 s


@pytest.mark.parametrize(
    ("call", "name", "advice"),
    [
        (lambda: Spectrum(bernoulli(1.0, 1.0), 0.0), "aspect_ratio", "a positive number"),
        (lambda: Spectrum(bernoulli(1.0, 1.0), math.nan), "aspect_ratio", "a positive number"),
        (lambda: Spectrum("mp", 0.5), "law", "weight_laws"),
        (lambda: Spectrum(bernoulli(1.0, 1.0), 0.5).stieltjes([1j, 1.0]), "z", "density"),
        (lambda: Spectrum(bernoulli(1.0, 1.0), 0.5).density(math.nan), "x", "real points"),
        (lambda: Spectrum(bernoulli(1.0, 1.0), 0.5).cdf("a"), "x", "real numbers"),
        (lambda: Spectrum(bernoulli(1.0, 1.0), 0.5).density(np.ma.ones(2)), "x", "x.filled(VALUE)"),
        (lambda: discrete(np.ma.ones(1), [1.0]), "values", "values.filled(VALUE)"),
        (lambda: Spectrum(bernoulli(1.0, 1.0), 0.5).moments(5), "n", "1 to 4"),
        (lambda: Spectrum(bernoulli(1.0, 1.0), 0.5).grid(1), "n", "2 or more"),
        (lambda: discrete([1.0, 2.0], [0.5, 0.6]), "probabilities", "sum 1"),
        (lambda: discrete([1.0, 2.0], [1.5, -0.5]), "probabilities", "from 0 to 1"),
        (lambda: discrete([1.0, 2.0], [1.0]), "values, probabilities", "same length"),
        (lambda: discrete([1.0, math.inf], [0.5, 0.5]), "values", "finite"),
        (lambda: bernoulli(1.0, 2.0), "probability", "from 0 to 1"),
        (lambda: lognormal(-1.0), "log_variance", "a positive number"),
        (lambda: lognormal(30.0), "log_variance", "0.01 to 20"),
        (lambda: lognormal(1.0, math.inf), "scale", "a positive number"),
        (lambda: linear_ce_diag(0), "n_classes", "1 or more"),
        (lambda: linear_ce_diag(2.5), "n_classes", "whole number"),
        (lambda: linear_ce_diag([3]), "n_classes", "whole number"),
        (lambda: linear_ce_offdiag(1), "n_classes", "2 or more"),
        (lambda: linear_ce_diag(3, 0.0), "gain", "from 0.2 to 25"),
        (lambda: hidden_ce_diag(np.ones(3)), "V", "(C, m)"),
        (lambda: hidden_ce_diag([[math.nan]]), "V", "finite"),
        (lambda: hidden_ce_diag(np.ma.ones((3, 2))), "V", "V.filled(VALUE)"),
        (lambda: hidden_ce_diag(np.ones((3, 2), complex)), "V", "V.real"),
        (lambda: hidden_ce_diag([["1", "2"]]), "V", "real numbers"),
        (lambda: hidden_ce_diag(np.full((3, 2), 1e-60)), "V", "in other units"),
        (lambda: hidden_ce_diag(np.full((3, 2), 1e60)), "V", "in other units"),
        (lambda: hidden_ce_diag(np.ones((2, 30_000))), "n_classes, width", "at most 4096 neurons"),
        (lambda: hidden_ce_diag(np.ones((3, 2)), 2), "i, j", "0 to 1"),
        (lambda: hidden_ce_offdiag(np.ones((3, 2)), 1, 1), "i, j", "different"),
        (lambda: block_spectrum("linear", "ce", "output", "diag", 3, 0.5), "layer", "'linear' or 'hidden'"),
        (lambda: block_spectrum("linear", "ce", "hidden", "diag", 3, 0.5), "layer", "'linear'"),
        (lambda: block_spectrum("linear", "ce", "linear", "both", 3, 0.5), "block", "offdiag"),
        (lambda: block_spectrum("linear", "mse", "linear", "offdiag", 1, 0.5), "n_classes", "2 or more"),
        (lambda: block_spectrum("linear", "mse", "linear", "diag", 3, 0.5, gain=2.0), "gain", "leave it out"),
        (lambda: block_spectrum("linear", "ce", "linear", "diag", 3, 0.5, width=2), "width, V", "leave them out"),
        (lambda: block_spectrum("one_hidden", "ce", "hidden", "diag", 3, 0.5, width=2), "V", "(C, m)"),
        (lambda: block_spectrum("one_hidden", "ce", "hidden", "diag", None, 0.5), "width", "whole number"),
        (lambda: block_spectrum("one_hidden", "ce", "hidden", "offdiag", None, 0.5, width=2), "n_classes", "give V"),
        (
            lambda: block_spectrum("one_hidden", "ce", "hidden", "diag", 4, 0.5, V=np.ones((3, 2))),
            "n_classes",
            "give 3",
        ),
        (
            lambda: block_spectrum("one_hidden", "ce", "hidden", "offdiag", 3, 0.5, V=np.ones((3, 2)), neurons=(1, 1)),
            "neurons",
            "different",
        ),
    ],
)
def test_bad_input(call, name, advice):
    with pytest.raises(InputError) as error:
        call()
    message = str(error.value)
    assert message.startswith(f"{name}: ")
    assert advice in message
    assert "\n" not in message


def test_weight_laws_are_exported():
    assert weight_laws.lognormal is lognormal
