"""The picture of Figure 10: maps of the hidden layer's Hessian, and what lies outside its diagonal blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.matplotlib_setup import settings
from rmtsim.figures.parts import part
from rmtsim.figures.places import bars_beside
from rmtsim.figures.style import progress_axis
from rmtsim.paper.fig10.report import WORDS
from rmtsim.paper.hessian_drawing import STYLE, colour_bar, draw_map
from rmtsim.paper.trained_networks import scheduled

_COLOURS = dict(zip(("binary_ce", "binary_mse"), sns.color_palette("colorblind"), strict=False))
_MARKERS = {"binary_ce": "o", "binary_mse": "s"}
_MARKS: dict[str, Any] = {"markersize": 4, "markerfacecolor": "none", "elinewidth": 1, "capsize": 2, "linewidth": 1}
_CASE_MARKERS = "oD^v"

#: Data sets with maps, and checkpoints of the maps, by their place among all.
_MAPPED = 2
_PLACES = (0, 1, 3, -1)


def plot_binary(numbers: pd.DataFrame) -> Figure:
    """Draw maps through training, shares outside the diagonal blocks, norms against p(1 − p), and initial ratios.

    The numbers are those of `rmtsim.paper.fig10.numbers.all_numbers`.
    """
    means, maps, one = part(numbers, "means"), part(numbers, "maps"), part(numbers, "setting").iloc[0]
    cases = list(dict.fromkeys(means["case"]))
    with settings(STYLE):
        figure = Figure(figsize=(14.5, 8.2), layout="constrained")
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.25, 1])[:, 0]
        for panel, case in zip(upper.subfigures(1, _MAPPED), cases[:_MAPPED], strict=True):
            _draw_maps(panel, maps[maps["case"] == case], case)
        axes = lower.subplots(1, len(cases) + 2)
        for ax, case in zip(axes, cases, strict=False):
            _plot_shares(ax, means[means["case"] == case], one, case)
        axes[0].set_ylabel("share of the squared norm\noutside the diagonal blocks")
        _plot_norms(axes[-2], means[means["loss"] == "binary_ce"])
        _plot_start(axes[-1], part(numbers, "start"), part(numbers, "curve"))
        lower.legend(handles=_legend(), loc="outside lower center", ncols=6, frameon=False)
        figure.suptitle(
            f"One output, two classes: hidden layer of {one['width']} neurons, $d = {one['dim']}$, "
            f"$N = {one['n_samples']}$, {scheduled(one)}",
            fontsize=11,
        )
    return figure


def _draw_maps(panel: SubFigure, rows: pd.DataFrame, case: str) -> None:
    """Draw a row for each loss, a column for each checkpoint."""
    losses = list(dict.fromkeys(rows["loss"]))
    grid = panel.subplots(len(losses), len(_PLACES))
    for axes, loss in zip(grid, losses, strict=True):
        of_loss = rows[rows["loss"] == loss]
        steps = sorted(of_loss["step"].unique())
        for ax, place in zip(axes, _PLACES, strict=True):
            picture = of_loss[of_loss["step"] == steps[place]]
            draw_map(ax, picture, "hidden", [int(picture["hidden"].iloc[0]), 1])
            ax.set_title(_when(picture.iloc[0]), fontsize=8)
        axes[0].set_ylabel(f"{WORDS[loss]}, hidden layer, |entry|")
        colour_bar(panel, axes, "hidden")
    labels = "random labels" if case == "Gaussian" else "each of one class"
    panel.suptitle(f"{case}, {labels}", fontsize=9)


def _when(row: pd.Series) -> str:
    if row["step"] == 0:
        return "initialisation"
    return "1 step" if row["step"] == 1 else f"{row['progress']:.0%} of steps"


def _plot_shares(ax: Axes, means: pd.DataFrame, one: pd.Series, case: str) -> None:
    for loss in dict.fromkeys(means["loss"]):
        runs, look = means[means["loss"] == loss], {**_MARKS, "color": _COLOURS[loss], "marker": _MARKERS[loss]}
        ax.errorbar(runs["progress"], runs["own"], runs["std_error_own"], linestyle="-", label=f"_{loss}", **look)
        if loss == "binary_ce":
            ax.errorbar(
                runs["progress"], runs["other"], runs["std_error_other"], linestyle="--", label="_without", **look
            )
    ax.axhline(1 - 1 / one["width"], color="0.4", linewidth=1, linestyle=":")
    if case == "Gaussian":
        ax.plot(0, one["outside_theory"], "x", color="k", markersize=7, zorder=5, clip_on=False, label="_theory")
    progress_axis(ax)
    ax.set_ylim(0, 1)
    ax.set_title(case, fontsize=9)


def _plot_norms(ax: Axes, means: pd.DataFrame) -> None:
    """Squared norms of both kinds of blocks, over those at initialisation, against the factor p(1 − p), with CE."""
    for marker, (case, runs) in zip(_CASE_MARKERS, means.groupby("case", sort=False), strict=False):
        for name, how, color in (("diag", "-", "C0"), ("offdiag", "--", "C3")):
            ax.plot(
                runs["factor"],
                runs[name],
                how,
                marker=marker,
                color=color,
                markersize=4,
                markerfacecolor="none",
                linewidth=0.8,
                label=f"{case}, {'' if name == 'diag' else 'off-'}diagonal",
            )
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        set_log_ticks(axis)
    ax.invert_xaxis()
    ax.legend(frameon=False, fontsize=6.5, loc="lower left")
    ax.set_xlabel("mean of $p(1-p)$, CE")
    ax.set_ylabel("squared norm of blocks over initial")
    ax.set_title("norms follow the factor in both kinds of blocks", fontsize=9)


def _plot_start(ax: Axes, ratios: pd.DataFrame, curve: pd.DataFrame) -> None:
    for shift, curvature in zip((0.96, 1.04), _COLOURS, strict=True):
        group = ratios[ratios["curvature"] == curvature]
        look = {**_MARKS, "color": _COLOURS[curvature], "marker": _MARKERS[curvature], "linestyle": ""}
        look["label"] = f"_{curvature}"
        bars_beside(ax, group["n_samples"], group["value"], group["std_error"], shift, **look)
    ax.plot(curve["n_samples"], curve["theory"], "-", color="k", linewidth=1, label="_theory")
    ax.set_xscale("log")
    ax.set_xticks(np.unique(ratios["n_samples"]), [str(N) for N in np.unique(ratios["n_samples"])])
    ax.minorticks_off()
    ax.set_ylim(0)
    ax.set_xlabel("number of samples $N$, Gaussian data")
    ax.set_ylabel(r"$\mathbb{E}\|H_{ij}\|^2 \,/\, \mathbb{E}\|H_{ii}\|^2$ at initialisation")
    ax.set_title("one output: ratio at initialisation", fontsize=9)


def _legend() -> list[Line2D]:
    lines = [
        Line2D([], [], color=_COLOURS[x], marker=_MARKERS[x], markersize=4, markerfacecolor="none", label=words)
        for x, words in (("binary_ce", "CE"), ("binary_mse", "MSE"))
    ]
    without = Line2D([], [], color=_COLOURS["binary_ce"], marker="o", markersize=4, markerfacecolor="none")
    without.set_linestyle("--")
    without.set_label("trained with CE, without the factor $p(1-p)$")
    return [
        *lines,
        without,
        Line2D([], [], color="0.4", linestyle=":", label="equal blocks"),
        Line2D([], [], color="k", marker="x", label="closed form at one output, MSE"),
    ]
