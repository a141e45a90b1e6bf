"""The picture of the fan-out conjecture: each layer's block structure as one size of a network grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.parts import part
from rmtsim.figures.style import paper_style
from rmtsim.paper.fan_out.powers import at_start, series, size_names, trained

_LOSSES = {"mse": "squared loss", "ce": "cross-entropy"}
_MARKERS = "os^Dv"
_MARKS: dict[str, Any] = {"markersize": 4.5, "markerfacecolor": "none", "elinewidth": 1, "capsize": 2}
_LOSS_LOOK = {
    "mse": {"color": "0.15", "marker": "o"},
    "ce": {"color": sns.color_palette("colorblind")[9], "marker": "s"},
}


def plot_fan_out(numbers: pd.DataFrame) -> Figure:
    """Draw the numbers of the deepest networks.

    Rows of panels: off-diagonal over diagonal of every hidden layer as one size grows, and of networks whose sizes are
    all random against the theory, for each loss; then the powers of each size, before and after training.
    """
    rows, fits = part(numbers, "ratios"), part(numbers, "powers")
    depth = int(rows["depth"].max())
    deepest = rows[(rows["depth"] == depth) & (rows["steps"] == 0)]
    colors = sns.color_palette("colorblind", depth + 1)
    with paper_style():
        figure = Figure(figsize=(3.1 * depth, 9), layout="constrained")
        axes = figure.subplots(3, depth, squeeze=False)
        for loss, line in zip(_LOSSES, axes, strict=False):
            of_loss = deepest[deepest["loss"] == loss]
            for layer, ax in enumerate(line[:-1], 1):
                _plot_series(ax, of_loss[of_loss["layer"] == layer], colors)
                ax.set_title(f"{_LOSSES[loss]}: layer {layer}")
            _equal_decades(line[:-1])
            line[0].set_ylabel("off-diagonal over diagonal")
            _plot_random(line[-1], rows[(rows["loss"] == loss) & (rows["design"] == "all")])
            line[-1].set_title(f"{_LOSSES[loss]}: all sizes random")
        for layer, ax in enumerate(axes[-1], 1):
            _plot_exponents(ax, fits[(fits["depth"] == depth) & (fits["layer"] == layer)], layer, depth)
        axes[-1][0].set_ylabel("power of the size in the ratio")
        base = deepest.loc[deepest["varied"] == -1, "sizes"].iloc[0][0]
        N = deepest["n_samples"].iloc[0]
        figure.suptitle(
            f"Mean squared norms of the blocks of each layer of ReLU networks of {depth} weight layers: "
            f"one size varied, the others {base}; $N = {N}$",
            fontsize="x-large",
        )
        figure.legend(handles=_legend(depth, colors), loc="outside lower center", ncols=5, frameon=False)
    return figure


def _plot_series(ax: Axes, rows: pd.DataFrame, colors: list[Any]) -> None:
    """Series for each size, with the theory as a line."""
    for varied, color in enumerate(colors):
        chosen = series(rows, varied)
        look = {"color": color, "marker": _MARKERS[varied % len(_MARKERS)], "linestyle": ""}
        ax.errorbar(chosen["size"], chosen["ratio"], chosen["std_error"], **_MARKS, **look)
        ax.plot(chosen["size"], chosen["theory"], "-", color=color, linewidth=1, label="_theory")
    sizes = np.unique([size for sizes in rows.loc[rows["design"] == "one", "sizes"] for size in sizes])
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.set_xlabel("the size that is varied")


def _equal_decades(axes: Sequence[Axes]) -> None:
    """Give logarithmic axes the same length, so that equal powers have equal slopes."""
    limits = np.log([ax.get_ylim() for ax in axes])
    half = np.ptp(limits, axis=1).max() / 2
    for ax, middle in zip(axes, limits.mean(axis=1), strict=True):
        ax.set_ylim(*np.exp([middle - half, middle + half]))
        set_log_ticks(ax.yaxis)
        ax.minorticks_off()


def _plot_random(ax: Axes, rows: pd.DataFrame) -> None:
    """Measured ratios of all layers against the theory."""
    for depth, marker in zip(sorted(rows["depth"].unique()), "ox+", strict=False):
        of_depth = rows[rows["depth"] == depth]
        ax.errorbar(
            of_depth["theory"],
            of_depth["ratio"],
            of_depth["std_error"],
            linestyle="",
            marker=marker,
            color=sns.color_palette("colorblind")[5 + 2 * (int(depth) % 2)],
            markersize=4,
            markerfacecolor="none",
            elinewidth=0.7,
            label=f"{depth} layers",
        )
    ends = [0.9 * rows["theory"].min(), 1.1 * rows["theory"].max()]
    ax.plot(ends, ends, "--", color="0.4", linewidth=1, label="_equal")
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        set_log_ticks(axis)
    ax.set_xlabel("theory")
    ax.set_ylabel("measured")
    ax.legend(frameon=False, loc="upper left")


def _plot_exponents(ax: Axes, fits: pd.DataFrame, layer: int, depth: int) -> None:
    """Exponents of a layer: at initialisation hollow, after training filled, the theory as a bar."""
    for k, loss in enumerate(_LOSSES):
        of_loss = fits[fits["loss"] == loss]
        for after, found in enumerate((at_start(of_loss), trained(of_loss))):
            place = found["varied"] + 0.4 * (k - 0.5) + 0.16 * (after - 0.5)
            look = _LOSS_LOOK[loss] | _MARKS | ({"markerfacecolor": _LOSS_LOOK[loss]["color"]} if after else {})
            ax.errorbar(place, found["exponent"], found["std_error"], linestyle="", **look)
            if not after:
                ax.hlines(found["theory"], place - 0.16, place + 0.16, color="#d62728", linewidth=1.5, zorder=1)
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.axvspan(layer - 0.48, layer + 0.48, color="0.92", zorder=-1)
    ax.set_xticks(range(depth + 1), size_names(depth))
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.5, depth + 0.5)
    ax.set_xlabel("size (grey: the layer's own neurons)")
    ax.set_title(f"powers, layer {layer}" + (" (cross-entropy)" if layer == depth else ""))


def _legend(depth: int, colors: list[Any]) -> list[Line2D]:
    names = ["inputs $d$", *(f"neurons of layer {k}, $n_{k}$" for k in range(1, depth)), "classes $C$"]
    sizes = [
        Line2D([], [], color=color, marker=_MARKERS[k % len(_MARKERS)], mfc="none", linewidth=1, label=name)
        for k, (name, color) in enumerate(zip(names, colors, strict=True))
    ]
    marks = [
        Line2D([], [], linestyle="", mfc="none", **look, label=f"powers: {_LOSSES[loss]}")
        for loss, look in _LOSS_LOOK.items()
    ]
    return [
        *sizes,
        *marks,
        Line2D([], [], linestyle="", marker="o", color="0.3", label="filled: after training"),
        Line2D([], [], color="#d62728", linewidth=1.5, label="powers: theory at initialisation"),
        Line2D([], [], color="0.3", linewidth=1, label="lines: theory, leading order"),
    ]
