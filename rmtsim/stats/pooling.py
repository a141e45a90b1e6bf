"""Estimates from draws that have different numbers of last layers: weights for them that do not bias.

A draw with R last layers is a mean over them. Its variance is proportional to 1 − θ + θ/R, where θ is the share of the
variance that comes from V, so its weight is the inverse. θ is found from the draws themselves; were it found from the
same draws that it weighs, it would be low where these are, since mean and variance of norms rise together. So the draws
of each number are parted into two halves, in the order of seed and draw, and each half is weighed by what the other
says. Both then have the right expectation, whatever the law of the draws.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rmtsim.stats.estimates import Estimate, effective_draws, known_error, mean_estimate, ratio_estimate
from rmtsim.stats.powers_of_two import of_order_one

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

#: Values of θ that are tried.
_SHARES = np.linspace(0.0, 1.0, 65)

#: θ where draws do not tell.
_UNKNOWN = 0.5


def pooled_mean(x: Values, weights_per_draw: Numbers, *, fixed: bool = False) -> Estimate:
    """Mean of draws x (n,) with its standard error; `mean_estimate` where all have as many last layers.

    Parameters
    ----------
    x, weights_per_draw
        The draws, and how many last layers each is a mean over, (n,), in the order of seed and draw.
    fixed
        As in `mean_estimate`.
    """
    if len(np.unique(weights_per_draw)) < 2:
        return mean_estimate(x, fixed=fixed)
    if not np.all(np.isfinite(x)):
        return Estimate(math.nan, math.nan)
    x, power = of_order_one(x)
    shares = _weights(x, weights_per_draw)
    value, std_error = float(shares @ x), math.sqrt(_variance(x, shares, weights_per_draw))
    error = float(known_error(np.array(value), np.array(std_error), len(x), fixed))
    return Estimate(*(math.ldexp(found, int(power)) for found in (value, error)))


def pooled_ratio(numerator: Values, denominator: Values, weights_per_draw: Numbers, *, fixed: bool = False) -> Estimate:
    """Ratio of the means of paired draws; `ratio_estimate` where all have as many last layers.

    Both means have the weights that suit the ratio. Its bias, to first order, is taken out, and its standard error is
    that of its linearisation.
    """
    n = len(numerator)
    if len(np.unique(weights_per_draw)) < 2:
        return ratio_estimate(numerator, denominator, fixed=fixed)
    if not np.all(np.isfinite(numerator + denominator)) or not np.any(denominator):
        return Estimate(math.nan, math.nan)
    (b, above), (a, below) = of_order_one(numerator), of_order_one(denominator)
    shares = _weights(_deviations(b, a, weights_per_draw), weights_per_draw)
    mean_b, mean_a = float(shares @ b), float(shares @ a)
    if mean_a == 0:
        return Estimate(math.nan, math.nan)
    ratio = mean_b / mean_a
    residuals = (b - ratio * a) / mean_a
    variance = _variance(residuals, shares, weights_per_draw)
    sums = _variance(residuals + a / mean_a, shares, weights_per_draw)
    covariance = (sums - variance - _variance(a / mean_a, shares, weights_per_draw)) / 2
    error = float(known_error(np.array(ratio), np.array(math.sqrt(variance)), n, fixed))
    return Estimate(*(math.ldexp(x, int(above - below)) for x in (ratio + covariance, error)))


def relative_deviations(x: Values, weights_per_draw: Numbers) -> Values:
    """Deviations of draws x (n,) from `pooled_mean`, over it: what makes its relative standard error.

    Each is times the weight of its draw over the mean weight. They are 0 where the mean is. Where all draws have as
    many last layers, x may be (…, n).
    """
    x, _ = of_order_one(x)
    shares = _shares(x, weights_per_draw)
    mean = _weighed(x, shares)[..., None]
    some = mean != 0
    return np.where(some, x.shape[-1] * shares * (x - mean) / np.where(some, np.abs(mean), 1.0), 0.0)


def relative_deviations_of_ratio(numerator: Values, denominator: Values, weights_per_draw: Numbers) -> Values:
    """`relative_deviations` for `pooled_ratio`: those of its linearisation, b/mean(b) − a/mean(a)."""
    known = np.all(np.isfinite(numerator + denominator), axis=-1)[..., None]
    (b, _), (a, _) = of_order_one(numerator), of_order_one(denominator)
    alike = len(np.unique(weights_per_draw)) < 2
    shares = _shares(b if alike else _deviations(b, a, weights_per_draw), weights_per_draw)
    mean_b, mean_a = (_weighed(x, shares)[..., None] for x in (b, a))
    some = (mean_a != 0) & (mean_b != 0)
    mean_b, mean_a = (np.where(some, mean, 1.0) for mean in (mean_b, mean_a))
    found = b.shape[-1] * shares * (b / mean_b - a / mean_a) * np.sign(mean_b / mean_a)
    return np.where(known, np.where(some, found, 0.0), math.nan)


def pooled_effective_draws(x: Values, std_errors: Values, weights_per_draw: Numbers) -> float:
    """Return `effective_draws`, added up over the numbers of last layers."""
    groups = [weights_per_draw == R for R in np.unique(weights_per_draw)]
    return float(sum(effective_draws(x[group], std_errors[group]) for group in groups))


def _weighed(x: Values, shares: Values) -> Values:
    """Return Σ shares·x over the draws of x (…, n)."""
    return np.asarray((x[..., None, :] @ shares[:, None])[..., 0, 0])


def _shares(x: Values, weights_per_draw: Numbers) -> Values:
    """Return `_weights`, or equal ones where all draws have as many last layers, or x is not known."""
    n = len(weights_per_draw)
    if len(np.unique(weights_per_draw)) < 2 or not np.all(np.isfinite(x)):
        return np.full(n, 1 / n)
    return _weights(x, weights_per_draw)


def _weights(x: Values, weights_per_draw: Numbers) -> Values:
    """Return the weight of each draw, (n,), of sum 1; those of a half depend on x in the other half alone.

    Columns of x, if it has two, are the values as seen from the first and from the second half.
    """
    second = _second_halves(weights_per_draw)
    seen = x if x.ndim == 2 else np.stack([x, x], axis=1)
    shares = np.zeros(len(seen))
    for k, (half, other) in enumerate(((~second, second), (second, ~second))):
        if np.any(half):
            theta = _share_within(seen[other, 1 - k], weights_per_draw[other])
            precision = 1 / (1 - theta + theta / weights_per_draw[half])
            shares[half] = np.mean(half) * precision / np.sum(precision)
    return shares


def _second_halves(weights_per_draw: Numbers) -> npt.NDArray[np.bool_]:
    """Return which draws belong to the second half: every other draw of each number of last layers."""
    second = np.zeros(len(weights_per_draw), dtype=bool)
    for R in np.unique(weights_per_draw):
        second[np.flatnonzero(weights_per_draw == R)[1::2]] = True
    return second


def _deviations(b: Values, a: Values, weights_per_draw: Numbers) -> Values:
    """Return b/mean(b) − a/mean(a) of draws, with the means of the first and of the second half, (n, 2)."""
    second = _second_halves(weights_per_draw)
    columns = []
    for half in (~second, second):
        means = [float(np.mean(x[half])) if np.any(half) else 0.0 for x in (b, a)]
        columns.append(b / (means[0] or 1.0) - a / (means[1] or 1.0))
    return np.stack(columns, axis=1)


def _share_within(x: Values, weights_per_draw: Numbers) -> float:
    """Return the share θ of the variance that comes from V: the likeliest, as if draws were normal."""
    groups = [x[weights_per_draw == R] for R in np.unique(weights_per_draw)]
    free = np.array([len(group) - 1 for group in groups])
    if np.count_nonzero(free) < 2:
        return _UNKNOWN
    squares = np.array([np.sum((group - np.mean(group)) ** 2) for group in groups])
    precision = 1 / (1 - _SHARES[:, None] + _SHARES[:, None] / np.unique(weights_per_draw))
    total = precision @ squares
    if not np.all(total > 0):
        return _UNKNOWN
    return float(_SHARES[np.argmin(np.sum(free) * np.log(total) - np.log(precision) @ free)])


def _variance(x: Values, shares: Values, weights_per_draw: Numbers) -> float:
    """Return the variance of Σ shares·x, NaN where the draws do not determine it.

    That of a single draw among others is what the law of all says.
    """
    theta, groups = _share_within(x, weights_per_draw), np.unique(weights_per_draw)
    of_groups = [x[weights_per_draw == R] for R in groups]
    free = sum(len(group) - 1 for group in of_groups)
    if not free:
        return math.nan
    scale = 1 - theta + theta / groups
    pooled = sum(np.sum((group - np.mean(group)) ** 2) / of_one for group, of_one in zip(of_groups, scale, strict=True))
    spreads = [
        np.var(group, ddof=1) if len(group) > 1 else pooled / free * of_one
        for group, of_one in zip(of_groups, scale, strict=True)
    ]
    squares = [np.sum(shares[weights_per_draw == R] ** 2) for R in groups]
    return float(np.dot(squares, spreads))
