"""Numbers as the gallery writes them, and on which side of another number they lie."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from scipy.special import ndtr

from rmtsim.stats.verdict import LEVEL, bounds, sign, z_score

_LOWERED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
_NUMBER = re.compile(r"\(?([-+]?\d[\d.]*)(?:±([\d.]+))?\)?(?:·10(-?\d+))?( %)?")


class Reading(NamedTuple):
    """A number with its standard error, which is 0 where it has none."""

    value: float
    error: float = 0.0


def reading(word: str) -> Reading:
    """Read a number.

    Examples
    --------
    >>> reading("8.9±1.7 %"), reading("(2.5±0.5)·10⁻²"), reading("−2")
    (Reading(value=0.089, error=0.017), Reading(value=0.025, error=0.005), Reading(value=-2.0, error=0.0))
    """
    if (found := _NUMBER.fullmatch(word.strip().translate(_LOWERED))) is None:
        raise LookupError(f"gallery: {word!r} is no number")
    value, error, power, percent = found.groups()
    digits = int(power or 0) - (2 if percent else 0)
    return Reading(float(f"{value}e{digits}"), float(f"{error or 0}e{digits}"))


def under(limit: float, readings: Iterable[Reading]) -> bool | None:
    """Whether all numbers are under a limit: None where their errors leave it open, False where one is over it.

    Examples
    --------
    >>> [under(0.1, [Reading(value, 0.02)]) for value in (0.02, 0.09, 0.2)]
    [True, None, False]
    """
    readings = list(readings)
    ends = [bounds(value, error, looks=len(readings)) for value, error in readings]
    if all(upper < limit for _, upper in ends):
        return True
    return False if any(lower > limit for lower, _ in ends) else None


def over(limit: float, readings: Iterable[Reading]) -> bool | None:
    """Whether all numbers are over a limit, as in `under`."""
    return under(-limit, [Reading(-value, error) for value, error in readings])


def grows(pairs: Iterable[tuple[Reading, Reading]]) -> bool | None:
    """Whether the second number of every pair is above the first, by more than both errors explain.

    None where that is open for one of them, and False where one is below by more than that.
    """
    pairs = list(pairs)
    differences = [Reading(b.value - a.value, (a.error**2 + b.error**2) ** 0.5) for a, b in pairs]
    signs = [sign(*difference, looks=len(pairs)) for difference in differences]
    if all(found > 0 for found in signs):
        return True
    return False if any(found < 0 for found in signs) else None


def falls(pairs: Iterable[tuple[Reading, Reading]]) -> bool | None:
    """Whether the second number of every pair is below the first, as in `grows`."""
    return grows((b, a) for a, b in pairs)


def both(*found: bool | None) -> bool | None:
    """Whether several rules hold together: False where one does not, else None where one is left open.

    Examples
    --------
    >>> both(True, True), both(True, None), both(None, False)
    (True, None, False)
    """
    return False if False in found else None if None in found else True


def within(tested: Iterable[tuple[Reading, float]]) -> bool:
    """Whether chance explains that some numbers are not what is expected, as in `by_chance`."""
    tested = list(tested)
    return by_chance((abs(z_score(found.value, expected, found.error)) for found, expected in tested), len(tested))


def by_chance(z: Iterable[float], looks: int) -> bool:
    """Whether chance explains the largest of some z-scores: as a report has it, which calls one in a thousand wrong."""
    return bool(2 * ndtr(-max(z)) * looks > LEVEL)
