"""What finite d and N change: measured norms over their limit, against d, beside the theory at every size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmtsim.errors import InputError
from rmtsim.figures.headlines import tally
from rmtsim.figures.style import paper_style
from rmtsim.model.ensemble import LECUN, Ensemble
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.points import points
from rmtsim.stats.predictions import percent, plain, predict_layer, value
from rmtsim.stats.render import render
from rmtsim.stats.summary import QUANTITIES
from rmtsim.theory import finite, limit

#: A series over d has at least so many sizes.
_MIN_SIZES = 3

#: Sizes of a curve where the theory is deterministic; where it is sampled, the curve joins the measured sizes.
_CURVE_POINTS = 24

_SERIES = ["model", "loss", "layer", "n_classes", "width", "aspect_ratio", *ENSEMBLE]
_ROWS = {"linear": "linear model", "hidden": "hidden layer", "output": "output layer"}
_COLUMNS = {"diag": "diagonal blocks", "offdiag": "off-diagonal blocks", "ratio": "off-diagonal / diagonal"}
_MARKERS = "osD^vPX*"


def sizes_of(draws: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of CE that belong to a series over d; raise InputError if there is none of the linear model."""
    rows = draws[(draws["loss"] == "ce") & draws["layer"].isin(list(_ROWS))]
    if len(rows):
        rows = rows[rows.groupby(_SERIES, dropna=False)["dim"].transform("nunique") >= _MIN_SIZES]
    if not (rows["model"] == "linear").any():
        raise InputError(
            f"figure finite_size: the draws hold no {_MIN_SIZES} dims of linear ce at one C and d/N; run the sweep "
            "finite_size into this store first"
        )
    return rows


def report_finite_size(draws: pd.DataFrame) -> str:
    """Return the table of all points, as text."""
    return render(points(sizes_of(draws)))


def headline_finite_size(draws: pd.DataFrame) -> str:
    """Return how many values of series over d agree with the theory at their own C, d, N, and their z-scores."""
    return tally(points(sizes_of(draws)))


