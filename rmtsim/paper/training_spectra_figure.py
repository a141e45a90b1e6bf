"""The figure of spectra through training: eigenvalues of diagonal blocks, the laws of initialisation, and distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from rmtsim.figures.style import paper_style
from rmtsim.paper.block_spectra import Case, cases, laws_of, output_mse_eigenvalues
from rmtsim.paper.training_figure import LOSSES, over_progress
from rmtsim.paper.training_spectra import spectra_summary

Values = npt.NDArray[np.float64]

_BINS, _CURVE_POINTS, _COLUMNS = 40, 400, 3

#: Share of the eigenvalues that may lie beyond either end of an axis.
_TAIL = 0.002

#: Axes shorter than this, in powers of e, have more ticks than those of the decades.
_NARROW = 4.0

#: Panels of a layer, and their heights.
_PANELS = (1.0, 1.0, 0.7)

_SERIES = {
    "distance": ("KS distance from the law of initialisation", "o", 0),
    "shape": ("… of eigenvalues over their mean", "s", 3),
    "decoupled": ("… from decoupled blocks: independent data, same weights", "D", 2),
    "floor": ("… between two decoupled blocks", "x", 8),
    "effective_rank": ("effective rank over its maximum", "^", 7),
}
_EDGES = {
    "edge": ("smallest five eigenvalues over the decoupled ones", "v", 4),
    "outlier": ("largest eigenvalue over the decoupled one", "P", 1),
}
_MARKS: dict[str, Any] = {"markersize": 4, "markerfacecolor": "none", "elinewidth": 1, "capsize": 2, "linewidth": 1}


def plot_spectra(table: pd.DataFrame) -> Figure:
    """Draw the figure from the table of ``rmtsim.paper.experiments.training_experiments.training_spectra``.

    For each layer three panels: the density of log eigenvalues at each checkpoint, with the law of initialisation (in
    the hidden layer, a mean of those of several V) and, for the last checkpoint, the spectrum that independent data
    with the same weights have; the numbers of `rmtsim.paper.training_spectra` against progress; and how far the edges
    lie from those of decoupled blocks.
    """
    found, means = list(cases(table)), spectra_summary(table)
    rows = -(-len(found) // _COLUMNS)
    with paper_style():
        figure = Figure(figsize=(11, 1.4 + 5.9 * rows), layout="constrained")
        panels = len(_PANELS)
        axes = figure.subplots(panels * rows, _COLUMNS, squeeze=False, height_ratios=_PANELS * rows)
        for k, ((case, of_case), (_, of_means)) in enumerate(zip(found, means, strict=True)):
            density, numbers, edges = axes[panels * (k // _COLUMNS) :, k % _COLUMNS][:panels]
            _plot_densities(density, case, of_case)
            _plot_numbers(numbers, of_means, _SERIES)
            numbers.set_ylim(0, 1.02)
            numbers.set_ylabel("distance; effective rank")
            if case.layer != "output":
                _plot_numbers(edges, of_means, _EDGES)
                edges.axhline(0, color="0.6", linewidth=0.8)
                edges.set_ylabel("log of eigenvalues\nover decoupled ones")
            density.set_title(_title(case))
        for ax in axes.ravel()[[not ax.has_data() for ax in axes.ravel()]]:
            ax.set_axis_off()
        progress = sorted(table.loc[table["quantity"] == "eigenvalue", "progress"].unique())
        schedules = ", ".join(dict.fromkeys(case.schedule for case, _ in found))
        figure.suptitle(f"Spectra of diagonal Hessian blocks through training, {schedules}", fontsize="x-large")
        figure.legend(handles=_legend(progress), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _plot_densities(ax: Axes, case: Case, rows: pd.DataFrame) -> None:
    eigenvalues = rows[(rows["quantity"] == "eigenvalue") & (rows["value"] > 0)]
    logs = np.log(eigenvalues["value"].to_numpy())
    # spectra that move by decades have more bins
    low, high = np.quantile(logs, [_TAIL, 1 - _TAIL]).tolist()
    edges = np.linspace(low, high, _BINS * int(np.clip((high - low) / 4, 1, 3)) + 1)
    progress = np.sort(eigenvalues["progress"].unique())
    for k, at in enumerate(progress):
        values = np.log(eigenvalues.loc[eigenvalues["progress"] == at, "value"].to_numpy())
        ax.stairs(_density(values, edges), np.exp(edges), color=_color(k, len(progress)), linewidth=1.2)
    copies = rows[(rows["quantity"] == "decoupled") & (rows["progress"] == progress[-1]) & (rows["value"] > 0)]
    if len(copies):
        middle = np.exp((edges[1:] + edges[:-1]) / 2)
        density = _density(np.log(copies["value"].to_numpy()), edges)
        ax.plot(middle, density, ".", color=sns.color_palette("colorblind")[3], markersize=3.5, label="_decoupled")
    if laws := laws_of(case, rows):
        x = np.exp(np.linspace(edges[0], edges[-1], _CURVE_POINTS))
        ax.plot(x, x * np.mean([law.density(x) for law in laws], axis=0), "--", color="k", linewidth=1, label="_law")
    elif case.loss == "mse" and case.width is not None:
        for place in output_mse_eigenvalues(case.width):
            ax.axvline(place, color="k", linestyle="--", linewidth=1, label="_law")
    ax.set_xscale("log")
    if edges[-1] - edges[0] < _NARROW:
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(0)
    ax.set_xlabel("eigenvalue of $H_{ii}$")
    ax.set_ylabel("density of its logarithm")


def _plot_numbers(ax: Axes, means: pd.DataFrame, series: Mapping[str, tuple[str, str, int]]) -> None:
    for name, (_, marker, color) in series.items():
        if means[name].notna().any():
            look = {**_MARKS, "marker": marker, "color": sns.color_palette("colorblind")[color]}
            ax.errorbar(means["progress"], means[name], means[f"std_error_{name}"], **look)
    over_progress(ax)


def _density(values: Values, edges: Values) -> Values:
    """Histogram whose integral is the share of the values between the edges."""
    counts, _ = np.histogram(values, bins=edges)
    return np.asarray(counts / (max(len(values), 1) * np.diff(edges)))


def _title(case: Case) -> str:
    kind = "linear model" if case.layer == "linear" else f"{case.layer} layer"
    m = "" if case.width is None else f", $m = {case.width}$"
    return f"{kind}, {LOSSES[case.loss]}\n$C = {case.n_classes}$, $d = {case.dim}$, $N = {case.n_samples}${m}"


def _color(k: int, count: int) -> Any:
    return sns.color_palette("viridis", count + 1)[k]


def _legend(progress: list[float]) -> list[Line2D]:
    lines = [
        Line2D([], [], color=_color(k, len(progress)), label=f"{at:.0%} of the steps") for k, at in enumerate(progress)
    ]
    colors = sns.color_palette("colorblind")
    series = [
        Line2D([], [], color=colors[c], marker=marker, markersize=4, markerfacecolor="none", label=words)
        for words, marker, c in (_SERIES | _EDGES).values()
    ]
    return [
        *lines,
        Line2D([], [], color="k", linestyle="--", label="theory at initialisation"),
        Line2D([], [], color=colors[3], marker=".", linestyle="", label="100%, independent data, same weights"),
        *series,
    ]
