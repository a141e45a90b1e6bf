"""The limiting laws μ of the weights λ_n of Hessian blocks (1/N) Σ λ_n x_n x_nᵀ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from rmtsim.arrays.user_arrays import as_numbers, check_finite
from rmtsim.errors import InputError
from rmtsim.text.sizes import format_count
from rmtsim.theory.spectra.analytic_law import AnalyticLaw, LogTable
from rmtsim.theory.spectra.discrete_law import DiscreteLaw, merged
from rmtsim.theory.spectra.smoothing import smoothed
from rmtsim.theory.spectra.weight_density import log_excess, log_ratio

Array = NDArray[np.float64]
WeightLaw: TypeAlias = AnalyticLaw | DiscreteLaw

_GAINS = (0.2, 25.0)
_SEED = 20250504  # fixed: the same question has the same answer
_POINTS = 2**16
_WORK = 6.6e7  # softmax probabilities allowed for one law: about 1 s
_CHUNK = 2**20

#: Between these the largest output weight lies: eighth powers, in the fourth moments, then stay in float64.
_SIZES = (1e-35, 1e35)

#: Neurons up to which they, and not products with V, take the time; most neurons; and most entries of an array.
_FEW_NEURONS, _MOST_NEURONS, _MOST_ENTRIES = 64, 4096, 10**8


def discrete(values: ArrayLike, probabilities: ArrayLike) -> DiscreteLaw:
    """Return the law with ``probabilities`` at ``values``, both (n,), for (37)."""
    x, p = as_numbers(values, "values"), as_numbers(probabilities, "probabilities")
    if x.ndim != 1 or x.shape != p.shape or len(x) == 0:
        raise InputError(
            f"values, probabilities: shapes {x.shape} and {p.shape} are not valid; give two of the same length (n,)"
        )
    if not np.isfinite(x).all():
        raise InputError("values: they hold NaN or infinity; give finite numbers")
    if not (p >= 0).all() or not math.isclose(p.sum(), 1.0, rel_tol=1e-9):
        raise InputError(
            f"probabilities: they are not a probability law (least {p.min():.3g}, sum {p.sum():.9g}); "
            "give numbers from 0 to 1 of sum 1"
        )
    return merged(x, p / p.sum())


def bernoulli(scale: float, probability: float) -> DiscreteLaw:
    """λ = scale · Bernoulli(probability): a Marchenko–Pastur law scaled, (97) with probability 1/2 or 1/4."""
    _number("scale", scale, "a finite number")
    if not _number("probability", probability, "a number from 0 to 1") or not 0 <= probability <= 1:
        raise InputError(f"probability: {probability!r} is not valid; give a number from 0 to 1")
    return discrete([scale, 0.0], [probability, 1 - probability])


def lognormal(log_variance: float, scale: float = 1.0) -> AnalyticLaw:
    """λ = scale · exp(Z − log_variance/2), Z ~ N(0, log_variance): E λ^k = scale^k e^{k(k−1)·log_variance/2}.

    As C → ∞ of linear CE with logit variance v: C λ_ii has log-variance v, C² λ_ij has 2v, both with scale 1.
    """
    for name, value in (("log_variance", log_variance), ("scale", scale)):
        if not _number(name, value, "a positive number") or value <= 0:
            raise InputError(f"{name}: {value!r} is not valid; give a positive number")
    if not 0.01 <= log_variance <= 20:
        raise InputError(f"log_variance: {log_variance!r} is out of range; give one from 0.01 to 20")
    sigma = math.sqrt(log_variance)
    step = min(sigma, 2.0) / 8
    mean = math.log(scale) - log_variance / 2
    first = math.floor((mean - 9 * sigma) / step)
    y = step * np.arange(first, math.ceil((mean + 4 * log_variance + 9 * sigma) / step) + 1)
    density = np.exp(-((y - mean) ** 2) / (2 * log_variance))
    table = LogTable.where(step, first, density, density > 0)
    return AnalyticLaw(table, np.exp, lambda y: (np.exp(y), np.exp(y)), lambda u: [np.log(u)], math.inf)


def linear_ce_diag(n_classes: int, gain: float = 1.0) -> WeightLaw:
    """λ = p₁(1 − p₁), p = softmax(Z), Z ~ N(0, gain · I_C): diagonal blocks of linear CE, (55).

    In the log-odds y of p₁, λ = 1/(2 + 2 cosh y). At C = 1, λ = 0.
    """
    _classes(n_classes, gain)
    if n_classes == 1:
        return bernoulli(0.0, 1.0)

    def value(y: Array) -> Array:
        tail = np.exp(-np.abs(y))
        result: Array = tail / (1 + tail) ** 2
        return result

    def slopes(y: NDArray[np.complex128]) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        small = np.exp(-np.where(y.real < 0, -y, y))
        rise, square = np.where(y.real < 0, -1.0, 1.0) * (1 - small) / (1 + small), small / (1 + small) ** 2
        return -rise * square, square * (1 - 6 * square)

    def preimages(u: NDArray[np.complex128]) -> list[NDArray[np.complex128]]:
        y = np.arccosh(1 / (2 * u) - 1)
        return [y, -y]

    return AnalyticLaw(log_ratio(int(n_classes) - 1, float(gain), float(gain)), value, slopes, preimages, 0.25)


def linear_ce_offdiag(n_classes: int, gain: float = 1.0) -> WeightLaw:
    """λ = p₁p₂, p = softmax(Z), Z ~ N(0, gain · I_C): off-diagonal blocks of linear CE without their sign, (56)."""
    _classes(n_classes, gain)
    if n_classes == 1:
        raise InputError("n_classes: with 1 class there is no off-diagonal block; give 2 or more")
    if n_classes == 2:
        return linear_ce_diag(2, gain)  # p₂ = 1 − p₁

    def slopes(y: NDArray[np.complex128]) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        power = np.exp(y)
        return -2 * power / (2 + power) ** 3, 2 * power * (2 * power - 2) / (2 + power) ** 4

    return AnalyticLaw(
        log_excess(int(n_classes), float(gain)),
        lambda y: (2 + np.exp(y)) ** -2.0,
        slopes,
        lambda u: [np.log(u**-0.5 - 2), np.log(-(u**-0.5) - 2)],
        0.25,
    )


def hidden_ce_diag(V: ArrayLike, i: int = 0, gain: float = 1.0) -> WeightLaw:
    """λ_ii = Var_p(v_i) 1(g_i > 0), p = softmax(V relu(g)), g ~ N(0, gain · I_m), V (C, m) given: (81).

    Sampled at 2¹⁶ quasi-random g (fewer where C > 1000), with a fixed seed, and smoothed: see ``smoothing.smoothed``.
    P(λ ≠ 0) = 1/2 is exact; the first four moments are those of the sample, within 1e−3 of their expectations for a few
    hundred classes. The fewer points of many classes miss rare large λ, so moments of higher orders come out too small.
    """
    return _hidden_ce(V, i, i, gain)


def hidden_ce_offdiag(V: ArrayLike, i: int = 0, j: int = 1, gain: float = 1.0) -> WeightLaw:
    """λ_ij = Cov_p(v_i, v_j) 1(g_i > 0) 1(g_j > 0), of either sign: (82).

    P(λ ≠ 0) = 1/4; otherwise see ``hidden_ce_diag``.
    """
    if i == j:
        raise InputError(f"i, j: neurons {i!r} and {j!r} are the same; give two different ones")
    return _hidden_ce(V, i, j, gain)


def check_output_weights(V: ArrayLike, neurons: Sequence[int]) -> Array:
    """Return V as an array (C, m); raise InputError unless it is finite and has the ``neurons``."""
    array = as_numbers(V, "V")
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"V: shape {array.shape} is not valid; give the (C, m) output weights")
    check_finite(array, "V")
    top = float(np.max(np.abs(array)))
    if top and not _SIZES[0] <= top <= _SIZES[1]:
        raise InputError(
            f"V: its entries go up to {top:.3g}, and moments of the law would leave float64; give them in other units"
        )
    for neuron in neurons:
        if isinstance(neuron, bool) or not isinstance(neuron, Integral) or not 0 <= neuron < array.shape[1]:
            raise InputError(f"i, j: neuron {neuron!r} is not valid; give one from 0 to {array.shape[1] - 1}")
    return array


def check_work(n_classes: int, width: int) -> None:
    """Raise InputError if there are too many classes and neurons for a law that depends on all output weights."""
    if width > _MOST_NEURONS or n_classes * width > _MOST_ENTRIES:
        raise InputError(
            f"n_classes, width: {format_count(n_classes)} classes and {format_count(width)} neurons are too many for a "
            f"spectrum that depends on V; give at most {format_count(_MOST_NEURONS)} neurons, and "
            f"{format_count(_MOST_ENTRIES)} entries of V in all"
        )


def _hidden_ce(V: ArrayLike, i: int, j: int, gain: float) -> WeightLaw:
    from scipy.stats import qmc  # it takes half a second to load, and few need it

    V = check_output_weights(V, (i, j))
    if not _number("gain", gain, "a positive number") or gain <= 0:
        raise InputError(f"gain: {gain!r} is not valid; give the variance of the hidden neurons' inputs, above 0")
    n_classes, width = V.shape
    check_work(n_classes, width)
    work = min(_WORK / n_classes, _WORK * _FEW_NEURONS / (n_classes * width), _MOST_ENTRIES / width)
    n_points = 2 ** max(8, min(int(math.log2(_POINTS)), int(math.log2(work))))
    uniform = qmc.Sobol(width, scramble=True, rng=np.random.default_rng(_SEED)).random(n_points)
    sigma = math.sqrt(gain) * ndtri(np.clip(uniform, 1e-16, 1 - 1e-16))
    on = sorted({i, j})
    sigma = np.maximum(sigma, 0, where=~np.isin(np.arange(width), on), out=sigma)
    sigma[:, on] = math.sqrt(gain) * -ndtri(np.clip(uniform[:, on], 1e-16, 1) / 2)  # given that they are on
    weights = np.empty(n_points)
    size = max(1, _CHUNK // n_classes)
    for start in range(0, n_points, size):
        part = slice(start, start + size)
        P = sigma[part] @ V.T
        P = np.exp(P - P.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        a = V[:, i] - (P @ V[:, i])[:, None]
        b = V[:, j] - (P @ V[:, j])[:, None]
        weights[part] = np.einsum("nc,nc,nc->n", P, a, b)
    return smoothed(weights, 0.5 ** len(on))


def _classes(n_classes: int, gain: float) -> None:
    if isinstance(n_classes, bool) or not isinstance(n_classes, Integral) or n_classes < 1:
        raise InputError(f"n_classes: {n_classes!r} is not valid; give a whole number, 1 or more")
    if n_classes > 10**9:
        raise InputError(f"n_classes: {n_classes!r} is too many; give at most 1000000000, or None for the limit")
    if not _number("gain", gain, "a positive number") or not _GAINS[0] <= gain <= _GAINS[1]:
        raise InputError(f"gain: {gain!r} is not valid; give a logit variance from {_GAINS[0]:g} to {_GAINS[1]:g}")


def _number(name: str, value: float, wanted: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InputError(f"{name}: {value!r} is not valid; give {wanted}")
    return True
