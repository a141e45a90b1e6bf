"""The figure of regimes: ratios over the theorem's form against C, level where its rate holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.style import MARKERS, MARKS, bars, colors, faint, legend_below, line, mark, paper_style, title
from rmtsim.paper.regime_rates import FAR, last_power, short
from rmtsim.stats.claims import SWEEP_COLUMNS
from rmtsim.stats.verdict import reach

#: Color behind the C that have no draws.
_ALONE = "0.94"

#: Below this d the sweeps are about d, above it about d/N or m.
_SMALL_DIM = 10


class _Panel(NamedTuple):
    """What a panel shows: its series, and what sets their colours and their markers."""

    title: str
    of: Callable[[pd.DataFrame], pd.Series]
    color: str
    marker: str | None


def _layer(model: str, loss: str, layer: str, small: bool) -> Callable[[pd.DataFrame], pd.Series]:
    def of(table: pd.DataFrame) -> pd.Series:
        chosen: pd.Series = (table["model"] == model) & (table["loss"] == loss) & (table["layer"] == layer)
        return chosen & ((table["dim"] <= _SMALL_DIM) == small)

    return of


_PANELS = (
    _Panel("linear CE: $d/N$ varied", _layer("linear", "ce", "linear", False), "aspect_ratio", None),
    _Panel("hidden layer, CE: $m$ varied", _layer("one_hidden", "ce", "hidden", False), "width", "aspect_ratio"),
    _Panel("output layer, CE: $m$ varied", _layer("one_hidden", "ce", "output", False), "width", "aspect_ratio"),
    _Panel("linear CE: small $d$", _layer("linear", "ce", "linear", True), "dim", "aspect_ratio"),
    _Panel("one hidden layer, CE: small $d$", lambda t: _small_hidden(t), "dim", "layer"),
    _Panel("hidden layer, MSE: $m$ varied", _layer("one_hidden", "mse", "hidden", False), "width", "aspect_ratio"),
)
_NAMES = {"aspect_ratio": "$d/N$", "width": "$m$", "dim": "$d$", "layer": ""}


def _small_hidden(table: pd.DataFrame) -> pd.Series:
    either = [_layer("one_hidden", "ce", layer, True)(table) for layer in ("hidden", "output")]
    return either[0] | either[1]


def plot_regimes(table: pd.DataFrame) -> Figure:
    """Draw measured ratios and the theory to C = 1e6 over the theorem's form, from `regime_rates.extended`."""
    table = table[table["quantity"] == "ratio"]
    panels = [panel for panel in _PANELS if panel.of(table).any()]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with paper_style():
        figure = Figure(figsize=(3.6 * columns + 0.4, 3.4 * rows + 0.9), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, ax in zip(panels, axes, strict=False):
            _plot(ax, panel, table[panel.of(table)])
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        for ax in axes[::columns]:
            ax.set_ylabel("off-diagonal/diagonal over\nthe theorem's form")
        title(figure, "Outside the proportional regime: do the rates in $C$ hold?")
        legend_below(figure, [*_lines(), *faint(table["heavy_tail"])], columns=3)
    return figure


def _plot(ax: Axes, panel: _Panel, table: pd.DataFrame) -> None:
    palette = _looks(table, panel.color, colors())
    markers = _looks(table, panel.marker, MARKERS) if panel.marker else {None: "o"}
    for _, series in table.groupby(SWEEP_COLUMNS, dropna=False, sort=False):
        first = series.iloc[0]
        color, marker = palette[first[panel.color]], markers[first[panel.marker] if panel.marker else None]
        known = series[series["theory"].notna()]
        ax.plot(known["n_classes"], known["theory"] / known["form"], "-", color=color, linewidth=1, label="_theory")
        ends = reach(series["std_error"], series["skewness"]) / series["form"].to_numpy()
        look = {"marker": marker, "color": color, **MARKS}
        bars(ax, series["n_classes"], series["measured"] / series["form"], ends, series["heavy_tail"], **look)
        _plot_last(ax, series, color)
    ax.axhline(1, linestyle="--", color="0.3", linewidth=0.9, label="_theorem")
    ax.set_xscale("log")
    set_log_ticks(ax.xaxis)
    ax.set_yscale("log")
    _widen(ax, table)
    largest = float(table.loc[table["measured"].notna(), "n_classes"].max())
    ends = ax.get_xlim()
    ax.axvspan(largest, ends[1], color=_ALONE, zorder=-1)
    ax.set_xlim(ends)
    ax.set_xlabel("number of classes $C$")
    ax.set_title(panel.title + _shared(panel, table))
    of_color = [line(f"{_NAMES[panel.color]} = {short(v)}", color=c) for v, c in palette.items()]
    of_marker = [
        mark(_of_marker(panel.marker, v), color="0.3", marker=symbol)
        for v, symbol in markers.items()
        if panel.marker and len(markers) > 1
    ]
    ax.legend(handles=[*of_color, *of_marker], frameon=False, fontsize="small", ncols=2, loc="upper left")


def _plot_last(ax: Axes, series: pd.DataFrame, color: Any) -> None:
    """Slope as C → ∞ at this d, where it is not the theorem's, from the theory's last point on."""
    first = series.iloc[0]
    power = last_power(first["model"], first["loss"], int(first["dim"]), "ratio", first["power"])
    end = series[series["n_classes"] == FAR[1]].iloc[0]
    if not np.isfinite(power) or power == first["power"]:
        return
    C = np.array([FAR[1], 30.0 * FAR[1]])
    ax.plot(C, end["theory"] / end["form"] * (C / C[0]) ** (power - first["power"]), ":", color=color, label="_last")


def _widen(ax: Axes, table: pd.DataFrame) -> None:
    """Two decades at least, with room for the legend."""
    values = pd.concat([table["theory"], table["measured"]]) / pd.concat([table["form"], table["form"]])
    low, high = float(min(values.min(), 1.0)), float(max(values.max(), 1.0))
    ax.set_ylim(min(low / 1.8, 0.2), max(3.5 * high * (high / low) ** 0.3, 20.0))
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}" if y < 1e4 else f"$10^{{{np.log10(y):.0f}}}$")


def _looks(table: pd.DataFrame, by: str, looks: Any) -> dict[Any, Any]:
    values = table[by].unique().tolist()
    values = values if by == "layer" else sorted(values)
    return {value: looks[k % len(looks)] for k, value in enumerate(values)}


def _shared(panel: _Panel, table: pd.DataFrame) -> str:
    """Sizes that all series of a panel share."""
    found = []
    for column, letter in (("dim", "d"), ("width", "m"), ("aspect_ratio", "d/N")):
        values = table[column].dropna().unique()
        if len(values) == 1 and column not in (panel.color, panel.marker):
            found.append(f"${letter} = {short(values[0])}$")
    return f"\n{', '.join(found)}" if found else "\n"


def _of_marker(by: str | None, value: Any) -> str:
    return f"{value} layer" if by == "layer" else f"{_NAMES[by or '']} = {short(value)}"


def _lines() -> list[Artist]:
    return [
        mark("measured", color="0.3"),
        line("theory at this $C$, $d$, $N$"),
        Patch(color=_ALONE, label="theory alone: no draws"),
        line(r"theorem: $d, N$, then $C \to \infty$", "--"),
        line(r"theory: slope as $C \to \infty$ at this $d$", ":"),
    ]
