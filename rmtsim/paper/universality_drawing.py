"""Drawing of ratios with other laws of data and weights over those with Gaussian ones."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from rmtsim.figures.style import MARKS, bars, colors, faint, legend_below, line, mark, marker, paper_style, title
from rmtsim.model.ensemble import LECUN
from rmtsim.stats.verdict import MAX_DISTANCE, reach


def plot_universality(points: pd.DataFrame) -> Figure:
    """Draw a panel for laws of data and one for laws of weights, from `rmtsim.paper.universality.over_gaussian`."""
    of_data = points["weights"] == LECUN.weights
    panels = {"laws of the data, Gaussian weights": points[of_data], "laws of the weights": points[~of_data]}
    shown = {name: table for name, table in panels.items() if len(table)}
    first = points.iloc[0]
    with paper_style():
        figure = Figure(figsize=(4.6 * len(shown) + 0.4, 4.6), layout="constrained")
        axes = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
        for ax, (name, table) in zip(axes, shown.items(), strict=True):
            for place, (law, group) in enumerate(table.groupby(["data", "weights"], sort=False)):
                data, weights = map(str, law)
                label = data if weights == LECUN.weights else weights
                label += f", {data} data" if weights != LECUN.weights and data != LECUN.data else ""
                look = {"color": colors()[place % 10], "marker": marker(place), "label": label, **MARKS}
                ends = reach(group["std_error_quotient"], group["skewness"])
                bars(ax, group["n_classes"], group["quotient"], ends, group["heavy_tail"], **look)
                ax.plot(group["n_classes"], group["quotient"], "-", color=look["color"], linewidth=0.7)
            ax.axhline(1, color="0.3", linewidth=1)
            ax.axhspan(1 - MAX_DISTANCE, 1 + MAX_DISTANCE, color="0.92", zorder=-1)
            ax.set_xscale("log")
            ax.set_xlabel("number of classes $C$")
            ax.set_title(name)
            ax.legend(frameon=False, fontsize="small")
        axes[0].set_yscale("log")
        axes[0].yaxis.set_major_formatter("{x:g}")
        axes[0].yaxis.set_minor_formatter("{x:g}")
        axes[0].set_ylabel("off-diagonal/diagonal over that of Gaussian data and weights")
        title(figure, f"Linear model, cross-entropy, $d = {first['dim']}$, $N = {first['n_samples']}$")
        marks = [mark("measured", color="0.3"), line("exact theory of Gaussian data and weights")]
        marks += faint(points["heavy_tail"])
        legend_below(figure, marks, columns=2)
    return figure