def deviations(draws: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """Deviations from the limit d, N → ∞, in percent.

    Parameters
    ----------
    draws
        The store's columns, rows as ``sizes_of`` returns.

    Returns
    -------
    tuple
        Measured points, those of ``rmtsim.stats.points`` with ``deviation`` = 100 (measured/limit − 1) and its
        ``std_error_deviation``; and the theory's curves: the series' keys, ``quantity``, ``dim``, ``deviation`` =
        100 (finite/limit − 1). Both name their ``series``.
    """
    measured = points(draws)
    relative = np.hypot(measured["std_error"], measured["std_error_limit"] * measured["measured"] / measured["limit"])
    measured["deviation"] = 100 * (measured["measured"] / measured["limit"] - 1)
    measured["std_error_deviation"] = 100 * relative / measured["limit"]
    vertices: list[dict[str, Any]] = []
    for key, group in measured.groupby(_SERIES, dropna=False, sort=False):
        series = dict(zip(_SERIES, key, strict=True))
        model, loss, layer, C, width, gamma, *ensemble = plain(key)
        if model == "one_hidden":
            vertices += [
                series
                | {name: row[name] for name in ("quantity", "dim")}
                | {"deviation": row["size_deviation_percent"]}
                for row in group.to_dict("records")
            ]
            continue
        at_limit, _ = predict_layer(layer, limit, ensemble, model, loss, C, gamma, width)
        for dim in _sizes(group["dim"], gamma):
            at_size, _ = predict_layer(layer, finite, ensemble, model, loss, C, dim, round(dim / gamma), width)
            for quantity in QUANTITIES:
                deviation = percent(value(at_size, quantity), value(at_limit, quantity))
                vertices.append(series | {"quantity": quantity, "dim": dim, "deviation": deviation})
    curves = pd.DataFrame(vertices).astype({"width": "Int64"})
    return tuple(table.assign(series=[_label(row) for row in table.to_dict("records")]) for table in (measured, curves))


def plot_finite_size(draws: pd.DataFrame) -> Figure:
    """Draw the figure from the draws of a store: a row of panels per layer, a series per C, d/N and ensemble."""
    measured, curves = deviations(draws)
    layers = [layer for layer in _ROWS if (measured["layer"] == layer).any()]
    names = measured.sort_values(["n_classes", "aspect_ratio"])["series"].unique()
    colors = sns.color_palette("colorblind", len(names))
    looks = {name: (colors[k], _MARKERS[k % len(_MARKERS)]) for k, name in enumerate(names)}
    with paper_style():
        figure = Figure(figsize=(10, 2.7 * len(layers) + 1.2), layout="constrained")
        axes = figure.subplots(len(layers), len(_COLUMNS), sharex=True, squeeze=False)
        for layer, row in zip(layers, axes, strict=True):
            for quantity, ax in zip(_COLUMNS, row, strict=True):
                shown, theory = (t[(t["layer"] == layer) & (t["quantity"] == quantity)] for t in (measured, curves))
                _plot_panel(ax, shown, theory, looks)
            m = measured.loc[measured["layer"] == layer, "width"].dropna().unique()
            width = f", $m = {m[0]}$" if len(m) == 1 else ""
            row[0].set_ylabel(f"{_ROWS[layer]}{width}\nover limit $-$ 1 (%)")
        for quantity, ax in zip(_COLUMNS, axes[0], strict=True):
            ax.set_title(_COLUMNS[quantity])
        for ax in axes[-1]:
            ax.set_xlabel("dimension $d$")
        figure.suptitle("Cross-entropy at finite $d$ and $N$: deviation from the limit", fontsize="x-large")
        figure.legend(handles=_legend(looks), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _plot_panel(ax: Axes, measured: pd.DataFrame, curves: pd.DataFrame, looks: dict[str, tuple[Any, str]]) -> None:
    """Measured deviations with standard errors, and the theory; a point at or below zero is noise, off a log axis."""
    for name, (color, marker) in looks.items():
        shown, curve = (table[table["series"] == name] for table in (measured, curves))
        for _, line in curve.groupby("width", dropna=False):
            line = line.sort_values("dim")
            ax.plot(line["dim"], line["deviation"], "-", color=color, linewidth=1, label="_theory")
        marks: dict[str, Any] = {
            "marker": marker,
            "markersize": 5,
            "markerfacecolor": "none",
            "elinewidth": 1,
            "capsize": 2.5,
        }
        ax.errorbar(shown["dim"], shown["deviation"], shown["std_error_deviation"], linestyle="", color=color, **marks)
    ax.set_xscale("log", base=2)
    sizes = sorted(measured["dim"].unique())
    positive = curves.loc[curves["deviation"] > 0, "deviation"]
    if len(positive) == len(curves):
        ax.set_yscale("log")
        ax.set_ylim(0.4 * positive.min(), 2 * positive.max())
        guide = np.array([sizes[0], sizes[-1]], dtype=float)
        ax.plot(guide, 1.5 * positive.max() * guide[0] / guide, ":", color="0.4", linewidth=1, label="_guide")
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")


def _legend(looks: dict[str, tuple[Any, str]]) -> list[Line2D]:
    marks = [
        Line2D([], [], linestyle="", color=color, marker=marker, mfc="none", label=name)
        for name, (color, marker) in looks.items()
    ]
    return [
        *marks,
        Line2D([], [], linestyle="-", color="0.3", label="theory at $C$, $d$, $N$"),
        Line2D([], [], linestyle=":", color="0.4", label=r"slope $d^{-1}$"),
    ]


def _label(row: dict[Any, Any]) -> str:
    """Name of a row's series; the ensemble where it is not the paper's."""
    ensemble = Ensemble(*(row[name] for name in ENSEMBLE))
    sizes = f"$C = {row['n_classes']}$, $d/N = {row['aspect_ratio']:g}$"
    return sizes if ensemble == LECUN else f"{sizes}, {ensemble}"


def _sizes(measured: pd.Series, gamma: float) -> list[int]:
    """About evenly spaced in log d, the measured ones among them, with N = d/γ whole."""
    spaced = np.geomspace(measured.min(), measured.max(), _CURVE_POINTS).round().astype(int).tolist()
    whole = [dim for dim in spaced if abs(dim / gamma - round(dim / gamma)) < 1e-9]
    return sorted({*whole, *(int(dim) for dim in measured)})
