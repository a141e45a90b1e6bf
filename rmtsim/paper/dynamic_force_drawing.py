"""The picture of the dynamic force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.parts import part
from rmtsim.figures.style import colors, paper_style, progress_axis
from rmtsim.figures.titles import LOSSES
from rmtsim.paper.trained_networks import scheduled
from rmtsim.stats.verdict import NEAR

_COLORS = dict(zip(("hidden", "output", "cross", "stripe", "residual"), sns.color_palette("colorblind"), strict=False))
_MARKERS = dict(zip(_COLORS, "osD^v", strict=True))
_WORDS = {
    "hidden": r"hidden layer $H_{ww}$",
    "output": r"output layer $H_{vv}$",
    "cross": r"cross layer $H_{wv}$",
    "stripe": "stripes (the residual's term of $H_{wv}$)",
    "residual": r"residual, mean of $\|r_n\|^2$",
}

_MARKS: dict[str, Any] = {"markersize": 4, "markerfacecolor": "none", "elinewidth": 1, "capsize": 2, "linewidth": 1}


def plot_dynamic_force(numbers: pd.DataFrame) -> Figure:
    """Draw the numbers of `rmtsim.paper.dynamic_force.force_numbers`, a row of panels per loss.

    Norms over those at initialisation, shares of the cross layer, and what lies outside the diagonal blocks, against
    progress, for the setting with most samples; and stripes against the residual, with every setting and draw.
    """
    runs, means, layers, stripes = (part(numbers, name) for name in ("runs", "means", "structure", "stripes"))
    losses = list(dict.fromkeys(runs["loss"]))
    with paper_style():
        figure = Figure(figsize=(12.5, 1.2 + 2.9 * len(losses)), layout="constrained")
        for loss, axes in zip(losses, figure.subplots(len(losses), 4, squeeze=False), strict=True):
            of_loss = means[means["loss"] == loss]
            name = of_loss.loc[of_loss["n_samples"] == of_loss["n_samples"].max(), "setting"].iloc[0]
            most = means[means["setting"] == name]
            _plot_norms(axes[0], most)
            _plot_shares(axes[1], most)
            _plot_outside(axes[2], most, layers[layers["setting"] == name])
            _plot_stripes(axes[3], runs[runs["loss"] == loss], stripes)
            axes[0].set_ylabel(f"{LOSSES[loss]}\n" + r"$\|\cdot\|^2$ over that at initialisation")
        one = runs[runs["n_samples"] == runs["n_samples"].max()].iloc[0]
        figure.suptitle(
            f"Dynamic force: one hidden layer, $C = {one.n_classes}$, $d = {one.dim}$, $N = {one.n_samples}$, "
            f"$m = {one.width}$, {scheduled(one)}",
            fontsize="x-large",
        )
        figure.legend(handles=_legend(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _plot_norms(ax: Axes, means: pd.DataFrame) -> None:
    for name in _COLORS:
        _plot_means(ax, means, f"relative_{name}", name)
    ax.axhline(1, color="0.6", linewidth=0.8)
    ax.set_yscale("log")
    set_log_ticks(ax.yaxis)
    progress_axis(ax, "norms and residual")


def _plot_shares(ax: Axes, means: pd.DataFrame) -> None:
    _plot_means(ax, means, "stripe_share", "stripe")
    _plot_means(ax, means, "column_share", "stripe", linestyle="--")
    _plot_means(ax, means, "cross_share", "cross")
    ax.axhline(1 / means["width"].iloc[0], color="0.4", linewidth=1, linestyle=":")
    ax.set_ylim(0, 1.02)
    ax.set_ylabel("share of the squared norm")
    progress_axis(ax, r"of $H_{wv}$ (stripes), of $H$ (cross layer)")


def _plot_outside(ax: Axes, means: pd.DataFrame, layers: pd.DataFrame) -> None:
    """Mark the theory at initialisation by a cross; equal blocks would have almost all outside."""
    for row in layers.to_dict("records"):
        _plot_means(ax, means, f"{row['layer']}_outside", row["layer"])
        if not np.isnan(row["theory"]):
            look: dict[str, Any] = {"color": "k", "markersize": 7, "zorder": 5, "clip_on": False, "label": "_theory"}
            ax.plot(0, row["theory"], "x", **look)
    ax.axhline(NEAR, color="0.6", linewidth=0.8, linestyle="-.")
    ax.set_ylim(min(0, ax.get_ylim()[0]), max(0.25, 1.1 * ax.get_ylim()[1]))
    ax.set_ylabel("share outside diagonal blocks")
    progress_axis(ax, r"block-diagonal structure")


def _plot_stripes(ax: Axes, runs: pd.DataFrame, stripes: pd.DataFrame) -> None:
    """Stripes against the residual, a line per draw; the line m γ/2 of a residual independent of the inputs."""
    for k, (name, of_setting) in enumerate(runs.groupby("setting", sort=False)):
        color = colors()[(9, 5)[k % 2]]
        for _, of_run in of_setting.groupby(["seed", "draw"]):
            ax.plot(of_run["residual"], of_run["stripe"], "-", marker=".", color=color, linewidth=0.6, markersize=3)
        ends = np.array([of_setting["residual"].min(), of_setting["residual"].max()])
        multiple = stripes.loc[stripes["setting"] == name, "multiple_theory"].iloc[0]
        ax.plot(ends, multiple * ends, "--", color="k", linewidth=1, label="_theory")
        ax.plot([], [], "-", marker=".", color=color, label=f"$N = {of_setting['n_samples'].iloc[0]}$")
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        set_log_ticks(axis)
    ax.legend(frameon=False, loc="upper left")
    ax.set_xlabel(r"residual, mean of $\|r_n\|^2$")
    ax.set_ylabel(r"$\|$stripes$\|^2$")
    ax.set_title("stripes follow the residual")


def _plot_means(ax: Axes, means: pd.DataFrame, column: str, name: str, linestyle: str = "-") -> None:
    look = {**_MARKS, "color": _COLORS[name], "marker": _MARKERS[name], "linestyle": linestyle}
    errors = means[f"std_error_{column}"]
    ax.errorbar(means["progress"], means[column], errors.where(errors > 0), **look)  # no bar where it is exact


def _legend() -> list[Line2D]:
    marks: dict[str, Any] = {"markersize": 4, "markerfacecolor": "none"}
    lines = [Line2D([], [], color=_COLORS[x], marker=_MARKERS[x], label=words, **marks) for x, words in _WORDS.items()]
    dashed: dict[str, Any] = {"color": _COLORS["stripe"], "marker": _MARKERS["stripe"], "linestyle": "--"}
    return [
        *lines,
        Line2D([], [], **dashed, **marks, label="the columns in which the stripes stand"),
        Line2D([], [], color="0.4", linestyle=":", label="such columns without stripes, $1/m$"),
        Line2D([], [], color="k", marker="x", linestyle="", label="theory at initialisation"),
        Line2D([], [], color="0.6", linestyle="-.", label=f"near-block-diagonal under {NEAR:g}"),
        Line2D([], [], color="k", linestyle="--", label=r"right: residual independent of $x$, $m \gamma / 2$"),
    ]
