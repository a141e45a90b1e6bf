"""How a number is held against another: the one place of levels, of tolerances, of Student's t, and of thresholds.

Every verdict asks how many standard errors lie between two numbers. Where the standard error comes from few draws,
Student's t stands for the normal distribution. What has no standard error never agrees, and lies on no side of a
threshold: NaN is neither below nor above.

*Verdicts of a report on the theory*, the claims on decay rates and the values beside the theory: each line is a
`Deviation` with a probability, and `holm` accounts for their number, so that a report calls anything *differs* by
chance once in 1/``LEVEL`` times, whatever its length. What a line could have seen is `Deviation.detectable`.

*Verdicts of a figure* on a few numbers: `tolerance` says how many standard errors are allowed. It counts the *looks*,
the numbers among which one that is off would make the verdict (Bonferroni's correction).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.special import stdtr, stdtrit

#: Chance that a report calls anything *differs* which does not differ; and level of a test that stands alone.
LEVEL = 0.001

#: Chance with which a line of a report notices the smallest deviation that it is said to see.
POWER = 0.95

#: A claim is decided where it would have been noticed that the power of C is off by this much (those of the theorems
#: are whole numbers), and the constant by this factor.
DECISIVE_EXPONENT, DECISIVE_FACTOR = 0.5, 2.0

#: A claim as C → ∞ is tested where the theory at the largest C is this close to its own C → ∞ form. Heavy tails (few
#: hidden neurons) can delay that form beyond any C that a sweep reaches, and no draws can show it.
MAX_DISTANCE = 0.1

#: Standard errors that a true value may be off in a report of ``LOOKS`` numbers. A single number exceeds them by chance
#: once in 2000 times.
TOLERANCE = 3.5

#: Numbers that a report is taken to compare where none are counted, whatever its length. With these a single look has
#: two standard errors, the usual convention.
LOOKS = 98

#: A layer with less than this share of its squared norm outside the diagonal blocks is near-block-diagonal.
NEAR = 0.1

#: With more than this share outside, the diagonal blocks are the lesser part.
LOST = 0.5

#: More than this share of a squared norm is most of it; less than this is negligible.
MOST, NEGLIGIBLE = 0.5, 0.1

#: Largest difference of two powers of C at which the rate of one holds for the other.
RATE_MARGIN = 0.1

#: A loss is flat at the end of training where the last steps make less than this part of its fall.
FLAT = 0.01

#: `tolerance`, in the words of legends.
IN_WORDS = "2 standard errors, more for few draws (Student's t) and for several numbers (Bonferroni)"

#: The verdict where a standard error is not known.
NO_ERROR = "no verdict without a standard error"

_Numbers = TypeVar("_Numbers", float, pd.Series)


class Deviation(NamedTuple):
    """What a number is off from what it should be, with what is known of its error.

    Attributes
    ----------
    value
        The difference; NaN where it is not known.
    std_error
        Its standard error.
    dof
        Degrees of freedom of that: draws less 1. Infinite: it is known.
    """

    value: float = math.nan
    std_error: float = math.nan
    dof: float = math.inf

    @property
    def p_value(self) -> float:
        """Probability of a difference as large or larger, of either sign, where the truth is none; NaN if not known.

        Examples
        --------
        >>> round(Deviation(1.96, 1.0).p_value, 4), round(Deviation(-1.96, 1.0, dof=9).p_value, 4)
        (0.05, 0.0816)
        """
        if self.std_error == 0:
            return math.nan if math.isnan(self.value) else float(self.value == 0)
        return 2 * float(stdtr(self.dof, -abs(self.value) / self.std_error))

    def room(self, tests: int = 1) -> float:
        """Return the largest difference that is not significant at ``LEVEL`` over the number of tests."""
        return -float(stdtrit(self.dof, LEVEL / max(tests, 1) / 2)) * self.std_error

    def detectable(self, tests: int = 1) -> float:
        """Return the smallest true difference that is noticed in ``POWER`` of all cases, among so many tests.

        The most significant one of `holm` has to be beyond `room`, and so is a single difference among equal numbers.

        Examples
        --------
        >>> [round(Deviation(0.0, 1.0).detectable(tests), 2) for tests in (1, 100)]
        [4.94, 6.06]
        """
        return self.room(tests) - float(stdtrit(self.dof, 1 - POWER)) * self.std_error


def holm(p_values: Sequence[float] | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return probabilities that account for their number, by Holm's step-down rule.

    Those of them at or below ``LEVEL`` are significant: that any true hypothesis is among these has a probability of at
    most ``LEVEL``, however the tests depend on each other (Holm 1979, Scandinavian Journal of Statistics 6, 65). NaN is
    no test and stays so.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03, math.nan]).tolist()
    [0.03, 0.06, 0.06, nan]
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p)[: int(np.sum(~np.isnan(p)))]  # NaN come last
    steps = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * steps), 1.0)
    return adjusted


def tolerance(draws: int | None = None, looks: int = LOOKS) -> float:
    """Return how many standard errors a number may be off before a verdict says that it is.

    Parameters
    ----------
    draws
        Draws that the standard error was found from; Student's t with ``draws − 1`` degrees of freedom then stands for
        the normal distribution. None: the error is known, or from more draws than matter.
    looks
        Numbers among which the one that is off would make the verdict: each may be off by chance as often as the whole
        should, over ``looks``.

    Examples
    --------
    >>> [round(tolerance(*of), 2) for of in ((), (None, 1), (10, 1), (10, 6), (3, 6))]
    [3.5, 2.0, 2.32, 3.42, 11.41]
    """
    probability = float(stats.norm.sf(TOLERANCE)) * LOOKS / max(looks, 1)
    if draws is None:
        return float(stats.norm.isf(probability))
    return float(stats.t.isf(probability, max(draws - 1, 1)))


def z_score(value: float, expected: float, *std_errors: float) -> float:
    """Return value less expected over all standard errors in quadrature.

    NaN where a standard error is not known, or all are 0: two exact numbers are equal or not, and no z-score says so.
    """
    error = math.hypot(*std_errors)
    return (value - expected) / error if error else math.nan


def agrees(z: float, draws: int | None = None, looks: int = LOOKS) -> bool:
    """Whether a z-score is within the tolerance; one that is not known is not."""
    return bool(abs(z) <= tolerance(draws, looks))


def sign(value: float, std_error: float, draws: int | None = None, looks: int = LOOKS) -> int:
    """Return the sign of a value that differs from 0 by more than the tolerance, else 0."""
    return int(np.sign(value)) if abs(value) > tolerance(draws, looks) * std_error else 0


def bounds(
    value: _Numbers, std_error: _Numbers, draws: int | None = None, looks: int = LOOKS
) -> tuple[_Numbers, _Numbers]:
    """Return the least and the largest value that the tolerance allows; NaN where the standard error is not known."""
    room = tolerance(draws, looks) * std_error
    return value - room, value + room


def structure(outside: pd.Series, std_errors: pd.Series, draws: int | None = None) -> str:
    """Judge the shares outside the diagonal blocks, all those of one layer along training.

    Parameters
    ----------
    outside, std_errors
        Means over draws, with their standard errors. Each is a look.
    draws
        Their number.

    Returns
    -------
    str
        ``"holds"``: all are under ``NEAR``; ``"weakened"``: all are under ``LOST``, but one is above ``NEAR``;
        ``"lost"``: one is above ``LOST``; each by more than the tolerance. ``"unresolved"``: none of these;
        ``NO_ERROR``: a standard error is not known.
    """
    if std_errors.map(math.isnan).any():
        return NO_ERROR
    lower, upper = bounds(outside, std_errors, draws, len(outside))
    if (upper < NEAR).all():
        return "holds"
    if (lower > LOST).any():
        return "lost"
    return "weakened" if (lower > NEAR).any() and (upper < LOST).all() else "unresolved"
