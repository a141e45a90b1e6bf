"""What marks stand for that are drawn a little beside their place, so that error bars do not hide each other."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

_PLACES: WeakKeyDictionary[Line2D, np.ndarray] = WeakKeyDictionary()


def bars_beside(ax: Axes, x: Any, y: Any, ends: Any, factor: float, **look: Any) -> None:
    """Draw marks with error bars at ``factor`` times their places on a logarithmic axis, and note the places.

    Parameters
    ----------
    x, y, ends
        Places, values, and how far the bars reach, as of ``Axes.errorbar``.
    factor
        How far from their places they are drawn.
    look
        Further arguments of ``Axes.errorbar``.
    """
    marks = ax.errorbar(x * factor, y, ends, **look).lines[0]
    if marks is not None:
        _PLACES[marks] = np.asarray(x)


def places(marks: Line2D) -> Any:
    """Return the x that marks stand for, which is that at which they are drawn unless `bars_beside` drew them.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> bars_beside(ax, np.array([10.0, 100.0]), [1, 2], [0.1, 0.1], 1.05, fmt="o")
    >>> ax.lines[0].get_xdata(), places(ax.lines[0])
    (array([ 10.5, 105. ]), array([ 10., 100.]))
    """
    noted = _PLACES.get(marks)
    return marks.get_xdata() if noted is None else noted
