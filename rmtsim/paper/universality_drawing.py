"""Drawing of ratios with other laws and activations over those of the theory for the paper's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.style import MARKS, bars, colors, faint, legend_below, line, mark, marker, paper_style, title
from rmtsim.model.ensemble import LECUN
from rmtsim.stats.verdict import MAX_DISTANCE, reach

#: A law of the linear model that is this many times as far from 1 as every other, in logarithms, has its own panel.
_APART = 3.0

#: The title of that panel, and the look of the law.
_FAR, _ALONE = "a law that is far off", {"color": "0.2", "marker": "v"}

#: The color of what is near the theory.
_NEAR = "0.92"


def plot_universality(points: pd.DataFrame, names: Mapping[tuple[str, ...], str], sizes: Mapping[str, str]) -> Figure:
    """Draw quotients against C, from `rmtsim.paper.universality.over_theory`.

    The linear model has a panel for the laws of data and one for those of weights, on one scale, and a further one for
    a law that would leave no room for the others; a network has one for each of its layers.

    Parameters
    ----------
    names
        What each law (layer, data, weights, activation) is called.
    sizes
        The sizes of each layer, in words.
    """
    keys = points[["layer", "data", "weights", "activation"]].itertuples(index=False, name=None)
    table = points.assign(law=[names[key] for key in keys])
    linear = table[table["layer"] == "linear"]
    of_data, far = linear["weights"] == LECUN.weights, linear["law"] == _far(linear)
    laws = {
        "laws of the data": linear[of_data & ~far],
        "laws of the weights": linear[~of_data & ~far],
        _FAR: linear[far],
    }
    layers = {f"{layer} layer: activations": table[table["layer"] == layer] for layer in ("hidden", "output")}
    rows = [{name: some for name, some in row.items() if len(some)} for row in (laws, layers)]
    rows = [row for row in rows if row]
    columns = max(map(len, rows))
    with paper_style():
        figure = Figure(figsize=(max(3.7 * columns, 6), 3.7 * len(rows) + 1), layout="constrained")
        for row, panel in zip(rows, figure.subfigures(len(rows), 1, squeeze=False)[:, 0], strict=True):
            axes = panel.subplots(1, columns, squeeze=False)[0]
            looks: dict[str, dict[str, Any]] = {}
            for ax, (name, some) in zip(axes, row.items(), strict=False):
                _plot(ax, some, {str(some["law"].iloc[0]): _ALONE} if name == _FAR else looks)
                ax.set_title(name)
                panel.suptitle(sizes[some["layer"].iloc[0]], fontsize="large")
            axes[0].set_ylabel("ratio / exact theory")
            if compared := [ax for ax, name in zip(axes, row, strict=False) if name.startswith("laws of")]:
                _share(compared)
            for ax in axes[len(row) :]:
                ax.axis("off")
            _legends(axes, len(row), one=row.keys() <= layers.keys())
        title(figure, "Off-diagonal/diagonal blocks, cross-entropy")
        handles: list[Artist] = [mark("measured", color="0.3"), line("exact theory: Gaussian data and weights, ReLU")]
        handles.append(Patch(color=_NEAR, label=f"within {MAX_DISTANCE:.0%} of it"))
        handles += faint(points["heavy_tail"])
        legend_below(figure, handles, columns=2)
    return figure


def _far(linear: pd.DataFrame) -> str:
    """Return the law that is far from all others, or nothing."""
    reach = np.abs(np.log(linear["quotient"])).groupby(linear["law"]).max().sort_values()
    return str(reach.index[-1]) if len(reach) > 2 and reach.iloc[-1] > _APART * reach.iloc[-2] else ""


def _plot(ax: Axes, table: pd.DataFrame, looks: dict[str, dict[str, Any]]) -> None:
    for law, group in table.groupby("law", sort=False):
        place = len(looks)
        look = looks.setdefault(str(law), {"color": colors()[place % 10], "marker": marker(place)})
        ends = reach(group["std_error_quotient"], group["skewness"])
        bars(ax, group["n_classes"], group["quotient"], ends, group["heavy_tail"], **MARKS | look)
        ax.plot(group["n_classes"], group["quotient"], "-", color=look["color"], linewidth=0.7)
        ax.plot([], [], label=str(law), markerfacecolor="none", **look)
    ax.axhline(1, color="0.3", linewidth=1)
    ax.axhspan(1 - MAX_DISTANCE, 1 + MAX_DISTANCE, color=_NEAR, zorder=-1)
    for axis in ("x", "y"):
        getattr(ax, f"set_{axis}scale")("log")
        set_log_ticks(getattr(ax, f"{axis}axis"))
    ax.set_xlabel("number of classes $C$")


def _share(axes: list[Axes]) -> None:
    """Give panels one scale."""
    ends = np.array([ax.get_ylim() for ax in axes])
    for ax in axes:
        ax.set_ylim(ends.min(), ends.max())


def _legends(axes: Any, count: int, one: bool) -> None:
    """Draw a legend in each of the panels, or one for all where a free place is left."""
    if one and count < len(axes):
        axes[count].legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="center left")
        return
    for ax in axes[:count]:
        ax.legend(frameon=False, fontsize="small")
