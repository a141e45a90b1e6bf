"""Drawing of the deviations from the limit d, N → ∞ against d."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.style import MARKS, bars, colors, faint, legend_below, line, mark, marker, paper_style, title
from rmtsim.figures.titles import BLOCKS, LAYERS
from rmtsim.stats.verdict import reach


def plot_finite_size(measured: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw a row of panels per layer, a series per C, d/N and ensemble, as `deviations_from_limit` returns them."""
    layers = [layer for layer in LAYERS if (measured["layer"] == layer).any()]
    names = measured.sort_values(["n_classes", "aspect_ratio"])["series"].unique()
    looks = {name: (color, marker(k)) for k, (name, color) in enumerate(zip(names, colors(len(names)), strict=True))}
    with paper_style():
        figure = Figure(figsize=(10, 2.7 * len(layers) + 1.2), layout="constrained")
        axes = figure.subplots(len(layers), len(BLOCKS), sharex=True, squeeze=False)
        for layer, row in zip(layers, axes, strict=True):
            for quantity, ax in zip(BLOCKS, row, strict=True):
                shown, theory = (t[(t["layer"] == layer) & (t["quantity"] == quantity)] for t in (measured, curves))
                _plot_panel(ax, shown, theory, looks)
            m = measured.loc[measured["layer"] == layer, "width"].dropna().unique()
            width = f", $m = {m[0]}$" if len(m) == 1 else ""
            row[0].set_ylabel(f"{LAYERS[layer]}{width}\nover limit $-$ 1 (%)")
        for quantity, ax in zip(BLOCKS, axes[0], strict=True):
            ax.set_title(BLOCKS[quantity])
        for ax in axes[-1]:
            ax.set_xlabel("dimension $d$")
        title(figure, "Cross-entropy at finite $d$ and $N$: deviation from the limit")
        legend_below(figure, [*_legend(looks), *faint(measured["heavy_tail"])], columns=3)
    return figure


def _plot_panel(ax: Axes, measured: pd.DataFrame, curves: pd.DataFrame, looks: dict[str, tuple[Any, str]]) -> None:
    """Measured deviations with bars of one standard error's level, and the theory.

    A point at or below zero is noise, off a log axis.
    """
    for name, (color, symbol) in looks.items():
        shown, curve = (table[table["series"] == name] for table in (measured, curves))
        for _, of_width in curve.groupby("width", dropna=False):
            ordered = of_width.sort_values("dim")
            ax.plot(ordered["dim"], ordered["deviation"], "-", color=color, linewidth=1, label="_theory")
        look = {"color": color, "marker": symbol, **MARKS}
        ends = reach(shown["std_error_deviation"], shown["skewness_deviation"])
        bars(ax, shown["dim"], shown["deviation"], ends, shown["heavy_tail"], **look)
    ax.set_xscale("log", base=2)
    sizes = sorted(measured["dim"].unique())
    positive = curves.loc[curves["deviation"] > 0, "deviation"]
    if len(positive) == len(curves):
        ax.set_yscale("log")
        set_log_ticks(ax.yaxis)
        ax.set_ylim(0.4 * positive.min(), 2 * positive.max())
        guide = np.array([sizes[0], sizes[-1]], dtype=float)
        ax.plot(guide, 1.5 * positive.max() * guide[0] / guide, ":", color="0.4", linewidth=1, label="_guide")
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")


def _legend(looks: dict[str, tuple[Any, str]]) -> list[Line2D]:
    return [
        *(mark(name, color=color, marker=symbol) for name, (color, symbol) in looks.items()),
        line("theory at $C$, $d$, $N$"),
        line(r"slope $d^{-1}$", ":", "0.4"),
    ]
