"""Whether draws have too heavy a tail for their mean, and its standard error, to be trusted.

Where a few draws carry most of the spread, the next one may carry more than all so far: the mean is then too low most
of the time, its standard error with it, and neither shows how far off they are. The state of points, summaries, fits
and figures say so. Stopping does not ask: to go on until a tail looks light would choose samples whose large draws are
missing.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

#: Draws with a smaller standard deviation over mean cannot have their mean far off, whatever their tail.
WIDE = 2 / 3

#: Draws that must at least carry the spread: with so many, the standard error is itself known to ½/√36 = 8 %.
MOST_CARRIERS = 36.0

#: Of few draws, so many times their square root. A Pareto tail of index k from ¼ to ½ has carriers that grow as
#: n^(2 − 4k), so those of a tail heavier than k = 3/8 stay behind.
CARRIERS_PER_ROOT = 0.6

#: What is said of a mean that is not trusted; of which quantity, and at how many draws.
TOO_HEAVY = "the tail of {quantity} is too heavy for the mean to be trusted at {draws}"

#: The same of points whose quantity has been named.
TOO_HEAVY_THERE = "the tail is too heavy for the mean to be trusted"


def carriers(deviations: Values) -> float:
    """Return the number of draws that carry the spread: (Σ e²)²/Σ e⁴ of the deviations e (n,) from the mean.

    It is n where all deviations are equally large, n over the kurtosis in general (n/3 for a normal distribution), and
    1 where one draw has it all. Its inverse is about the squared relative standard error of the variance. With weights
    e² it is the effective sample size of Kish, *Survey Sampling* (1965), section 11.7.

    Examples
    --------
    >>> import numpy as np
    >>> carriers(np.array([1.0, -1.0, 1.0, -1.0])), round(carriers(np.array([1e3, 1.0, -1.0, 1.0])), 2)
    (4.0, 1.0)
    """
    squares = _of_order_one(np.asarray(deviations, dtype=float)) ** 2
    fourth = float(np.sum(squares**2))
    return float(np.sum(squares)) ** 2 / fourth if fourth else math.inf


def needed_carriers(draws: int) -> float:
    """Return the number of draws that must carry the spread of ``draws`` draws, for their mean to be trusted."""
    return min(CARRIERS_PER_ROOT * math.sqrt(draws), MOST_CARRIERS)


def is_heavy(draws: int, relative_spread: float, carrying: float) -> bool:
    """Whether the tail of draws is too heavy, by their number, standard deviation over mean, and `carriers`."""
    return relative_spread > WIDE and not carrying >= needed_carriers(draws)


def are_heavy(draws: Values, relative_spread: Values, carrying: Values) -> npt.NDArray[np.bool_]:
    """Return `is_heavy` of many samples; the arrays are broadcast."""
    needed = np.minimum(CARRIERS_PER_ROOT * np.sqrt(draws), MOST_CARRIERS)
    return np.asarray((relative_spread > WIDE) & ~(carrying >= needed))


def heavy_tail(deviations: Values) -> bool:
    """Whether draws have too heavy a tail for their mean, or the ratio of two means, to be trusted at their number.

    They have where they spread widely (standard deviation over |mean| above `WIDE`) and few of them carry the spread:
    `carriers` below 0.6 √n, and below 36. Draws whose tail has not shown at all pass: no function of draws sees what is
    not in them.

    Parameters
    ----------
    deviations
        Of the draws from their mean, over the mean, (n,). For a ratio of means b̄/ā those of its linearisation,
        b/b̄ − a/ā. With unequal weights, each times its weight over the mean weight.

    Source
    ------
    ``python -m benchmarks --only stopping`` shows what the thresholds tell apart, beside the Pareto k̂ of Vehtari,
    Simpson, Gelman, Yao & Gabry (JMLR 25, 2024); docs/explanation/stopping.md says more.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> [heavy_tail(x / x.mean() - 1) for x in (rng.exponential(size=400), 1 / rng.random(400))]
    [False, True]
    """
    deviations = np.asarray(deviations, dtype=float)
    n = len(deviations)
    if n < 2 or not np.all(np.isfinite(deviations)):
        return False
    return is_heavy(n, float(np.sqrt(np.sum(deviations**2) / (n - 1))), carriers(deviations))


def _of_order_one(x: Values) -> Values:
    """Return x over a power of two, so that its fourth powers keep to the range of float64."""
    return np.asarray(np.ldexp(x, -int(np.frexp(np.max(np.abs(x)))[1]))) if len(x) else x
