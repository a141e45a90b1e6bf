"""Drawing of Figures 8 and 9 of the paper and of their analogues: norms against the number of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.style import bars, colors, faint, legend_below, line, mark, marker, paper_style, title
from rmtsim.figures.titles import BLOCKS
from rmtsim.model.ensemble import LECUN
from rmtsim.stats.verdict import reach

#: Names of a diagonal and an off-diagonal block, and what their norms are divided by.
_BLOCKS = {
    "linear": ("H_{ii}", "H_{ij}", r"\,/\,d"),
    "hidden": ("H_{w_i w_i}", "H_{w_i w_j}", r"\,/\,d"),
    "output": ("H_{v_i v_i}", "H_{v_i v_j}", ""),
}
_LEAST_MARKER, _MARKER_STEP, _LARGEST_MARKER = 3.5, 2.0, 9.5  # points

#: Values that vary less than by this factor (constants in C) are drawn on a linear axis.
_LOG_RANGE = 3

#: Neighbouring series stand this factor apart in C in the lower panels, so that error bars do not hide each other.
_DODGE = 1.07

#: The first and the last of many stand at most this factor apart.
_WIDEST = 1.5


class Shown(Protocol):
    """What the drawing shows; `rmtsim.figures.decay_figure.DecayFigure` describes each."""

    @property
    def heading(self) -> str:
        """Title of the drawing."""
        ...

    @property
    def layers(self) -> Sequence[str]:
        """Layers, each a row of panels."""
        ...

    @property
    def quantities(self) -> Sequence[str]:
        """Quantities, each a column of panels."""
        ...

    @property
    def landmarks(self) -> Mapping[int, str]:
        """Numbers of classes that have a name."""
        ...


def plot_decay(points: pd.DataFrame, curves: pd.DataFrame, spec: Shown) -> Figure:
    """Draw values over C for each layer and quantity, and below them how far they are from the theory.

    Parameters
    ----------
    points, curves
        As `rmtsim.figures.figure_data.figure_data` returns them.
    spec
        The figure: its layers, quantities, landmarks and heading.
    """
    styles = _styles(points)
    with paper_style():
        width = 10 if len(spec.quantities) > 1 else 7
        figure = Figure(figsize=(width, 3.9 * len(spec.layers) + 0.6), layout="constrained")
        panels = figure.subfigures(len(spec.layers), 1, squeeze=False)[:, 0]
        for layer, panel in zip(spec.layers, panels, strict=True):
            if len(spec.layers) > 1:
                panel.suptitle(f"{layer} layer", fontweight="bold", fontsize="large")
            shown, theory = (table[table["layer"] == layer] for table in (points, curves))
            _plot_layer(panel, layer, shown, theory, styles, spec)
        title(figure, _title(points, spec))
        legend_below(figure, _legend(styles, points), columns=3)
    return figure


def _plot_layer(
    panel: SubFigure, layer: str, points: pd.DataFrame, curves: pd.DataFrame, styles: list[Style], spec: Shown
) -> None:
    shape = {"height_ratios": [3, 1.2]}
    axes = panel.subplots(2, len(spec.quantities), sharex=True, squeeze=False, gridspec_kw=shape)
    for quantity, (upper, lower) in zip(spec.quantities, axes.T, strict=True):
        shown, theory = (table[table["quantity"] == quantity] for table in (points, curves))
        plot_values(upper, shown, theory, styles)
        plot_deviations(lower, shown, styles)
        power = theory["power"].iloc[0]
        law = {0: r" $\to$ const.", 1: r" $\sim C$"}.get(power, rf" $\sim C^{{{power:.0f}}}$")
        vanishes = pd.isna(power) or (shown["measured"].dropna() == 0).all()
        upper.set_title(BLOCKS[quantity] + ("" if vanishes else law))
        upper.set_ylabel(_label(layer, quantity))
        lower.set_xlabel(r"number of classes $C$")
        for C, name in spec.landmarks.items():
            upper.axvline(C, color="0.85", linewidth=0.8, zorder=0)
            upper.annotate(
                name, (C, 0.98), xycoords=("data", "axes fraction"), rotation=90, ha="right", va="top", color="0.4"
            )
    axes[1, 0].set_ylabel("measured\nover theory\n$-$ 1 (%)", fontsize="small")


def plot_values(ax: Axes, points: pd.DataFrame, curves: pd.DataFrame, styles: list[Style]) -> None:
    """Measured values with standard errors over C, the theory at their size (solid) and as C → ∞ (dashed).

    Bars are of one standard error's level (68 %), longer upwards where the draws are skew.
    """
    measured = points["measured"].dropna()
    if (measured == 0).all():
        words = "zero in every\ndraw so far"
        if measured.empty:
            words = "there are\nno such blocks"
        elif (points["finite"] == 0).all():  # by the model; draws alone cannot show it
            words = "identically zero\nin every draw"
        ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center")
        ax.set_yticks([])
        ax.set_xscale("log")
        set_log_ticks(ax.xaxis, points["n_classes"])
        return
    for style in styles:
        for kind, how in (("finite", "-"), ("asymptote", "--")):
            curve = style.of(curves, *style.keys)
            curve = curve[(curve["kind"] == kind) & (curve["value"] > 0)]
            ax.plot(curve["n_classes"], curve["value"], how, color=style.color, linewidth=1, label=f"_{kind}")
        shown = style.of(points, *style.keys).dropna(subset="measured")
        ends = reach(shown["std_error"], shown["skewness"])
        bars(ax, shown["n_classes"], shown["measured"], ends, shown["heavy_tail"], capsize=2.5, **style.marks)
    ax.set_xscale("log")
    set_log_ticks(ax.xaxis, points["n_classes"])
    drawn = pd.concat([points["measured"], curves.loc[curves["value"] > 0, "value"]])
    if drawn.max() > _LOG_RANGE * drawn.min():
        ax.set_yscale("log")
        set_log_ticks(ax.yaxis)


def plot_deviations(ax: Axes, points: pd.DataFrame, styles: list[Style]) -> None:
    """Measured over theory at finite d and N, less 1; bars: both standard errors. Dotted: the limit over the same."""
    ax.axhline(0, color="0.6", linewidth=0.8)
    dodge = min(_DODGE, _WIDEST ** (1 / max(1, len(styles) - 1)))
    for place, style in enumerate(styles):
        shown = style.of(points, *style.keys)
        shown = shown[(shown["finite"] > 0) & shown["measured"].notna()]
        by = shown["finite"] / 100
        spread = (shown["std_error"] ** 2 + shown["std_error_finite"] ** 2) ** 0.5
        third = shown["skewness"] * (shown["std_error"] / spread).fillna(0.0) ** 3
        ends = reach(spread, third) / by.to_numpy()
        beside = dodge ** (place - (len(styles) - 1) / 2)
        ax.plot(shown["n_classes"], (shown["limit"] - shown["finite"]) / by, ":", color=style.color, linewidth=1)
        off = (shown["measured"] - shown["finite"]) / by
        bars(ax, shown["n_classes"], off, ends, shown["heavy_tail"], beside=beside, capsize=2, **style.marks)
    if not (points["finite"] > 0).any():
        ax.set_yticks([])


@dataclass(frozen=True)
class Style:
    """How one series (a sweep over C with all else fixed) looks."""

    keys: tuple[str, ...]
    values: tuple[Any, ...]
    color: tuple[float, float, float]
    marker: str
    size: float
    label: str

    @property
    def marks(self) -> dict[str, Any]:
        """Arguments of ``Axes.errorbar``."""
        look = {"markersize": self.size, "markerfacecolor": "none", "elinewidth": 1}
        return look | {"fmt": self.marker, "color": self.color, "label": self.label}

    def of(self, table: pd.DataFrame, *keys: str) -> pd.DataFrame:
        """Return the rows of this series, by those of its keys that are given."""
        chosen = pd.Series(True, index=table.index)
        for key, value in zip(self.keys, self.values, strict=True):
            if key in keys:
                chosen &= table[key].isna() if pd.isna(value) else (table[key] == value).fillna(False)
        return table[chosen]


def _styles(points: pd.DataFrame) -> list[Style]:
    """Colour by aspect ratio, for every series a marker of its own, and in the label what varies.

    The first markers are the largest: where series coincide, as the output layer's over d/N, they nest.
    """
    keys = ("aspect_ratio", "width", "dim", "ensemble")
    gammas = sorted(points["aspect_ratio"].unique())
    palette = dict(zip(gammas, colors(len(gammas)), strict=True))
    symbols = {"aspect_ratio": "d/N", "width": "m", "dim": "d"}
    varying = [key for key in keys if key == "aspect_ratio" or points[key].nunique() > 1]
    styles = []
    series = points[list(keys)].drop_duplicates().sort_values(list(keys))
    step = min(_MARKER_STEP, (_LARGEST_MARKER - _LEAST_MARKER) / max(1, len(series) - 1))
    for place, (_, row) in enumerate(series.iterrows()):
        label = ", ".join(f"${symbols[key]} = {row[key]:g}$" if key in symbols else row[key] for key in varying)
        size = _LEAST_MARKER + step * (len(series) - 1 - place)
        styles.append(Style(keys, tuple(row[list(keys)]), palette[row["aspect_ratio"]], marker(place), size, label))
    return styles


def _legend(styles: list[Style], points: pd.DataFrame) -> list[Line2D]:
    return [
        *(mark(style.label, color=style.color, marker=style.marker) for style in styles),
        line(r"theory at this $C$, $d$, $N$"),
        line(r"theory, $d, N \to \infty$, then $C \to \infty$", "--"),
        line(r"lower panels: limit $d, N \to \infty$ over theory at this $d, N$", ":"),
        *faint(points["heavy_tail"]),
    ]


def _title(points: pd.DataFrame, spec: Shown) -> str:
    """Name and what does not vary."""
    fixed = [
        f"${symbol} = {points[key].dropna().iloc[0]}$"
        for key, symbol in (("dim", "d"), ("width", "m"))
        if points[key].nunique() == 1
    ]
    ensembles = points["ensemble"].unique()
    words = [ensembles[0]] if len(ensembles) == 1 and ensembles[0] != str(LECUN) else []
    return ", ".join([spec.heading, *fixed, *words])


def _label(layer: str, quantity: str) -> str:
    """Name of a quantity with its normalisation."""
    diag, offdiag, scale = _BLOCKS[layer]
    norm = r"\mathbb{{E}}\,\Vert {} \Vert_F^2".format
    if quantity == "ratio":
        return f"${norm(offdiag)} \\; / \\; {norm(diag)}$"
    return f"${norm(diag if quantity == 'diag' else offdiag)}{scale}$"
