"""Estimates from independent draws: a mean or a ratio of means, with its standard error."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

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


def known_error(value: float, std_error: float, n: int, *, fixed: bool = False) -> float:
    """Return the standard error of an estimate from n draws, or NaN where they do not determine it.

    Draws that are all equal, to rounding, say nothing of the spread of further ones: two zeros may be followed by a 48.
    A quantity that the model has ``fixed``, see `rmtsim.model.fixed_values`, has the standard error 0.
    """
    equal = std_error * math.sqrt(n) <= _ROUNDING * abs(value)
    return math.nan if equal and not fixed else std_error


def known_errors(value: Values, std_error: Values, n: Values, fixed: npt.NDArray[np.bool_]) -> Values:
    """Return `known_error` of many estimates; the arrays are broadcast."""
    equal = std_error * np.sqrt(n) <= _ROUNDING * np.abs(value)
    return np.where(equal & ~fixed, math.nan, std_error)


def mean_estimate(x: Values, *, fixed: bool = False) -> Estimate:
    """Mean of draws x (n,); its standard error needs n ≥ 2 that are not all equal, unless the quantity is fixed."""
    n = len(x)
    x, power = _of_order_one(x)
    value = float(np.mean(x)) if n else math.nan
    std_error = float(np.std(x, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(_times_power(value, power), _times_power(known_error(value, std_error, n, fixed=fixed), power))


def skewness(deviations: Values) -> float:
    """Return the sample skewness of draws from their deviations from the mean (n,): mean e³/(mean e²)^1.5.

    0 where there is no spread; NaN where one is not known. With draws of unequal weights, each deviation times its
    weight over the mean weight, it is √n times the skewness of the weighted mean.

    Examples
    --------
    >>> round(skewness(np.array([-1.0, -1.0, 2.0])), 3)
    0.707
    """
    e, _ = _of_order_one(np.asarray(deviations, dtype=np.float64))
    squares = float(np.mean(e**2)) if len(e) else math.nan
    return float(np.mean(e**3)) / squares**1.5 if squares else 0.0


def effective_draws(x: Values, std_errors: Values) -> float:
    """Return the number of draws without errors of their own whose mean would be as precise as that of x (n,).

    With ``std_errors`` σ_k of the single values, n (1 − mean σ²/var x): the share of the variance that is the draws'.
    """
    x, power = _of_order_one(x)
    std_errors = np.ldexp(std_errors, -power)
    spread = float(np.var(x, ddof=1)) if len(x) > 1 else 0.0
    own = float(np.mean(std_errors**2)) if len(x) else 0.0
    return len(x) * max(0.0, 1 - own / spread) if own and spread else float(len(x))


def ratio_estimate(numerator: Values, denominator: Values, *, fixed: bool = False) -> Estimate:
    """Ratio of the means of paired draws, with the delete-one jackknife's bias correction and standard error.

    The jackknife's replicates have a closed form, r_k = (Σa − a_k)/(Σb − b_k): O(n), nothing is resampled. The standard
    error is NaN where all of them are equal, unless the ratio is fixed; and where one draw has all of the denominator,
    for without it there is no ratio, which is then Σa/Σb. With one draw, or no denominator at all, both are NaN, and so
    is what float64 cannot hold.
    """
    n = len(numerator)
    if n < 2:
        return Estimate(math.nan, math.nan)
    (numerator, above), (denominator, below) = _of_order_one(numerator), _of_order_one(denominator)
    a, b = float(np.sum(numerator)), float(np.sum(denominator))
    if b == 0:
        return Estimate(math.nan, math.nan)
    others = b - denominator
    if np.any(np.abs(others) <= _ROUNDING * abs(b)):
        return Estimate(_times_power(a / b, above - below), math.nan)
    replicates = (a - numerator) / others
    value = n * a / b - (n - 1) * float(np.mean(replicates))
    std_error = math.sqrt((n - 1) / n * float(np.sum((replicates - np.mean(replicates)) ** 2)))
    found = value, known_error(value, std_error, n, fixed=fixed)
    return Estimate(*(_times_power(x, above - below) for x in found))


def _of_order_one(x: Values) -> tuple[Values, int]:
    """Return x over a power of two, and its exponent: squares then keep to the range of float64, and no digit changes.

    NaN in x is kept.
    """
    power = int(np.frexp(np.max(np.abs(x)))[1]) if len(x) else 0
    return np.asarray(np.ldexp(x, -power)), power


def _times_power(value: float, power: int) -> float:
    """Return 2^power times value; NaN where float64 cannot hold it."""
    with np.errstate(over="ignore", under="ignore"):
        found = float(np.ldexp(value, power))
    return found if math.isfinite(found) and (found or not value) else math.nan
