"""Estimates from independent draws: a mean or a ratio of means, with its standard error."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rmtsim.stats.powers_of_two import of_order_one, times_power

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Draws that differ by less than this, relatively, differ by rounding.
_ROUNDING = 1e-12


class Estimate(NamedTuple):
    """A Monte Carlo estimate. NaN stands for what is not known from the draws."""

    value: float
    std_error: float

    @property
    def rse(self) -> float:
        """Relative standard error; 0 where the standard error is 0, infinite where it is not known."""
        if self.std_error == 0:
            return 0.0
        return self.std_error / abs(self.value) if self.std_error > 0 and self.value != 0 else math.inf


class Estimates(NamedTuple):
    """`Estimate` of many quantities."""

    value: Values
    std_error: Values


def known_error(value: Values, std_error: Values, n: Values | int, fixed: Flags | bool = False) -> Values:
    """Return the standard errors of estimates from n draws, or NaN where these do not determine them.

    Draws that are all equal, to rounding, say nothing of the spread of further ones: two zeros may be followed by a 48.
    A quantity that the model has ``fixed``, see `rmtsim.model.fixed_values`, has the standard error 0. The arrays are
    broadcast.
    """
    equal = std_error * np.sqrt(n) <= _ROUNDING * np.abs(value)
    return np.where(equal & ~np.asarray(fixed, dtype=bool), math.nan, std_error)


def mean_estimate(x: Values, *, fixed: bool = False) -> Estimate:
    """Mean of draws x (n,); its standard error needs n ≥ 2 that are not all equal, unless the quantity is fixed."""
    return _only(mean_estimates(x[None], fixed))


def mean_estimates(x: Values, fixed: Flags | bool = False) -> Estimates:
    """Return `mean_estimate` of each row of x (k, n); ``fixed`` is of all, or of each (k,)."""
    n = x.shape[1]
    x, power = of_order_one(x)
    unknown = np.full(len(x), math.nan)
    value = np.mean(x, axis=1) if n else unknown
    std_error = np.std(x, axis=1, ddof=1) / math.sqrt(n) if n > 1 else unknown
    return Estimates(times_power(value, power), times_power(known_error(value, std_error, n, fixed), power))


def skewness(deviations: Values) -> Values:
    """Return the sample skewness of draws from their deviations from the mean (…, n): mean e³/(mean e²)^1.5.

    0 where there is no spread; NaN where one is not known. With draws of unequal weights, each deviation times its
    weight over the mean weight, it is √n times the skewness of the weighted mean.

    Examples
    --------
    >>> round(float(skewness(np.array([-1.0, -1.0, 2.0]))), 3)
    0.707
    """
    if not deviations.shape[-1]:
        return np.full(deviations.shape[:-1], math.nan)
    e, _ = of_order_one(deviations)
    squares = np.mean(e**2, axis=-1)
    return np.where(squares != 0, np.mean(e**3, axis=-1) / np.where(squares != 0, squares, 1.0) ** 1.5, 0.0)


def effective_draws(x: Values, std_errors: Values) -> Values:
    """Return the number of draws without errors of their own whose mean would be as precise as that of x (…, n).

    With ``std_errors`` σ_k of the single values, n (1 − mean σ²/var x): the share of the variance that is the draws'.
    """
    n = x.shape[-1]
    if n < 2:
        return np.full(x.shape[:-1], float(n))
    x, power = of_order_one(x)
    spread, own = np.var(x, axis=-1, ddof=1), np.mean(np.ldexp(std_errors, -power[..., None]) ** 2, axis=-1)
    both = (own != 0) & (spread != 0)
    left = 1 - own / np.where(both, spread, 1.0)
    return np.where(both, n * np.where(left > 0, left, 0.0), float(n))


def ratio_estimate(numerator: Values, denominator: Values, *, fixed: bool = False) -> Estimate:
    """Ratio of the means of paired draws, with the delete-one jackknife's bias correction and standard error.

    The jackknife's replicates have a closed form, r_k = (Σa − a_k)/(Σb − b_k): O(n), nothing is resampled. The standard
    error is NaN where all of them are equal, unless the ratio is fixed; and where one draw has all of the denominator,
    for without it there is no ratio, which is then Σa/Σb. With one draw, or no denominator at all, both are NaN, and so
    is what float64 cannot hold.
    """
    return _only(ratio_estimates(numerator[None], denominator[None], fixed))


def ratio_estimates(numerator: Values, denominator: Values, fixed: Flags | bool = False) -> Estimates:
    """Return `ratio_estimate` of each row of (k, n); ``fixed`` is of all, or of each (k,)."""
    count, n = numerator.shape
    if n < 2:
        return Estimates(np.full(count, math.nan), np.full(count, math.nan))
    (numerator, above), (denominator, below) = of_order_one(numerator), of_order_one(denominator)
    a, b = np.sum(numerator, axis=1), np.sum(denominator, axis=1)
    others = b[:, None] - denominator
    one_has_all = np.any(np.abs(others) <= _ROUNDING * np.abs(b)[:, None], axis=1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        replicates = (a[:, None] - numerator) / others
        mean = np.mean(replicates, axis=1)
        value = np.where(one_has_all, a / b, n * a / b - (n - 1) * mean)
        std_error = np.sqrt((n - 1) / n * np.sum((replicates - mean[:, None]) ** 2, axis=1))
        std_error = np.where(one_has_all, math.nan, known_error(value, std_error, n, fixed))
    found = (np.where(b == 0, math.nan, x) for x in (value, std_error))
    return Estimates(*(times_power(x, above - below) for x in found))


def _only(found: Estimates) -> Estimate:
    """Return the one estimate that is there."""
    return Estimate(*(float(column[0]) for column in found))
