"""The picture of spectra through training: eigenvalues of diagonal blocks, the laws of initialisation, distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.parts import part
from rmtsim.figures.style import paper_style, progress_axis
from rmtsim.figures.titles import LOSSES

_COLUMNS = 3

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


def plot_spectra(numbers: pd.DataFrame) -> Figure:
    """Draw the numbers of `rmtsim.paper.training_spectra.numbers.all_numbers`.

    For each layer three panels: the density of log eigenvalues at each checkpoint, with the law of initialisation (in
    the hidden layer, a mean of those of several V) and, for the last checkpoint, the spectrum that independent data
    with the same weights have; the distances against progress; and how far the edges lie from those of decoupled
    blocks.
    """
    means, cases, curves = (part(numbers, name) for name in ("means", "verdicts", "densities"))
    rows = -(-len(cases) // _COLUMNS)
    progress = sorted(curves["progress"].dropna().unique())
    with paper_style():
        figure = Figure(figsize=(11, 1.4 + 5.9 * rows), layout="constrained")
        panels = len(_PANELS)
        axes = figure.subplots(panels * rows, _COLUMNS, squeeze=False, height_ratios=_PANELS * rows)
        for k, (_, case) in enumerate(cases.iterrows()):
            density, distances, edges = axes[panels * (k // _COLUMNS) :, k % _COLUMNS][:panels]
            of_means = means[means["case"] == k]
            _plot_densities(density, curves[curves["case"] == k])
            _plot_numbers(distances, of_means, _SERIES)
            distances.set_ylim(0, 1.02)
            distances.set_ylabel("distance; effective rank")
            if case["layer"] != "output":
                _plot_numbers(edges, of_means, _EDGES)
                edges.axhline(0, color="0.6", linewidth=0.8)
                edges.set_ylabel("log of eigenvalues\nover decoupled ones")
            density.set_title(_title(case))
        for ax in axes.ravel()[[not ax.has_data() for ax in axes.ravel()]]:
            ax.set_axis_off()
        schedules = ", ".join(dict.fromkeys(cases["schedule"]))
        figure.suptitle(f"Spectra of diagonal Hessian blocks through training, {schedules}", fontsize="x-large")
        figure.legend(handles=_legend(progress), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _plot_densities(ax: Axes, curves: pd.DataFrame) -> None:
    of_kind = dict(iter(curves.groupby("kind")))
    measured = of_kind["measured"]
    count = measured["progress"].nunique()
    for k, (_, bins) in enumerate(measured.groupby("progress")):
        edges = np.append(bins["x"], bins["x_end"].iloc[-1])
        ax.stairs(bins["density"], edges, color=_color(k, count), linewidth=1.2)
    if "decoupled" in of_kind:
        dots = of_kind["decoupled"]
        look: dict[str, Any] = {"color": sns.color_palette("colorblind")[3], "markersize": 3.5, "label": "_decoupled"}
        ax.plot(dots["x"], dots["density"], ".", **look)
    if "law" in of_kind:
        law = of_kind["law"]
        ax.plot(law["x"], law["density"], "--", color="k", linewidth=1, label="_law")
    elif "place" in of_kind:
        for place in of_kind["place"]["x"]:
            ax.axvline(place, color="k", linestyle="--", linewidth=1, label="_law")
    ax.set_xscale("log")
    set_log_ticks(ax.xaxis)
    ax.set_ylim(0)
    ax.set_xlabel("eigenvalue of $H_{ii}$")
    ax.set_ylabel("density of its logarithm")


def _plot_numbers(ax: Axes, means: pd.DataFrame, series: Mapping[str, tuple[str, str, int]]) -> None:
    for name, (_, marker, color) in series.items():
        if means[name].notna().any():
            look = {**_MARKS, "marker": marker, "color": sns.color_palette("colorblind")[color]}
            ax.errorbar(means["progress"], means[name], means[f"std_error_{name}"], **look)
    progress_axis(ax)


def _title(case: pd.Series) -> str:
    kind = "linear model" if case.layer == "linear" else f"{case.layer} layer"
    m = "" if pd.isna(case.width) else f", $m = {case.width}$"
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
