"""Ticks of logarithmic axes that can be read: powers of ten over many decades, plain numbers over few."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import Formatter, LogFormatterSciNotation, LogLocator, MaxNLocator, NullFormatter

#: Axes whose ends are this factor apart, or more, have ticks at powers of ten.
_WIDE = 50.0

#: The first digits of ticks on other axes: the first of these that give enough ticks, else evenly spaced ones.
_DIGITS = ((1.0, 2.0, 5.0), (1.0, 2.0, 3.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
_ENOUGH, _EVENLY = 3, 5

#: Numbers that are written without a power of ten.
_LEAST_PLAIN, _MOST_PLAIN = 1e-3, 1e5


def set_log_ticks(axis: Axis) -> None:
    """Give a logarithmic axis ticks that can be read, whatever it comes to span.

    By itself matplotlib labels an axis within a decade "3 × 10⁻¹", "4 × 10⁻¹", "6 × 10⁻¹", so that labels may touch.

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
    axis.set_major_locator(_Ticks())
    axis.set_major_formatter(_Labels())
    axis.set_minor_formatter(NullFormatter())


class _Ticks(LogLocator):
    """Places of the ticks."""

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """Return the places between two ends."""
        low, high = sorted((vmin, vmax))
        if not 0 < low < high < low * _WIDE:
            return super().tick_values(vmin, vmax)
        decades = 10.0 ** np.arange(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
        for digits in _DIGITS:
            places = np.outer(decades, digits).ravel()
            places = places[(places >= low) & (places <= high)]
            if len(places) >= _ENOUGH:
                return places.tolist()
        return MaxNLocator(_EVENLY, steps=[1, 2, 5, 10]).tick_values(low, high)


class _Labels(Formatter):
    """Texts of the ticks."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the text at a place."""
        assert self.axis is not None
        low, high = sorted(self.axis.get_view_interval())
        if not 0 < low < high < low * _WIDE:
            powers = LogFormatterSciNotation()
            powers.set_axis(self.axis)
            return str(powers(x, pos))
        if low >= _LEAST_PLAIN and high < _MOST_PLAIN:
            return f"{x:.6g}"
        power = math.floor(math.log10(x) + 1e-9) if x > 0 else 0
        return f"${x / 10.0**power:.4g} \\times 10^{{{power}}}$"
