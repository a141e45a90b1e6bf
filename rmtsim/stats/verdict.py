"""How a number is held against another: the one place of levels, of tolerances, of Student's t, and of thresholds.

Every verdict asks how many standard errors lie between two numbers. Where the standard error comes from few draws,
Student's t stands for the normal distribution; where the draws are skew, `without_skewness` corrects how many there
are. What has no standard error never agrees, and lies on no side of a threshold: NaN is neither below nor above.

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
from scipy.special import ndtr, ndtri, stdtr, stdtrit

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

Values = npt.NDArray[np.float64]


def without_skewness(t: npt.ArrayLike, skewness: npt.ArrayLike) -> Values:
    """Return the z-score of a value that is t standard errors above the truth, where the draws are skew.

    Where draws are skewed to the right, a mean that is low has a small standard error, too: t is then too large below
    the truth, and too small above it. With a = γ̂/√n, the sample skewness γ̂ of n draws, the monotone transformation of
    Hall (1992), *On the removal of skewness by transformation*, Journal of the Royal Statistical Society B 54, 221:
    z = t + a t²/3 + a² t³/27 + a/6. What remains of the error in its distribution is of order 1/n, not 1/√n. Its slope
    is (1 + a t/3)², so that z grows with t everywhere.

    It holds where a t is not large. Above a t = 1, and below −6, where its slope comes back to 1, z goes on with slope
    1: a γ̂ of few draws makes no value more significant than it is.

    Parameters
    ----------
    t
        Value less truth, in standard errors.
    skewness
        a, the skewness of the value: its third central moment over the cube of its standard error.

    Examples
    --------
    >>> [round(float(without_skewness(t, 0.3)), 2) for t in (-3, 0, 3)]
    [-2.14, 0.05, 4.04]
    """
    t, a, sign = _turned(t, skewness)
    inside = np.clip(t, -_LEFT / a, _RIGHT / a)
    z = inside + a * inside**2 / 3 + a**2 * inside**3 / 27 + a / 6 + (t - inside)
    return np.asarray(sign * z)


def with_skewness(z: npt.ArrayLike, skewness: npt.ArrayLike) -> Values:
    """Return the inverse of `without_skewness`: how many standard errors have the z-score z.

    Examples
    --------
    >>> [round(float(with_skewness(z, 0.3)), 2) for z in (-1.96, 1.96)]
    [-2.65, 1.63]
    """
    z, a, sign = _turned(z, skewness)
    first, last = (((1 + end / 3) ** 3 - 1) / a + a / 6 for end in (-_LEFT, _RIGHT))
    inside = np.clip(z, first, last)
    small = a < 1e-6  # the closed form would lose digits; what is left out here is of the order a²
    closed = 3 / a * (np.cbrt(1 + a * (inside - a / 6)) - 1)
    return np.asarray(sign * (np.where(small, inside - a / 6 - a * inside**2 / 3, closed) + (z - inside)))


#: Where Hall's transformation ends, in a t: on the side of the longer tail, and on the other.
_RIGHT, _LEFT = 1.0, 6.0


def _turned(x: npt.ArrayLike, skewness: npt.ArrayLike) -> tuple[Values, Values, Values]:
    """Return x and skewness as they are for draws skewed to the right, and the sign that turns x back."""
    a = np.asarray(skewness, dtype=np.float64)
    sign = np.where(a < 0, -1.0, 1.0)
    return sign * np.asarray(x, dtype=np.float64), np.maximum(np.abs(a), 1e-300), sign


def reach(std_error: npt.ArrayLike, skewness: npt.ArrayLike) -> Values:
    """Return how far an interval of one standard error's level (68 %) reaches down and up, (2, …).

    Parameters
    ----------
    std_error, skewness
        Of values; see `without_skewness`.

    Examples
    --------
    >>> reach([1.0, 1.0], [0.0, 0.3]).round(2).tolist()
    [[1.0, 0.87], [1.0, 1.18]]
    """
    down, up = with_skewness(1.0, skewness), -with_skewness(-1.0, skewness)
    return np.asarray(np.asarray(std_error, dtype=np.float64) * np.stack([down, up]))


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
    skewness
        Third central moment of the value over the cube of its standard error; see `without_skewness`.
    """

    value: float = math.nan
    std_error: float = math.nan
    dof: float = math.inf
    skewness: float = 0.0

    def with_error(self, value: float, std_error: float) -> Deviation:
        """Return a deviation of another value, to whose error a symmetric one was added, ``std_error`` in all."""
        third = self.skewness * (self.std_error / std_error) ** 3 if std_error else 0.0
        return self._replace(value=value, std_error=std_error, skewness=third)

    @property
    def z(self) -> float:
        """The z-score: value over standard error, less what skewness makes of it; NaN where there is no such error."""
        return float(without_skewness(self.value / self.std_error, self.skewness)) if self.std_error else math.nan

    @property
    def p_value(self) -> float:
        """Probability of a difference as large or larger, of either sign, where the truth is none; NaN if not known.

        Examples
        --------
        >>> round(Deviation(1.96, 1.0).p_value, 4), round(Deviation(-1.96, 1.0, dof=9).p_value, 4)
        (0.05, 0.0816)
        >>> [round(Deviation(value, 1.0, skewness=0.3).p_value, 3) for value in (-1.96, 1.96)]
        [0.121, 0.016]
        """
        if self.std_error == 0:
            return math.nan if math.isnan(self.value) else float(self.value == 0)
        return 2 * float(stdtr(self.dof, -abs(self.z)))

    def interval(self, outside: float = 0.05) -> tuple[float, float]:
        """Return the two ends of the interval that does not hold the true difference with this probability.

        Examples
        --------
        >>> [round(end, 2) for end in Deviation(10.0, 1.0, skewness=0.3).interval()]
        [8.37, 12.65]
        """
        room = -float(stdtrit(self.dof, outside / 2))
        least, most = (self.value - self.std_error * float(with_skewness(z, self.skewness)) for z in (room, -room))
        return least, most

    def detectable(self, tests: int = 1) -> float:
        """Return the smallest true difference, of either sign, that is noticed in ``POWER`` of all cases.

        It is one among so many tests. The most significant one of `holm` has to be significant at ``LEVEL`` over their
        number, and so is a single difference among equal numbers.

        Examples
        --------
        >>> [round(Deviation(0.0, 1.0).detectable(tests), 2) for tests in (1, 100)]
        [4.94, 6.06]
        """
        below, over = critical(tests, self.dof), -float(stdtrit(self.dof, 1 - POWER))
        ends = [[float(with_skewness(sign * z, self.skewness)) for z in (below, -over)] for sign in (1, -1)]
        return max(abs(noticed - chance) for noticed, chance in ends) * self.std_error


def critical(tests: int = 1, dof: float = math.inf) -> float:
    """Return the |z| from which the most significant of so many values *differs*, by Student's t and `holm`.

    Examples
    --------
    >>> [round(critical(*of), 2) for of in ((), (100,), (100, 15))]
    [3.29, 4.42, 6.5]
    """
    return -float(stdtrit(dof, LEVEL / max(tests, 1) / 2))


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
    probability = float(ndtr(-TOLERANCE)) * LOOKS / max(looks, 1)
    return float(-ndtri(probability) if draws is None else -stdtrit(max(draws - 1, 1), probability))


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
