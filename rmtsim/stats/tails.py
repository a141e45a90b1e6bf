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

from rmtsim.stats.powers_of_two import of_order_one

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


def carriers(deviations: Values) -> Values:
    """Return the number of draws that carry the spread: (Σ e²)²/Σ e⁴ of the deviations e (…, n) from the mean.

    It is n where all deviations are equally large, n over the kurtosis in general (n/3 for a normal distribution), and
    1 where one draw has it all. Its inverse is about the squared relative standard error of the variance. With weights
    e² it is the effective sample size of Kish, *Survey Sampling* (1965), section 11.7.

    Examples
    --------
    >>> import numpy as np
    >>> carriers(np.array([[1.0, -1.0, 1.0, -1.0], [1e3, 1.0, -1.0, 1.0]])).round(2).tolist()
    [4.0, 1.0]
    """
    squares = of_order_one(np.asarray(deviations, dtype=float))[0] ** 2
    fourth = np.sum(squares**2, axis=-1)
    return np.where(fourth != 0, np.sum(squares, axis=-1) ** 2 / np.where(fourth != 0, fourth, 1.0), math.inf)


def needed_carriers(draws: Values | int) -> Values:
    """Return the number of draws that must carry the spread of ``draws`` draws, for their mean to be trusted."""
    return np.minimum(CARRIERS_PER_ROOT * np.sqrt(draws), MOST_CARRIERS)


def is_heavy(draws: Values | int, relative_spread: Values, carrying: Values) -> npt.NDArray[np.bool_]:
    """Whether the tail of draws is too heavy, by their number, standard deviation over mean, and `carriers`.

    The arrays are broadcast.
    """
    return np.asarray((relative_spread > WIDE) & ~(carrying >= needed_carriers(draws)))


def heavy_tail(deviations: Values) -> npt.NDArray[np.bool_]:
    """Whether draws have too heavy a tail for their mean, or the ratio of two means, to be trusted at their number.

    They have where they spread widely (standard deviation over |mean| above `WIDE`) and few of them carry the spread:
    `carriers` below 0.6 √n, and below 36. Draws whose tail has not shown at all pass: no function of draws sees what is
    not in them.

    Parameters
    ----------
    deviations
        Of the draws from their mean, over the mean, (…, n). For a ratio of means b̄/ā those of its linearisation,
        b/b̄ − a/ā. With unequal weights, each times its weight over the mean weight.

    Source
    ------
    ``python -m benchmarks --only stopping`` shows what the thresholds tell apart, beside the Pareto k̂ of Vehtari,
    Simpson, Gelman, Yao & Gabry (JMLR 25, 2024); docs/explanation/stopping.md says more.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> [bool(heavy_tail(x / x.mean() - 1)) for x in (rng.exponential(size=400), 1 / rng.random(400))]
    [False, True]
    """
    deviations = np.asarray(deviations, dtype=float)
    n, known = deviations.shape[-1], np.all(np.isfinite(deviations), axis=-1)
    if n < 2:
        return np.zeros_like(known)
    with np.errstate(invalid="ignore"):
        spread = np.sqrt(np.sum(deviations**2, axis=-1) / (n - 1))
        return np.asarray(known & is_heavy(n, spread, carriers(deviations)))
