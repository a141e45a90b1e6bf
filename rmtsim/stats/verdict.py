"""How a number is held against another: the one place of tolerances, of Student's t, and of the thresholds of shares.

Every verdict asks how many standard errors lie between two numbers, and `tolerance` says how many are allowed. It
counts the *looks*, the numbers among which one that is off would make the verdict (Bonferroni's correction), and where
the standard error comes from few draws it takes Student's t in place of the normal distribution. What has no standard
error never agrees, and lies on no side of a threshold: NaN is neither below nor above.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import pandas as pd
from scipy import stats

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

#: `tolerance`, in the words of legends.
IN_WORDS = "2 standard errors, more for few draws (Student's t) and for several numbers (Bonferroni)"

#: The verdict where a standard error is not known.
NO_ERROR = "no verdict without a standard error"

_Numbers = TypeVar("_Numbers", float, pd.Series)


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
