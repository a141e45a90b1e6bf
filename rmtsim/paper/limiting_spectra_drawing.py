"""The picture of Proposition 1: eigenvalues of simulated blocks, and their limiting spectra."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.style import colors as palette
from rmtsim.figures.style import legend_below, line, mark, marker, paper_style, title
from rmtsim.paper.limiting_laws import SCALE, limiting_spectrum
from rmtsim.stats.predictions import plain

Values = npt.NDArray[np.float64]

_TITLES = {"diag": r"diagonal blocks $H_{ii}$", "offdiag": r"off-diagonal blocks $-H_{ij}$"}
_AXES = {"diag": r"$C \times$ eigenvalue of $H_{ii}$", "offdiag": r"$C^2 \times$ eigenvalue of $-H_{ij}$"}

_BINS, _CURVE_POINTS = 32, 400

#: Side step of neighbouring marks at the same d, as a factor.
_DODGE = 1.06


def plot_spectrum(eigenvalues: pd.DataFrame, distances: pd.DataFrame, slopes: pd.DataFrame) -> Figure:
    """Draw the eigenvalues at the largest d, and the distances over d; the parts of the numbers of these names."""
    classes = sorted(eigenvalues["n_classes"].unique().tolist())
    colors = dict(zip(classes, palette(len(classes)), strict=True))
    with paper_style():
        figure = Figure(figsize=(10, 4.3), layout="constrained")
        *densities, right = figure.subplots(1, 3, width_ratios=[1.2, 1.2, 1.1])
        for block, ax in zip(SCALE, densities, strict=True):
            _plot_density(ax, block, eigenvalues[eigenvalues["block"] == block], colors)
        _plot_distances(right, distances, slopes, colors)
        dim, n_samples = eigenvalues[["dim", "n_samples"]].iloc[0]
        title(figure, f"Spectra of Hessian blocks: linear model, cross-entropy, $d = {dim}$, $N = {n_samples}$")
        legend_below(figure, _legend(colors), columns=4)
    return figure


def _plot_density(ax: Axes, block: str, rows: pd.DataFrame, colors: dict[int, Any]) -> None:
    """Draw histograms of log eigenvalues, a mark per bin, and the limiting densities x f(x)."""
    power, sign = SCALE[block]
    gamma = float((rows["dim"] / rows["n_samples"]).iloc[0])
    for C, color in colors.items():
        x = float(C) ** power * sign * rows.loc[rows["n_classes"] == C, "eigenvalue"].to_numpy()
        counts, edges = np.histogram(np.log(x), bins=_BINS)
        height, middle = counts / (len(x) * np.diff(edges)), np.exp((edges[1:] + edges[:-1]) / 2)
        ax.plot(middle, height, linestyle="", color=color, **_marks(colors, C))
        points, density = limiting_spectrum(block, C, gamma).grid(_CURVE_POINTS)
        ax.plot(float(C) ** power * points, points * density, "-", color=color, linewidth=1.2, label="_theory")
    points, density = limiting_spectrum(block, None, gamma).grid(_CURVE_POINTS)
    ax.plot(points, points * density, "--", color="k", linewidth=1, label="_lognormal")
    ax.set_xscale("log")
    set_log_ticks(ax.xaxis)
    ax.set_ylim(0)
    ax.set_xlim(0.6 * points[0], points[np.cumsum(density * np.gradient(points)) < 0.9995][-1])
    ax.set_xlabel(_AXES[block])
    ax.set_ylabel("density of its logarithm")
    ax.set_title(_TITLES[block])


def _plot_distances(ax: Axes, distances: pd.DataFrame, slopes: pd.DataFrame, colors: dict[int, Any]) -> None:
    """Draw the Kolmogorov-Smirnov distances over d; diagonal blocks are hollow, off-diagonal ones filled."""
    groups = distances.groupby(["block", "n_classes"], sort=False)
    for place, (key, group) in enumerate(groups):
        block, C = plain(key)
        look = _marks(colors, C) | {"color": colors[C], "capsize": 2, "elinewidth": 1}
        look |= {} if block == "diag" else {"markerfacecolor": colors[C]}
        d = group["dim"] * _DODGE ** (place - (groups.ngroups - 1) / 2)
        ax.errorbar(d, group["distance"], group["std_error_distance"], linestyle="", **look)
    sizes = np.unique(distances["dim"]).astype(float)
    guide = 0.6 * distances.groupby("dim")["distance"].min().iloc[0]
    ax.plot(sizes, guide * (sizes / sizes[0]) ** -0.5, ":", color="0.4", linewidth=1, label="_slope")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    set_log_ticks(ax.yaxis)
    ax.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
    ax.minorticks_off()
    ax.set_xlabel("dimension $d$")
    ax.set_ylabel("Kolmogorov–Smirnov distance")
    steepest, flattest = slopes["slope"].min(), slopes["slope"].max()
    ax.set_title(f"slopes ${flattest:.2f}$ to ${steepest:.2f}$")


def _legend(colors: dict[int, Any]) -> list[Line2D]:
    marks = [
        Line2D([], [], color=color, linewidth=1.2, **_marks(colors, C), label=f"$C = {C}$: simulated, limit")
        for C, color in colors.items()
    ]
    return [
        *marks,
        line(r"$C \to \infty$: log-normal weights", "--", "k"),
        line(r"right: slope $d^{-1/2}$", ":", "0.4"),
        mark("right, hollow: diagonal", color="0.3"),
        mark("right, filled: off-diagonal", color="0.3", markerfacecolor="0.3"),
    ]


def _marks(colors: dict[int, Any], C: int) -> dict[str, Any]:
    look = {"markersize": 4, "markerfacecolor": "none", "markeredgewidth": 0.8}
    return {"marker": marker(list(colors).index(C)), **look}
