"""The figure of Propositions 2 and 3: eigenvalues of simulated blocks, and their limiting spectra."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmtsim.figures.style import paper_style
from rmtsim.stats.predictions import plain
from rmtsim.theory.spectra import Spectrum, block_spectrum

Values = npt.NDArray[np.float64]

#: Power of C that the eigenvalues of a block are multiplied by, and their sign.
_SCALE = {"diag": (1, 1), "offdiag": (2, -1)}
_TITLES = {"diag": r"diagonal blocks $H_{ii}$", "offdiag": r"off-diagonal blocks $-H_{ij}$"}
_AXES = {"diag": r"$C \times$ eigenvalue of $H_{ii}$", "offdiag": r"$C^2 \times$ eigenvalue of $-H_{ij}$"}

_BINS, _CURVE_POINTS = 32, 400

#: Points that the limiting distribution function is interpolated from, to under 1e-5.
_CDF_POINTS = 1000
_MARKERS = "osD^v"

#: Side step of neighbouring marks at the same d, as a factor.
_DODGE = 1.06


@cache
def limiting_spectrum(block: str, n_classes: int | None, aspect_ratio: float) -> Spectrum:
    """Limiting law (55) of H_ii, or (56) of −H_ij, of linear CE; without a C that of C H_ii, of −C² H_ij, as C → ∞."""
    return block_spectrum("linear", "ce", "linear", block, n_classes, aspect_ratio)


def kolmogorov_smirnov(eigenvalues: pd.DataFrame) -> pd.DataFrame:
    """Distances between the eigenvalues of every draw and their limiting law.

    Parameters
    ----------
    eigenvalues
        The table of ``rmtsim.paper.block_eigenvalues``: blocks of linear CE.

    Returns
    -------
    DataFrame
        One row per block, C and d: ``draws``, the mean over draws of sup_x |F_draw(x) − F(x)| as ``distance``, and its
        ``std_error``. The weights of a draw are N samples of their law, given its V, so this falls as d^−1/2 in the
        end; at small d an error of order 1/d adds to it.
    """
    lines = []
    for key, of_block in eigenvalues.groupby(["block", "n_classes"], sort=False):
        block, C = plain(key)
        gamma = float((of_block["dim"] / of_block["n_samples"]).iloc[0])
        law = limiting_spectrum(block, C, gamma)
        grid, _ = law.grid(_CDF_POINTS)
        below = np.interp(_SCALE[block][1] * of_block["eigenvalue"].to_numpy(), grid, law.cdf(grid))
        for dim, of_size in of_block.assign(below=below).groupby("dim"):
            found = np.array([_distance(draw["below"].to_numpy()) for _, draw in of_size.groupby("draw")])
            error = float(np.std(found, ddof=1)) / len(found) ** 0.5 if len(found) > 1 else np.nan
            lines.append(
                {"block": block, "n_classes": C, "dim": dim, "draws": len(found)}
                | {"distance": float(np.mean(found)), "std_error": error}
            )
    return pd.DataFrame(lines)


def slopes(distances: pd.DataFrame) -> pd.DataFrame:
    """Power of d that the distances fall by, with its standard error, per block and C."""
    lines = []
    for key, group in distances.groupby(["block", "n_classes"], sort=False):
        block, C = plain(key)
        weight = (group["distance"] / group["std_error"]).to_numpy()
        design = np.stack([np.ones(len(group)), np.log(group["dim"].to_numpy(float))], axis=1) * weight[:, None]
        inverse = np.linalg.pinv(design)
        slope, error = (inverse @ (np.log(group["distance"].to_numpy()) * weight))[1], np.linalg.norm(inverse[1])
        last = group.iloc[-1]
        lines.append({"block": block, "n_classes": C, "dim": last["dim"], "distance": last["distance"]})
        lines[-1] |= {"std_error": last["std_error"], "slope": slope, "std_error_slope": error}
    return pd.DataFrame(lines)


def render_spectrum(eigenvalues: pd.DataFrame) -> str:
    """Lay out the distances at the largest size and their slopes as plain text."""
    lines = [f"{'block':14} {'C':>5} {'d':>5} {'distance':>17} {'slope in d':>16}"]
    for row in slopes(kolmogorov_smirnov(eigenvalues)).to_dict("records"):
        distance = f"{row['distance']:.4f} ± {row['std_error']:.4f}"
        slope = f"{row['slope']:+.3f} ± {row['std_error_slope']:.3f}"
        block = {"diag": "diagonal", "offdiag": "off-diagonal"}[row["block"]]
        lines.append(f"{block:14} {row['n_classes']:5} {row['dim']:5} {distance:>17} {slope:>16}")
    legend = "distance: Kolmogorov-Smirnov, of the eigenvalues of one block to the limiting law at its C and d/N."
    return "\n".join([*lines, "", legend])


def plot_spectrum(eigenvalues: pd.DataFrame) -> Figure:
    """Draw the figure from the table of ``rmtsim.paper.block_eigenvalues``."""
    classes = sorted(eigenvalues["n_classes"].unique().tolist())
    colors = dict(zip(classes, sns.color_palette("colorblind", len(classes)), strict=True))
    largest = eigenvalues[eigenvalues["dim"] == eigenvalues["dim"].max()]
    with paper_style():
        figure = Figure(figsize=(10, 4.3), layout="constrained")
        *densities, right = figure.subplots(1, 3, width_ratios=[1.2, 1.2, 1.1])
        for block, ax in zip(_SCALE, densities, strict=True):
            _plot_density(ax, block, largest[largest["block"] == block], colors)
        _plot_distances(right, kolmogorov_smirnov(eigenvalues), colors)
        dim, n_samples = largest[["dim", "n_samples"]].iloc[0]
        figure.suptitle(
            f"Spectra of Hessian blocks: linear model, cross-entropy, $d = {dim}$, $N = {n_samples}$",
            fontsize="x-large",
        )
        figure.legend(handles=_legend(colors), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _plot_density(ax: Axes, block: str, rows: pd.DataFrame, colors: dict[int, Any]) -> None:
    """Histograms of log eigenvalues, a mark per bin, and the limiting densities x f(x)."""
    power, sign = _SCALE[block]
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
    ax.set_ylim(0)
    ax.set_xlim(0.6 * points[0], points[np.cumsum(density * np.gradient(points)) < 0.9995][-1])
    ax.set_xlabel(_AXES[block])
    ax.set_ylabel("density of its logarithm")
    ax.set_title(_TITLES[block])


def _plot_distances(ax: Axes, distances: pd.DataFrame, colors: dict[int, Any]) -> None:
    """Kolmogorov-Smirnov distances over d; diagonal blocks hollow, off-diagonal ones filled."""
    fits = slopes(distances)
    groups = distances.groupby(["block", "n_classes"], sort=False)
    for place, (key, group) in enumerate(groups):
        block, C = plain(key)
        look = _marks(colors, C) | {"color": colors[C], "capsize": 2, "elinewidth": 1}
        look |= {} if block == "diag" else {"markerfacecolor": colors[C]}
        d = group["dim"] * _DODGE ** (place - (groups.ngroups - 1) / 2)
        ax.errorbar(d, group["distance"], group["std_error"], linestyle="", **look)
    sizes = np.unique(distances["dim"]).astype(float)
    guide = 0.6 * distances.groupby("dim")["distance"].min().iloc[0]
    ax.plot(sizes, guide * (sizes / sizes[0]) ** -0.5, ":", color="0.4", linewidth=1, label="_slope")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
    ax.minorticks_off()
    ax.set_xlabel("dimension $d$")
    ax.set_ylabel("Kolmogorov–Smirnov distance")
    steepest, flattest = fits["slope"].min(), fits["slope"].max()
    ax.set_title(f"slopes ${flattest:.2f}$ to ${steepest:.2f}$")


def _legend(colors: dict[int, Any]) -> list[Line2D]:
    marks = [
        Line2D([], [], color=color, linewidth=1.2, **_marks(colors, C), label=f"$C = {C}$: simulated, limit")
        for C, color in colors.items()
    ]
    return [
        *marks,
        Line2D([], [], linestyle="--", color="k", label=r"$C \to \infty$: log-normal weights"),
        Line2D([], [], linestyle=":", color="0.4", label=r"right: slope $d^{-1/2}$"),
        Line2D([], [], linestyle="", marker="o", color="0.3", mfc="none", label="right, hollow: diagonal"),
        Line2D([], [], linestyle="", marker="o", color="0.3", label="right, filled: off-diagonal"),
    ]


def _marks(colors: dict[int, Any], C: int) -> dict[str, Any]:
    marker = _MARKERS[list(colors).index(C) % len(_MARKERS)]
    return {"marker": marker, "markersize": 4, "markerfacecolor": "none", "markeredgewidth": 0.8}


def _distance(below: Values) -> float:
    """Kolmogorov-Smirnov statistic from F(x) at the eigenvalues of one draw."""
    below = np.sort(below)
    steps = np.arange(len(below) + 1) / len(below)
    return float(max(np.max(steps[1:] - below), np.max(below - steps[:-1])))
