"""Drawing of columns of a summary against each other, on axes that are given."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmtsim.figures.column_choice import ColumnChoice
from rmtsim.figures.column_series import MEASURED, SIZES, TEXTS, Series, fixed_in_words, quantity_of, theory_of
from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.model.choices import RegimeName
from rmtsim.stats.verdict import Values, reach
from rmtsim.text.words import number_of

#: Marks by the place of a series, hollow, then full, then half of each: 24 that can be told apart.
_MARKERS = "os^Dv<>P"
_FILLS = ("none", "full", "left")

#: How opaque a mark is whose mean is not to be trusted.
_FAINT = 0.3

#: Colours of matplotlib's cycle; more values of a number than these get a colour map.
CYCLE = 10

#: Positive values that vary by more than this factor want a logarithmic axis.
_LOG_RANGE = 3.0

#: The styles and names of the theory's lines.
THEORY: dict[RegimeName, tuple[Literal["-", "--"], str]] = {
    "finite": ("-", "theory at this $C$, $d$, $N$"),
    "large_c": ("--", r"theory, $d, N \to \infty$, then $C \to \infty$"),
}

_LABELS = {
    "n_classes": "number of classes $C$",
    "dim": "dimension $d$",
    "n_samples": "number of samples $N$",
    "width": "hidden neurons $m$",
    "aspect_ratio": "$d/N$",
    "diag_sqfro": r"$\mathbb{E}\,\Vert H_{ii} \Vert_F^2$",
    "offdiag_sqfro": r"$\mathbb{E}\,\Vert H_{ij} \Vert_F^2$",
    "ratio": r"$\mathbb{E}\,\Vert H_{ij} \Vert_F^2 \; / \; \mathbb{E}\,\Vert H_{ii} \Vert_F^2$",
}
#: Most panels beside each other, and the inches that a letter of a legend takes, and a line of it.
_ACROSS, _INCHES, _LINE = 3, 0.075, 0.2

#: The inches that a letter of a title takes.
_TITLE_INCHES = 0.1

#: Lines of a legend that a figure has room for without growing.
_LINES = 3

_TOO_HEAVY = "faint: too heavy a tail"

#: Entries that stand last in a legend of several panels.
_LAST = (*(label for _, label in THEORY.values()), _TOO_HEAVY)

_WORDS = {"rse": "relative standard error of", "std_error": "standard error of", "skewness": "skewness of"}


class Drawn(NamedTuple):
    """What a legend has to say of axes, beside the series."""

    faint: bool  #: whether some marks are
    regimes: list[RegimeName]  #: those that have lines


def palette(values: Sequence[Any], cycle: Sequence[Any]) -> dict[Any, Any]:
    """Return the colour of each value: of a cycle, or where these are more numbers, of a colour map."""
    if len(values) <= len(cycle):
        return dict(zip(values, cycle, strict=False))
    import matplotlib as mpl

    return {
        value: mpl.colormaps["viridis"](place)
        for value, place in zip(values, np.linspace(0, 0.95, len(values)), strict=True)
    }


def draw_columns(
    ax: Axes,
    series: Sequence[Series],
    x: str,
    y: str,
    colors: dict[Any, Any],
    logs: Collection[str] = (),
    *,
    regimes: Collection[RegimeName] = (),
) -> Drawn:
    """Draw series on axes, with bars of one standard error's level and the theory.

    The axes that ``logs`` names are logarithmic. What is zero does not stand on them: the label of its series says so.
    """
    faint, there = False, set()
    for one in series:
        rows, color = one.rows, colors.get(one.value, "0.4")
        known = shown = rows.dropna(subset=[x, y])
        for name in logs:
            shown = shown[shown[x if name == "x" else y] > 0]
        label = one.label
        if shown.empty:
            label += f": {_nothing_shown(rows, y)}"
        elif len(shown) < len(known):
            label += f", {number_of(len(known) - len(shown), 'zero')} left out"
        heavy = _heavy(shown, x) | _heavy(shown, y)
        fill = _FILLS[one.place // len(_MARKERS) % len(_FILLS)]
        look: dict[str, Any] = {"fmt": _MARKERS[one.place % len(_MARKERS)], "color": color, "capsize": 2}
        look |= {"fillstyle": fill, "markerfacecolor": "none" if fill == "none" else color}
        bars: dict[str, Any] = {"xerr": _ends(shown, x), "yerr": _ends(shown, y)}
        for chosen, more in ((~heavy, {"label": label}), (heavy, {"alpha": _FAINT})):
            if chosen.any() or "label" in more:  # the first also where it is empty, for the legend
                ends: dict[str, Any] = {name: of if of is None else of[:, chosen] for name, of in bars.items()}
                ax.errorbar(shown[x][chosen], shown[y][chosen], **(look | ends | more))
        faint |= bool(heavy.any())
        for regime in regimes if len(rows) else ():
            curve = theory_of(rows, x, y, regime)
            if curve is not None:
                there.add(regime)
                ax.plot(curve[x], curve[y], THEORY[regime][0], color=color, linewidth=1)
    every = pd.concat([one.rows for one in series]).dropna(subset=[x, y])
    for name, of in (("x", x), ("y", y)):
        if name in logs:
            getattr(ax, f"set_{name}scale")("log")
            set_log_ticks(getattr(ax, f"{name}axis"), every[of] if of in SIZES else ())
        elif of not in TEXTS and (every[of] % 1 == 0).all():
            getattr(ax, f"{name}axis").get_major_locator().set_params(integer=True)
    ax.set_xlabel(label_of(x))
    ax.set_ylabel(label_of(y))
    return Drawn(faint, [regime for regime in regimes if regime in there])


def plot_columns(
    choice: ColumnChoice, means: pd.DataFrame, panels: Mapping[str, Sequence[Series]], regimes: Sequence[RegimeName]
) -> Figure:
    """Draw the panels of a choice in the style of the figures, with one legend, below what all rows have in common."""
    from rmtsim.figures.style import colors, legend_below, paper_style, title

    across = min(len(panels), _ACROSS)
    down = math.ceil(len(panels) / across)
    with paper_style():
        longest = _INCHES * (max(len(one.label.replace("\\", "")) for of in panels.values() for one in of) + 6)
        width = max(5.5, 3.7 * across, longest)
        figure = Figure(figsize=(width, 3.3 * down + 1), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        handles: dict[str, Any] = {}
        logs = log_axes([one for of in panels.values() for one in of], choice.x, choice.y, choice.linear)
        for ax, (name, series) in zip(axes, panels.items(), strict=False):
            of_values = palette(values_of(means, choice.by), colors())
            drawn = draw_columns(ax, series, choice.x, choice.y, of_values, logs, regimes=regimes)
            ax.set_title(name)
            handles |= {handle.get_label(): handle for handle in legend_handles(ax, drawn.regimes, faint=drawn.faint)}
        for ax in axes[len(panels) :]:
            ax.remove()
        title(figure, _in_lines(fixed_in_words(means, (choice.x, choice.by, choice.panel)), int(width / _TITLE_INCHES)))
        ordered = sorted(handles.values(), key=lambda handle: handle.get_label() in _LAST)
        columns = max(1, min(3, int(width / longest)))
        lines = math.ceil(len(ordered) / columns)
        figure.set_figheight(figure.get_figheight() + _LINE * max(0, lines - _LINES))
        legend_below(figure, ordered, columns)
    return figure


def values_of(means: pd.DataFrame, by: str | None) -> list[Any]:
    """Return what the colours stand for, in their order; None alone where there are none."""
    return [None] if by is None else sorted(means[by].dropna().unique())


def log_axes(
    series: Sequence[Series], x: str, y: str, linear: Collection[str] = (), *, always: bool = False
) -> list[str]:
    """Return which of x and y are logarithmic, for all panels of a drawing, but for those that ``linear`` names.

    They are where no value is negative, and positive ones vary by more than a factor of 3; with ``always``, wherever a
    value is positive.
    """
    every = pd.concat([one.rows for one in series]).dropna(subset=[x, y])
    named = [(name, of) for name, of in (("x", x), ("y", y)) if name not in linear and of not in TEXTS]
    return [name for name, of in named if (every[of] > 0).any() and (always or _spans(every[of].astype(float)))]


def _spans(values: pd.Series) -> bool:
    positive = values[values > 0]
    return bool(values.min() >= 0 and positive.max() > _LOG_RANGE * positive.min())


def _in_lines(text: str, width: int) -> str:
    """Return a title in lines of about so many letters, which end at commas: formulas are not broken."""
    lines = [""]
    for part in text.split(", "):
        if lines[-1] and len(f"{lines[-1]}, {part}") > width:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] += f", {part}" if lines[-1] else part
    return "\n".join(lines)


def label_of(column: str) -> str:
    """Return the label of an axis."""
    quantity = quantity_of(column)
    start = column.removesuffix(f"_{quantity}")
    if column not in _LABELS and start in _WORDS:
        return f"{_WORDS[start]} {quantity}"
    return _LABELS.get(column, column.replace("_", " "))


def legend_handles(ax: Axes, regimes: Collection[RegimeName], *, faint: bool) -> list[Any]:
    """Return the entries of a legend of `draw_columns`: the series, the theory's lines, and what is faint."""
    handles, _ = ax.get_legend_handles_labels()
    for style, label in (THEORY[regime] for regime in regimes):
        handles.append(Line2D([], [], linestyle=style, color="0.3", linewidth=1, label=label))
    if faint:
        look: dict[str, Any] = {"marker": "o", "color": "0.3", "markerfacecolor": "none", "alpha": _FAINT}
        handles.append(Line2D([], [], linestyle="", label=_TOO_HEAVY, **look))
    return handles


def _ends(shown: pd.DataFrame, column: str) -> Values | None:
    """Return how far intervals reach down and up; None for what has no standard error."""
    if column not in MEASURED:
        return None
    name = MEASURED[column]
    skewness = (shown[f"skewness_{name}"] / shown["draws"] ** 0.5).fillna(0.0)
    return reach(shown[f"std_error_{name}"].fillna(0.0), skewness)


def _heavy(shown: pd.DataFrame, column: str) -> np.ndarray:
    name = quantity_of(column)
    return shown[f"heavy_tail_{name}"].to_numpy(bool) if name else np.zeros(len(shown), dtype=bool)


def _nothing_shown(rows: pd.DataFrame, quantity: str) -> str:
    """Return why a series shows nothing."""
    if rows[quantity].notna().any():
        return "zero"
    single = quantity == "ratio" and (rows["draws"] == 1).any() and rows["diag_sqfro"].notna().any()
    return "a ratio needs two draws" if single else "no such blocks"
