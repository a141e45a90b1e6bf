"""The picture of rates through training: off-diagonal over diagonal against C, and its power at every checkpoint."""

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
from rmtsim.figures.style import paper_style, progress_axis
from rmtsim.figures.titles import LOSSES
from rmtsim.paper.trained_networks import scheduled
from rmtsim.paper.training_rates.powers import MIN_CLASSES, THEOREM

#: Checkpoints whose ratios are shown; exponents are at all.
_SHOWN = (0.0, 0.01, 0.1, 0.25, 1.0)

_CASES = (("ce", "hidden"), ("ce", "output"), ("mse", "hidden"))
_MARKERS = "osD^v<>"
_MARKS: dict[str, Any] = {"markersize": 4, "markerfacecolor": "none", "elinewidth": 1, "capsize": 2, "linewidth": 1}


def plot_rates(numbers: pd.DataFrame) -> Figure:
    """Draw the numbers of `rmtsim.paper.training_rates.powers.all_numbers`.

    A column per loss and layer that has off-diagonal blocks; a row per rule for N with the ratios, geometric means over
    draws; below, the exponents of both rules, with those of the theory at initialisation and of the theorems.
    """
    means, fits = part(numbers, "means"), part(numbers, "exponents")
    rules = list(dict.fromkeys(means["rule"]))
    with paper_style():
        figure = Figure(figsize=(10.5, 2.2 + 2.6 * (1 + len(rules))), layout="constrained")
        axes = figure.subplots(1 + len(rules), len(_CASES), squeeze=False)
        for k, (loss, layer) in enumerate(_CASES):
            for ax, rule in zip(axes[:-1, k], rules, strict=True):
                _plot_ratios(ax, _only(means, loss, layer, rule))
                ax.set_ylabel(f"${rule.replace('N', '{N}')}$\noff-diagonal / diagonal" if k == 0 else "")
            axes[0, k].set_title(f"{layer} layer, {LOSSES[loss]}")
            for rule, how in zip(rules, ("-", "--"), strict=False):
                _plot_exponents(axes[-1, k], _only(fits, loss, layer, rule), how)
            axes[-1, k].axhline(THEOREM[layer], color="k", linestyle=":", linewidth=1)
            axes[-1, k].set_ylabel(f"power of $C$, $C \\geq {MIN_CLASSES}$" if k == 0 else "")
        one = part(numbers, "ratios").iloc[0]
        figure.suptitle(
            f"Rates through training: one hidden layer, $d = {one.dim}$, $m = {one.width}$, {scheduled(one)}",
            fontsize="x-large",
        )
        figure.legend(handles=_legend(rules), loc="outside lower center", ncols=5, frameon=False)
    return figure


def _only(rows: pd.DataFrame, loss: str, layer: str, rule: str) -> pd.DataFrame:
    return rows[(rows["loss"] == loss) & (rows["layer"] == layer) & (rows["rule"] == rule)]


def _plot_ratios(ax: Axes, rows: pd.DataFrame) -> None:
    for k, progress in enumerate(_SHOWN):
        at = rows[rows["progress"] == progress]
        if len(at):
            y = at["ratio"]
            look = {**_MARKS, "marker": _MARKERS[k], "color": _color(k), "linestyle": "-"}
            factor = np.exp(np.asarray(at["std_error_log"]))
            ax.errorbar(at["n_classes"], y, np.stack([y - y / factor, y * factor - y]), **look)
    start = rows[rows["progress"] == 0]
    classes = start["n_classes"].to_numpy()
    ax.plot(classes, start["theory"], "--", color="k", linewidth=1, zorder=0, label="_theory")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    set_log_ticks(ax.yaxis)
    ax.set_xticks(classes, [str(C) for C in classes])
    ax.minorticks_off()
    ax.set_xlabel("number of classes $C$")


def _plot_exponents(ax: Axes, fits: pd.DataFrame, how: str) -> None:
    look = {**_MARKS, "marker": "o" if how == "-" else "s", "linestyle": how}
    color = sns.color_palette("colorblind")[0 if how == "-" else 3]
    ax.errorbar(fits["progress"], fits["exponent"], fits["std_error_exponent"], color=color, **look)
    ax.plot(0, fits["theory"].iloc[0], "x", color="k", markersize=7, clip_on=False, zorder=5, label="_theory")
    progress_axis(ax)


def _color(k: int) -> Any:
    return sns.color_palette("viridis", len(_SHOWN) + 1)[k]


def _legend(rules: list[str]) -> list[Line2D]:
    marks: dict[str, Any] = {"markersize": 4, "markerfacecolor": "none"}
    shown = [
        Line2D([], [], color=_color(k), marker=_MARKERS[k], label=f"{progress:.0%} of the steps", **marks)
        for k, progress in enumerate(_SHOWN)
    ]
    colors = sns.color_palette("colorblind")
    looks: list[dict[str, Any]] = [
        {"color": colors[0], "marker": "o", "linestyle": "-"},
        {"color": colors[3], "marker": "s", "linestyle": "--"},
    ]
    fits = [Line2D([], [], label=f"${rule}$", **look, **marks) for rule, look in zip(rules, looks, strict=False)]
    return [
        *shown,
        Line2D([], [], color="k", linestyle="--", label="theory at initialisation"),
        *fits,
        Line2D([], [], color="k", marker="x", linestyle="", label="its power, over the same $C$"),
        Line2D([], [], color="k", linestyle=":", label=r"theorem, $C \to \infty$"),
    ]
