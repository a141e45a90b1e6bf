"""The picture of Lemmas 1 and 2: the difference that decoupling makes falls with N, and grows along the path."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.places import bars_beside
from rmtsim.figures.style import MARKS, colors, legend_below, line, mark, marker, paper_style, title
from rmtsim.paper.decoupling_rates import BOUND, COUPLING, RATE, coupling_name

#: The place z, in units of the scale, that is shown; the table has the others.
_PLACE = (1.0, 1.0)

#: The size whose path is shown: the largest with small error bars.
_PATH_SAMPLES = 256


def plot_decoupling(means: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    """Draw the means over draws and the fits at one place z; the parts of the numbers of these names."""
    means, fits = (table[(table["z_real"] == _PLACE[0]) & (table["z_imag"] == _PLACE[1])] for table in (means, fits))
    palette = colors(len(fits))
    with paper_style():
        figure = Figure(figsize=(10, 6.6), layout="constrained")
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[1.1, 1])[0]
        upper, lower = left.subplots(2, 1, sharex=True, height_ratios=[3, 1.2])
        parts = _paths(right)
        handles = []
        for k, (_, fit) in enumerate(fits.iterrows()):
            look = {"color": palette[k], "marker": marker(k)}
            series = means
            for key in COUPLING:
                value = fit[key]
                series = series[series[key].isna() if pd.isna(value) else (series[key] == value).fillna(False)]
            whole = series[series["t"] == 1]
            _plot_rate(upper, whole, fit.exponent, look)
            if fit.model != "radial":
                _plot_ratio(lower, whole, look, shift=1.04 ** (k - 1.5))
                _plot_path(parts, series, look)
            label = f"{coupling_name(fit)}: $N^{{{fit.exponent:.2f} \\pm {fit.std_error_exponent:.2f}}}$"
            handles.append(mark(label, **look))
        _label_rate(upper, lower, means)
        title(figure, r"Decoupling $\Lambda(X) \to \Lambda(\tilde X)$: change of the Stieltjes transform")
        legend_below(figure, [*handles, *_lines()], columns=2)
    return figure


def _plot_rate(ax: Axes, series: pd.DataFrame, exponent: float, look: dict[str, Any]) -> None:
    """Draw |Δ_N| with error bars, and the fitted power, without its correction, through the largest size."""
    N, d = series["n_samples"].to_numpy(float), series["dim"].to_numpy(float)
    value, error = series["difference"].to_numpy() / d, series["std_error_difference"].to_numpy() / d
    ax.errorbar(N, value, error, **MARKS, **look)
    middle = np.exp(np.average(np.log(value) - exponent * np.log(N), weights=N * (value / error) ** 2))
    ax.plot(N, middle * N**exponent, "-", color=look["color"], linewidth=1, label="_fit")


def _plot_ratio(ax: Axes, series: pd.DataFrame, look: dict[str, Any], shift: float) -> None:
    """Draw the ratio of d |Δ_N| to its limit; the bar has both standard errors."""
    limit = np.hypot(series["limit_real"], series["limit_imag"])
    error = np.hypot(series["std_error_difference"], series["std_error_limit"] * series["difference"] / limit)
    bars_beside(ax, series["n_samples"], series["difference"] / limit, error / limit, shift, **MARKS, **look)


def _paths(panel: SubFigure) -> list[Axes]:
    """Return the panels of the path: real and imaginary part."""
    axes: list[Axes] = list(panel.subplots(2, 1, sharex=True))
    for ax, part in zip(axes, (r"\mathrm{Re}", r"\mathrm{Im}"), strict=True):
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.set_ylabel(rf"$d \; {part}\, \Delta_N(t)$")
    axes[0].set_title(rf"along $X(t) = \sqrt{{t}}\, X + \sqrt{{1-t}}\, \tilde X$, $N = {_PATH_SAMPLES}$")
    axes[1].set_xlabel("$t$")
    return axes


def _plot_path(axes: list[Axes], series: pd.DataFrame, look: dict[str, Any]) -> None:
    """Draw the difference along the path at one size, and its limit."""
    at_size = series[series["n_samples"] == min(_PATH_SAMPLES, series["n_samples"].max())]
    for ax, part in zip(axes, ("real", "imag"), strict=True):
        t = [0.0, *at_size["t"]]
        ax.plot(t, [0.0, *at_size[f"limit_{part}"]], "--", color=look["color"], linewidth=1, label="_limit")
        ax.errorbar(
            at_size["t"], at_size[f"difference_{part}"], at_size[f"std_error_difference_{part}"], **MARKS, **look
        )


def _label_rate(upper: Axes, lower: Axes, means: pd.DataFrame) -> None:
    """Label the axes, and draw the slope of the bound beside that of the theory."""
    N = np.unique(means["n_samples"]).astype(float)
    whole = means[means["t"] == 1]
    top = 1.5 * (whole["difference"] / whole["dim"]).max()
    for exponent, how in ((BOUND, ":"), (RATE, "-.")):
        upper.plot(N, top * (N / N[0]) ** exponent, how, color="0.4", linewidth=1, label="_slope")
    upper.set_xscale("log", base=2)
    upper.set_yscale("log")
    set_log_ticks(upper.yaxis)
    upper.set_title(
        r"$\Delta_N = \mathbb{E}\, s_H(z) - \mathbb{E}\, s_{\tilde H}(z)$ at $z = (1 + i)\,$scale, $d/N = 1/2$"
    )
    upper.set_ylabel(r"$|\Delta_N|$ (in units of 1/scale)")
    lower.axhline(1, color="0.6", linewidth=0.8)
    lower.set_ylabel("$d\\,|\\Delta_N|$ over\nits limit", fontsize="small")
    lower.set_xlabel("number of samples $N$")
    lower.set_xticks(N, [f"{size:.0f}" for size in N])
    lower.minorticks_off()


def _lines() -> list[Line2D]:
    return [
        line(r"slope of the bound by Hölder's inequality, $N^{-1/2}$", ":", "0.4"),
        line(r"slope of the theory, $N^{-1}$", "-.", "0.4"),
        line(r"right: theory, $d, N \to \infty$", "--", "0.4"),
    ]
