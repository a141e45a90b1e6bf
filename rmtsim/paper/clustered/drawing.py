"""The pictures of Figures 11 and 12: Hessians on clustered data, and ratios of their blocks against clusters."""

from __future__ import annotations

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.matplotlib_setup import settings
from rmtsim.figures.parts import part
from rmtsim.paper.hessian_drawing import STYLE, draw_pictures

_VIEWS = ("whole", "hidden", "output")
_MARKS: dict[str, Any] = {"markersize": 4, "elinewidth": 1, "capsize": 2, "linewidth": 1}
_MARKERS = "osD^v"

#: Layer, loss and title of each panel.
_PANELS = (
    ("hidden", "ce", "hidden layer, cross-entropy"),
    ("output", "ce", "output layer, cross-entropy"),
    ("hidden", "mse", "hidden layer, squared loss"),
    ("whole", "ce", "whole Hessian, cross-entropy"),
)


def plot_clusters(numbers: pd.DataFrame) -> Figure:
    """Draw a column of maps for each C and K, and below what lies outside the diagonal blocks against K.

    Of layers that is the ratio of off-diagonal to diagonal blocks, of the whole its share of the squared norm.

    The numbers are those of `rmtsim.paper.clustered.ratios.all_numbers`.
    """
    maps, shares, ratios = (part(numbers, name) for name in ("maps", "shares", "ratios"))
    pictures, one = maps["case"].nunique(), ratios.iloc[0]
    with settings(STYLE):
        figure = Figure(figsize=(0.5 + 2.1 * pictures, 0.6 + 2.2 * len(_VIEWS) + 3.6), layout="constrained")
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[2.2 * len(_VIEWS), 3.6])[:, 0]
        draw_pictures(upper, maps, shares, _VIEWS)
        classes = sorted(ratios["n_classes"].unique())
        looks = dict(zip(classes, zip(sns.color_palette("colorblind"), _MARKERS, strict=False), strict=False))
        for ax, (layer, loss, title) in zip(lower.subplots(1, len(_PANELS)), _PANELS, strict=True):
            shown = ratios[(ratios["layer"] == layer) & (ratios["loss"] == loss)]
            if layer == "whole":
                shown = shown.assign(value=shown["outside"], std_error=shown["std_error_outside"])
            _plot_ratios(ax, shown, looks)
            ax.set_title(title, fontsize=9)
        lower.axes[0].set_ylabel(r"$\mathbb{E}\|H_{ij}\|^2 \,/\, \mathbb{E}\|H_{ii}\|^2$")
        lower.axes[-1].set(yscale="linear", ylim=(0, 1.03))
        lower.axes[-1].set_ylabel("share of $\\|H\\|^2$ outside the diagonal blocks")
        lower.legend(handles=_legend(looks), loc="outside lower center", ncols=len(looks) + 4, frameon=False)
        figure.suptitle(
            f"Clustered data: one hidden layer of {one['hidden']} neurons at initialisation, $d = {one['dim']}$, "
            f"$N = {one['n_samples']}$; maps: cross-entropy, unit sphere",
            fontsize=11,
        )
    return figure


def _plot_ratios(ax: Axes, ratios: pd.DataFrame, looks: dict[int, Any]) -> None:
    """Draw marks for both scales, and lines for Gaussian data and, in the output layer, for equal probabilities."""
    clustered = ratios[ratios["n_clusters"] > 0]
    for C, (color, marker) in looks.items():
        for scale, of_scale in clustered[clustered["n_classes"] == C].groupby("scale", sort=False):
            unit = scale == "unit"
            shown = of_scale.sort_values("n_clusters")
            face = "none" if unit else color
            ax.errorbar(
                shown["n_clusters"] * (0.97 if unit else 1.03),
                shown["value"],
                shown["std_error"],
                **_MARKS,
                color=color,
                marker=marker,
                markerfacecolor=face,
                linestyle="",
                label=f"_{C} {scale}",
            )
        theory = ratios.loc[ratios["n_classes"] == C, "theory"].iloc[0]
        ax.axhline(theory, color=color, linewidth=1, label="_theory")
        if ratios["layer"].iloc[0] == "output" and C > 2:
            ax.axhline(1 / (C - 1) ** 2, color=color, linewidth=1, linestyle=":", label="_equal")
    ax.set_xscale("log")
    ax.set_yscale("log")
    sizes = sorted(clustered["n_clusters"].unique())
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    set_log_ticks(ax.yaxis)
    ax.set_xlabel("number of clusters $K$")


def _legend(looks: dict[int, Any]) -> list[Line2D]:
    marks = [
        Line2D([], [], color=color, marker=marker, linestyle="", markersize=5, label=f"$C = {C}$")
        for C, (color, marker) in looks.items()
    ]
    look: dict[str, Any] = {"color": "0.3", "marker": "o", "linestyle": "", "markersize": 5}
    return [
        *marks,
        Line2D([], [], markerfacecolor="none", label="unit sphere", **look),
        Line2D([], [], label=r"scaled to $\mathbb{E}\, x_i^2 = 1$", **look),
        Line2D([], [], color="0.3", label="theory, Gaussian data"),
        Line2D([], [], color="0.3", linestyle=":", label="equal probabilities, $(C-1)^{-2}$"),
    ]
