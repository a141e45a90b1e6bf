"""Plots of draws on axes of your own.

    decay    measured values against the number of classes, with the theory

They draw on the Axes that they are given and change nothing else: no style, no backend, no current figure.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from rmtsim.errors import InputError
from rmtsim.model.choices import RegimeName
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.point import Point
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.prediction_table import predict
from rmtsim.stats.predictions import curve_classes
from rmtsim.stats.summary import summarize
from rmtsim.stats.verdict import reach
from rmtsim.store import Store
from rmtsim.text.checks import check_choice, is_several
from rmtsim.text.words import abridge

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["decay"]

Quantity: TypeAlias = Literal["diag_sqfro", "offdiag_sqfro", "ratio"]

#: The columns that have one value each within a sweep over C.
_SERIES = ["model", "loss", "layer", "width", "aspect_ratio", "dim", "n_samples", *ENSEMBLE]

#: What a series is labelled by where it varies; n_samples follows from the others.
_LABELLED = [name for name in _SERIES if name != "n_samples"]

_SYMBOLS = {"aspect_ratio": "d/N", "width": "m", "dim": "d", "n_samples": "N"}
_Y_LABELS = {
    "diag_sqfro": r"$\mathbb{E}\,\Vert H_{ii} \Vert_F^2$",
    "offdiag_sqfro": r"$\mathbb{E}\,\Vert H_{ij} \Vert_F^2$",
    "ratio": r"$\mathbb{E}\,\Vert H_{ij} \Vert_F^2 \; / \; \mathbb{E}\,\Vert H_{ii} \Vert_F^2$",
}
_MARKERS = "os^Dv<>P"

#: Colours of matplotlib's cycle; more values of the hue than these get a colour map.
_CYCLE = 10

#: How opaque a mark is whose mean is not to be trusted.
_FAINT = 0.3

#: Values of C on a smooth curve of the theory, where it takes no seconds.
_CURVE_POINTS = 20

_THEORY: dict[RegimeName, tuple[Literal["-", "--"], str]] = {
    "finite": ("-", "theory at this $C$, $d$, $N$"),
    "large_c": ("--", r"theory, $d, N \to \infty$, then $C \to \infty$"),
}


def decay(
    draws: pd.DataFrame | Store,
    quantity: Quantity = "ratio",
    hue: str = "aspect_ratio",
    theory: bool | Collection[RegimeName] = True,
    ax: Axes | None = None,
) -> Axes:
    """Plot a measured quantity against the number of classes, with standard errors and the theory.

    Parameters
    ----------
    draws
        A table with the store's columns, one row per (point, seed, draw, layer), or a store, for all its draws. Every
        sweep over C in it, with all else fixed, is a series.
    quantity
        ``"diag_sqfro"``, ``"offdiag_sqfro"`` or ``"ratio"``: a column of `rmtsim.summarize`.
    hue
        The column that decides on the colour of a series: ``model``, ``loss``, ``layer``, ``width``, ``aspect_ratio``,
        ``dim``, ``n_samples`` or one of the ensemble's. Series of one colour differ in their markers.
    theory
        Whether to draw the theory at the same d and N (solid) and its form as d, N → ∞, then C → ∞ (dashed), where
        there is one; or a selection of ``["finite", "large_c"]``. The former takes seconds for each C where there is
        a hidden layer with cross-entropy, the first time.
    ax
        The axes to draw on; by default those of ``matplotlib.pyplot.gca``.

    Returns
    -------
    Axes
        The axes, with logarithmic scales, labels and a legend. Faint marks: the tail is too heavy for the mean to be
        trusted (`rmtsim.stats.tails.heavy_tail`).

    Raises
    ------
    InputError
        If the quantity, the hue or a regime is not known, the table is none of draws, or `ax` is no Axes.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> import pandas as pd
    >>> import rmtsim
    >>> points = [rmtsim.Point("linear", "ce", C, dim=20, n_samples=40) for C in (2, 10, 50)]
    >>> draws = pd.concat([rmtsim.simulate(point, draws=8) for point in points])
    >>> ax = rmtsim.plot.decay(draws, ax=Figure().subplots())
    >>> ax.get_xlabel()
    'number of classes $C$'
    """
    check_choice("quantity", quantity, get_args(Quantity))
    check_choice("hue", hue, _SERIES)
    regimes = _regimes(theory)
    from rmtsim.figures.log_ticks import set_log_ticks  # matplotlib is loaded where something is drawn

    means = summarize(draws)
    ax = _axes(ax)
    positive = not_trusted = False
    labelled = _labelled(means, hue)
    for color, marker, label, rows in _series(means, hue, labelled):
        shown = rows.dropna(subset=quantity)
        if not (shown[quantity] > 0).any():
            label += f": {_nothing_shown(rows, quantity)}"
        name = quantity.removesuffix("_sqfro")
        heavy = shown[f"heavy_tail_{name}"].to_numpy()
        skewness = (shown[f"skewness_{name}"] / shown["draws"] ** 0.5).fillna(0.0)
        ends = reach(shown[f"std_error_{name}"].fillna(0.0), skewness)
        look: dict[str, Any] = {"fmt": marker, "color": color, "markerfacecolor": "none", "capsize": 2}
        for chosen, more in ((~heavy, {"label": label}), (heavy, {"alpha": _FAINT})):
            if chosen.any() or "label" in more:  # the first also where it is empty, for the legend
                ax.errorbar(shown["n_classes"][chosen], shown[quantity][chosen], ends[:, chosen], **(look | more))
        not_trusted |= bool(heavy.any())
        positive |= bool((shown[quantity] > 0).any())
        for regime in regimes:
            curve = _curve(rows, regime)
            if curve is not None and (above := curve[curve[quantity] > 0]).shape[0]:
                ax.plot(above["n_classes"], above[quantity], _THEORY[regime][0], color=color, linewidth=1)
    ax.set_xscale("log")
    set_log_ticks(ax.xaxis, means["n_classes"])
    ax.xaxis.set_major_formatter("{x:g}")
    if positive:
        ax.set_yscale("log")
        set_log_ticks(ax.yaxis)
    ax.set_xlabel("number of classes $C$")
    ax.set_ylabel(_Y_LABELS[quantity])
    _add_legend(ax, regimes, not_trusted=not_trusted)
    return ax


def _labelled(means: pd.DataFrame, hue: str) -> list[str]:
    """Return the columns that a label names: the hue, and what else varies."""
    return [hue, *(name for name in _LABELLED if name != hue and means[name].nunique(dropna=False) > 1)]


def _series(means: pd.DataFrame, hue: str, labelled: list[str]) -> Iterator[tuple[Any, str, str, pd.DataFrame]]:
    """Yield the colour, marker, label and rows of each sweep over C."""
    values = sorted(means[hue].dropna().unique())
    colors = dict(zip(values, _colors(len(values)), strict=True))
    seen: dict[Any, Iterator[str]] = {}
    for _, rows in means.groupby(_SERIES, dropna=False, sort=True):
        first = rows.iloc[0]
        value = None if pd.isna(first[hue]) else first[hue]
        marker = next(seen.setdefault(value, itertools.cycle(_MARKERS)))
        label = ", ".join(_named(name, first[name]) for name in labelled if not pd.isna(first[name]))
        yield colors.get(value, "0.4"), marker, label, rows.sort_values("n_classes")


def _nothing_shown(rows: pd.DataFrame, quantity: str) -> str:
    """Return why a series has no point on a logarithmic scale."""
    if rows[quantity].notna().any():
        return "zero"
    single = quantity == "ratio" and (rows["draws"] == 1).any() and rows["diag_sqfro"].notna().any()
    return "a ratio needs two draws" if single else "no such blocks"


def _colors(count: int) -> list[Any]:
    if count <= _CYCLE:
        return [f"C{k}" for k in range(count)]
    import matplotlib as mpl

    return [mpl.colormaps["viridis"](place) for place in np.linspace(0, 0.95, count)]


def _named(name: str, value: Any) -> str:
    if name in ("model", "loss", "layer", "init"):
        return str(value)
    return f"${_SYMBOLS[name]} = {value:g}$" if name in _SYMBOLS else f"{name.replace('_', ' ')} {value:g}"


def _curve(rows: pd.DataFrame, regime: RegimeName) -> pd.DataFrame | None:
    """Return the theory of one series over C; None where there is none."""
    first = rows.iloc[0]
    sizes = curve_classes(first["model"], first["loss"], list(rows["n_classes"]), _CURVE_POINTS)
    width = None if pd.isna(first["width"]) else int(first["width"])
    ensemble = Ensemble(*(first[name] for name in ENSEMBLE))
    try:
        points = [
            Point(first["model"], first["loss"], int(C), int(first["dim"]), int(first["n_samples"]), width, ensemble)
            for C in sizes
        ]
        table = predict(points, regime)
    except InputError:  # where the variance of the logits is out of the theory's range
        return None
    of_layer: pd.DataFrame = table[table["layer"] == first["layer"]]
    return of_layer


def _regimes(theory: bool | Collection[RegimeName]) -> list[RegimeName]:
    """Return the regimes to draw; raise InputError where one is not known."""
    if isinstance(theory, bool):
        return list(_THEORY) if theory else []
    if not is_several(theory):
        choices = ", ".join(map(repr, _THEORY))
        raise InputError(f"theory: {abridge(theory)} is not valid; give True, False, or a list of some of {choices}")
    return [check_choice("theory", regime, _THEORY) for regime in theory]


def _axes(ax: Axes | None) -> Axes:
    """Return the axes to draw on; raise InputError where something else, or axes in 3-D, were given."""
    if ax is None:
        from matplotlib import pyplot

        return pyplot.gca()
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes) or hasattr(ax, "get_zlim"):
        raise InputError(f"ax: {abridge(ax)} is not valid; give one matplotlib Axes, as from pyplot.subplots()")
    return ax


def _add_legend(ax: Axes, regimes: list[RegimeName], *, not_trusted: bool) -> None:
    from matplotlib.lines import Line2D

    handles, labels = ax.get_legend_handles_labels()
    for style, label in (_THEORY[regime] for regime in regimes):
        handles.append(Line2D([], [], linestyle=style, color="0.3", linewidth=1))
        labels.append(label)
    if not_trusted:
        handles.append(Line2D([], [], linestyle="", marker="o", color="0.3", markerfacecolor="none", alpha=_FAINT))
        labels.append("faint: too heavy a tail")
    ax.legend(handles, labels, fontsize="small")
