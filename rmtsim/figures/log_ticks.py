"""Ticks of logarithmic axes that can be read: values where they are few, powers of ten over many decades."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import (
    FixedLocator,
    Formatter,
    LogFormatterSciNotation,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

#: Axes whose ends are this factor apart, or more, have ticks at powers of ten.
_WIDE = 50.0

#: The first digits of ticks on other axes: the first of these that give enough ticks, else evenly spaced ones.
_DIGITS = ((1.0, 2.0, 5.0), (1.0, 2.0, 3.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
_ENOUGH, _EVENLY = 3, 5

#: The first digits on a wide axis on which there is but one power of ten.
_SPARSE = (1.0, 3.0)

#: So many values have a tick each, where no two are nearer than this share of the way from the first to the last.
_MOST_VALUES, _NEAREST = 5, 0.2

#: Numbers that are written without a power of ten.
_LEAST_PLAIN, _MOST_PLAIN = 1e-3, 1e5


def set_log_ticks(axis: Axis, values: Iterable[float] = ()) -> None:
    """Give a logarithmic axis ticks that can be read, whatever it comes to span.

    By itself matplotlib labels an axis within a decade "3 × 10⁻¹", "4 × 10⁻¹", "6 × 10⁻¹", so that labels may touch.

    Parameters
    ----------
    axis
        The axis.
    values
        What stands along it, such as the numbers of classes: the ticks, where these are few and not too near.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> ax.set_xscale("log")
    >>> set_log_ticks(ax.xaxis)
    >>> _ = ax.set_xlim(2, 11)
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['2', '5', '10']
    """
    places = np.unique(np.asarray(list(values), dtype=float))
    gaps = np.diff(np.log(places))
    if 0 < len(places) <= _MOST_VALUES and bool(np.all(gaps >= _NEAREST * np.sum(gaps))):
        axis.set_major_locator(FixedLocator(places.tolist()))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(_Ticks())
    axis.set_major_formatter(_Labels(given=isinstance(axis.get_major_locator(), FixedLocator)))
    axis.set_minor_formatter(NullFormatter())


class _Ticks(LogLocator):
    """Places of the ticks."""

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """Return the places between two ends."""
        low, high = sorted((vmin, vmax))
        if not 0 < low < high or _has_powers(low, high):
            return super().tick_values(vmin, vmax)
        for digits in _DIGITS if high < low * _WIDE else (_SPARSE,):
            places = _within(digits, low, high)
            if len(places) >= _ENOUGH:
                return places
        return MaxNLocator(_EVENLY, steps=[1, 2, 5, 10]).tick_values(low, high)


def _within(digits: Sequence[float], low: float, high: float) -> list[float]:
    """Return the numbers with these first digits between two ends."""
    decades = 10.0 ** np.arange(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    places = np.outer(decades, digits).ravel()
    return [float(place) for place in places if low <= place <= high]


def _has_powers(low: float, high: float) -> bool:
    """Whether an axis is so wide that powers of ten, two or more of them, are its ticks."""
    return high >= low * _WIDE and len(_within((1.0,), low, high)) > 1


class _Labels(Formatter):
    """Texts of the ticks; of those at values that were given, never as powers of ten alone."""

    def __init__(self, *, given: bool) -> None:
        self._given = given

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the text at a place."""
        assert self.axis is not None
        low, high = sorted(self.axis.get_view_interval())
        if not self._given and (not 0 < low < high or _has_powers(low, high)):
            powers = LogFormatterSciNotation()
            powers.set_axis(self.axis)
            return str(powers(x, pos))
        if low >= _LEAST_PLAIN and high < _MOST_PLAIN:
            return f"{x:.6g}"
        power = math.floor(math.log10(x) + 1e-9) if x > 0 else 0
        return f"${x / 10.0**power:.4g} \\times 10^{{{power}}}$"
