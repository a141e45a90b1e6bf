"""The picture of the eigenvalues of (1/n) X Λ Xᵀ beside the generalised Marchenko–Pastur law."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.places import bars_beside
from rmtsim.figures.style import colors as palette
from rmtsim.figures.style import marker, paper_style, title
from rmtsim.paper.wishart_laws import DIM, SAMPLES, WEIGHTS, law_scale, wishart_law

Values = npt.NDArray[np.float64]

_TITLES = {
    "identity": r"$\Lambda = I$",
    "coupled": r"$\Lambda(X)$: linear CE, $H_{ii}$",
    "copy": r"$\Lambda(\tilde X)$: independent copy",
}
_BINS, _CURVE_POINTS = 60, 400


def plot_wishart(eigenvalues: pd.DataFrame, distances: pd.DataFrame) -> Figure:
    """Draw the eigenvalues at the slides' size, and the distances over n; the parts of the numbers of these names."""
    colors = dict(zip(WEIGHTS, palette(len(WEIGHTS)), strict=True))
    with paper_style():
        figure = Figure(figsize=(10, 5.8), layout="constrained")
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.15, 1])[:, 0]
        for weights, ax in zip(WEIGHTS, upper.subplots(1, 3), strict=True):
            at_size = distances[(distances["weights"] == weights) & (distances["n_samples"] == SAMPLES)]
            _plot_histogram(ax, eigenvalues[eigenvalues["weights"] == weights], at_size.iloc[0], colors[weights])
        left, right = lower.subplots(1, 2, width_ratios=[1, 1.25])
        _plot_atom(left, eigenvalues, colors)
        _plot_distances(right, distances, colors)
        repeats = eigenvalues["draw"].nunique()
        title(figure, rf"Eigenvalues of $A_n = X \Lambda X^T/n$, $n = {SAMPLES}$, $d = {DIM}$, {repeats} samples")
    return figure


def _plot_histogram(ax: Axes, rows: pd.DataFrame, line: pd.Series, color: Any) -> None:
    """Draw the density of the non-zero eigenvalues, of mass n/d, and the law's; the atom stands in words."""
    x = rows["eigenvalue"].to_numpy()
    weights, n_classes = rows["weights"].iloc[0], int(rows["n_classes"].iloc[0])
    scale = law_scale(weights, n_classes)
    total = rows["draw"].nunique() * DIM
    edges = np.linspace(x.min(), np.quantile(x, 0.999), _BINS + 1)
    counts, _ = np.histogram(x, edges)
    ax.stairs(counts / (total * np.diff(edges)), edges, fill=True, color=color, alpha=0.35, label="simulated")
    points, density = wishart_law(weights, n_classes, DIM / SAMPLES).grid(_CURVE_POINTS)
    ax.plot(scale * points, density / scale, "k-", linewidth=1.2, label="limiting law")
    ax.set_xlim(0, edges[-1])
    ax.set_title(_TITLES[weights])
    ax.set_xlabel("eigenvalue" if weights == "identity" else f"$C \\times$ eigenvalue, $C = {n_classes}$")
    ax.set_ylabel("density")
    atom = f"atom at 0: {line['atom']:.4f}\n(law: {line['atom_law']:.4f})"
    words = f"{atom}\nKS distance\n{line['distance']:.4f} $\\pm$ {line['std_error_distance']:.4f}"
    ax.set_ylim(0, 1.55 * density.max() / scale)
    ax.text(0.97, 0.96, words, transform=ax.transAxes, ha="right", va="top", fontsize="small")
    ax.legend(frameon=False, loc="upper left", fontsize="small")


def _plot_atom(ax: Axes, rows: pd.DataFrame, colors: dict[str, Any]) -> None:
    """Draw the distribution functions, atoms included."""
    for weights, color in colors.items():
        part = rows[rows["weights"] == weights]
        n_classes = int(part["n_classes"].iloc[0])
        x = np.sort(part["eigenvalue"].to_numpy())
        total = part["draw"].nunique() * DIM
        share = (total - len(x) + np.arange(len(x))) / total
        places = np.unique(np.linspace(0, len(x) - 1, 4000).astype(int))
        below, reached = np.append([0, 0], x[places]), np.append([0, share[0]], share[places])
        ax.plot(below, reached, color=color, linewidth=2.5, alpha=0.6)
        if weights != "coupled":
            scale, law = law_scale(weights, n_classes), wishart_law(weights, n_classes, DIM / SAMPLES)
            points, _ = law.grid(_CURVE_POINTS)
            ax.plot(np.append(0, scale * points), np.append(law.atom, law.cdf(points)), "k--", linewidth=1)
        ax.plot([], [], color=color, linewidth=2.5, alpha=0.6, label=_TITLES[weights])
    ax.plot([], [], "k--", linewidth=1, label="limiting laws")
    ax.axhline(1 - SAMPLES / DIM, color="0.6", linestyle=":", linewidth=1, label=r"$1 - n/d$")
    ax.set_xlim(-0.3, np.quantile(rows["eigenvalue"], 0.999))
    ax.set_ylim(0.78, 1.006)
    ax.set_xlabel("eigenvalue ($\\times\\, C$ where $\\Lambda$ is of CE)")
    ax.set_ylabel("distribution function")
    ax.legend(frameon=False, loc="lower right", fontsize="small", bbox_to_anchor=(1, 0.26))


def _plot_distances(ax: Axes, distances: pd.DataFrame, colors: dict[str, Any]) -> None:
    """Draw the distances over n: to the law, of one draw and of the mean spectrum; and of the coupled to the copy."""
    look: dict[str, Any] = {"linestyle": "", "capsize": 2.5, "elinewidth": 1, "markersize": 5}
    for k, (weights, color) in enumerate(colors.items()):
        part = distances[distances["weights"] == weights]
        sizes, beside = part["n_samples"], 1.04 ** (k - 1)
        own = look | {"marker": marker(k), "color": color}
        of_draw = part["distance_of_draw"], part["std_error_distance_of_draw"]
        bars_beside(ax, sizes, *of_draw, beside, **own, label=_TITLES[weights])
        bars_beside(ax, sizes, part["distance"], part["std_error_distance"], beside, **own, mfc="none", label="_mean")
        if weights == "coupled":
            apart = look | {"marker": "x", "color": "k", "label": r"means of $\Lambda(X)$ and $\Lambda(\tilde X)$"}
            copied = part["distance_to_copy"], part["std_error_distance_to_copy"]
            bars_beside(ax, sizes, *copied, 1.12 * beside, **apart)
    ax.errorbar([], [], [], color="0.4", marker="o", mfc="none", label="hollow: mean spectrum", **look)
    n = np.unique(distances["n_samples"]).astype(float)
    top = 1.5 * distances["distance_of_draw"].max()
    ax.plot(n, top * (n / n[0]) ** -0.5, ":", color="0.4", label=r"slope $n^{-1/2}$")
    ax.plot(n, top * n[0] / n, "-.", color="0.4", label=r"slope $n^{-1}$")
    ax.set_xscale("log")
    ax.set_yscale("log")
    set_log_ticks(ax.yaxis)
    ax.set_ylim(distances["distance"].min() / 3, 40 * top)
    ax.set_xticks(n, [f"{size:.0f}" for size in n])
    ax.tick_params(axis="x", which="minor", length=0, labelbottom=False)
    ax.set_xlabel("number of samples $n$, $d = 6n$")
    ax.set_ylabel("KS distance to the law")
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="upper center")
