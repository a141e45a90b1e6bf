"""The look that figures share: their style, colors, markers, error bars and legends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from rmtsim.figures.matplotlib_setup import settings
from rmtsim.figures.places import bars_beside
from rmtsim.stats.tails import TOO_HEAVY_THERE

#: Markers of series, in the order in which they are taken.
MARKERS = "osD^vPX*"

#: Error bars with hollow marks and no line: arguments of `matplotlib.axes.Axes.errorbar`.
MARKS: dict[str, Any] = {
    "linestyle": "",
    "markersize": 5,
    "markerfacecolor": "none",
    "elinewidth": 1,
    "capsize": 2.5,
}

#: How opaque a mark is whose value is not to be trusted.
FAINT = 0.3

#: The checkpoints of the paper's pictures, as fractions of the steps of training: the ticks of an axis of progress.
CHECKPOINTS = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)

#: seaborn would take Arial where the machine has it; this font comes with matplotlib.
_FONT = {"font.family": ["sans-serif"], "font.sans-serif": ["DejaVu Sans"]}


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw in the style of most figures, seaborn's for papers, whatever the user's settings are."""
    with settings(sns.axes_style("ticks") | sns.plotting_context("paper") | _FONT):
        yield


def colors(count: int | None = None) -> list[Any]:
    """Return a number of colors that the color-blind can distinguish, ten by default; further ones repeat these."""
    return list(sns.color_palette("colorblind", count))


def marker(place: int) -> str:
    """Return the marker of the series at this place."""
    return MARKERS[place % len(MARKERS)]


def mark(label: str, **look: Any) -> Line2D:
    """Return the legend's entry of a series of marks, hollow unless ``markerfacecolor`` says otherwise."""
    return Line2D([], [], label=label, **({"linestyle": "", "marker": "o", "markerfacecolor": "none"} | look))


def line(label: str, linestyle: Any = "-", color: Any = "0.3", **look: Any) -> Line2D:
    """Return the legend's entry of a line."""
    return Line2D([], [], label=label, linestyle=linestyle, color=color, **look)


def bars(ax: Axes, x: Any, y: Any, ends: Any, heavy: Any, *, beside: float = 1.0, **look: Any) -> None:
    """Draw marks with error bars; those whose tail is too heavy for their value to be trusted are faint.

    Parameters
    ----------
    x, y, ends
        Places, and how far the bars reach down and up, (2, n), as `rmtsim.stats.verdict.reach` returns.
    heavy
        Which tails are too heavy.
    beside
        The factor in x at which they are drawn, so that those of several series do not hide each other.
    look
        Arguments of ``Axes.errorbar``.
    """
    x, y, ends, heavy = (np.asarray(values) for values in (x, y, ends, heavy))
    heavy = heavy.astype(bool)
    bars_beside(ax, x[~heavy], y[~heavy], ends[:, ~heavy], beside, **look)
    if heavy.any():
        bars_beside(ax, x[heavy], y[heavy], ends[:, heavy], beside, **(look | {"alpha": FAINT, "label": "_heavy"}))


def faint(heavy: Any) -> list[Line2D]:
    """Return the legend's entry of faint marks, if some tails are too heavy."""
    return [mark(f"faint: {TOO_HEAVY_THERE}", color="0.3", alpha=FAINT)] if np.any(heavy) else []


def legend_below(figure: Figure | SubFigure, handles: Sequence[Artist], columns: int) -> None:
    """Draw one legend for all panels, below them."""
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def title(figure: Figure, text: str) -> None:
    """Write the title above all panels."""
    figure.suptitle(text, fontsize="x-large")


def progress_axis(ax: Axes, title: str = "") -> None:
    """Show progress through training on a scale of square roots, which sets the paper's checkpoints apart."""
    ax.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    ax.set_xlim(0, 1.03)
    ax.set_xticks(CHECKPOINTS, [f"{100 * tick:.0f}" for tick in CHECKPOINTS])
    ax.minorticks_off()
    ax.set_xlabel("steps done (%)")
    ax.set_title(title)
