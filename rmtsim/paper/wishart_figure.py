"""The slides' eigenvalue histogram of (1/n) X Λ Xᵀ, beside the generalised Marchenko–Pastur law."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmtsim.figures.style import paper_style
from rmtsim.paper.wishart import DIM, SAMPLES, WEIGHTS
from rmtsim.stats.predictions import plain
from rmtsim.theory.spectra import Spectrum, block_spectrum, weight_laws

Values = npt.NDArray[np.float64]

_TITLES = {
    "identity": r"$\Lambda = I$",
    "coupled": r"$\Lambda(X)$: linear CE, $H_{ii}$",
    "copy": r"$\Lambda(\tilde X)$: independent copy",
}
_BINS, _CURVE_POINTS, _CDF_POINTS = 60, 400, 2000

#: Groups of draws left out in turn for standard errors.
_GROUPS = 20
_MARKERS = "osD"


@cache
def wishart_law(weights: str, n_classes: int, aspect_ratio: float) -> Spectrum:
    """Limiting law (37) of A, or of C times the diagonal block of linear CE (55); ``coupled`` and ``copy`` share it."""
    if weights == "identity":
        return Spectrum(weight_laws.bernoulli(1.0, 1.0), aspect_ratio)
    return block_spectrum("linear", "ce", "linear", "diag", n_classes, aspect_ratio)


@cache
def _cdf(weights: str, n_classes: int, aspect_ratio: float) -> tuple[Values, Values]:
    """Points on the scale of A, and the law's distribution function there, to interpolate it to under 1e-5."""
    law = wishart_law(weights, n_classes, aspect_ratio)
    grid, _ = law.grid(_CDF_POINTS)
    return _scale(weights, n_classes) * grid, law.cdf(grid)


def wishart_distances(eigenvalues: pd.DataFrame) -> pd.DataFrame:
    """Distances of the simulated spectra to their limiting laws.

    Parameters
    ----------
    eigenvalues
        The table of ``rmtsim.paper.wishart``.

    Returns
    -------
    DataFrame
        One row per Λ and n:

        - ``draws``; ``atom``, the mean share of zero eigenvalues, its ``std_error_atom``, and ``atom_law`` = 1 − n/d;
        - ``distance`` = sup_x |F̄(x) − F(x)| of the mean F̄ over draws of the spectra's distribution functions, the atom
          included (Kolmogorov–Smirnov), with ``std_error`` by a jackknife over 20 groups of draws: it tends to that of
          the expected spectrum at this n, not to zero, as the draws grow;
        - ``distance_of_draw``: the mean over draws of the distance of one, with ``std_error_of_draw``;
        - ``distance_to_copy`` between ``coupled`` and ``copy`` at the same n, NaN for ``identity``, and
          ``std_error_to_copy``.
    """
    copies = dict(list(eigenvalues[eigenvalues["weights"] == "copy"].groupby("n_samples")))
    lines = []
    for key, group in eigenvalues.groupby(["weights", "dim", "n_samples", "n_classes"], sort=False):
        weights, dim, n_samples, n_classes = plain(key)
        law, cdf = wishart_law(weights, n_classes, dim / n_samples), _cdf(weights, n_classes, dim / n_samples)
        positions = [draw.to_numpy() for _, draw in group.groupby("draw")["eigenvalue"]]
        own = [_distance([x], cdf, dim) for x in positions]
        atoms = group.groupby("draw")["zeros"].first().to_numpy() / dim
        distance, error = _jackknife(lambda kept, cdf=cdf, dim=dim: _distance(kept[0], cdf, dim), [positions])
        line = {"weights": weights, "dim": dim, "n_samples": n_samples, "draws": len(positions)}
        line |= {"atom": float(np.mean(atoms)), "std_error_atom": _sem(atoms), "atom_law": law.atom}
        line |= {"distance": distance, "std_error": error}
        line |= {"distance_of_draw": float(np.mean(own)), "std_error_of_draw": _sem(np.array(own))}
        line |= {"distance_to_copy": np.nan, "std_error_to_copy": np.nan}
        if weights == "coupled" and n_samples in copies:
            other = [draw.to_numpy() for _, draw in copies[n_samples].groupby("draw")["eigenvalue"]]
            apart, error = _jackknife(lambda kept, dim=dim: _apart(kept[0], kept[1], dim), [positions, other])
            line |= {"distance_to_copy": apart, "std_error_to_copy": error}
        lines.append(line)
    return pd.DataFrame(lines)


def _scale(weights: str, n_classes: int) -> float:
    """Scale of A over that of the law: λ is C times the block's."""
    return 1.0 if weights == "identity" else float(n_classes)


def _distance(draws: list[Values], cdf: tuple[Values, Values], dim: int) -> float:
    """Kolmogorov–Smirnov distance of the pooled spectrum of draws (non-zero eigenvalues) to the law."""
    x = np.sort(np.concatenate(draws))
    total = dim * len(draws)
    below = np.interp(x, *cdf)
    steps = (total - len(x) + np.arange(len(x) + 1)) / total
    return float(max(np.max(steps[1:] - below), np.max(below - steps[:-1])))


def _apart(first: list[Values], second: list[Values], dim: int) -> float:
    """Kolmogorov–Smirnov distance of two pooled spectra."""
    x, y = (np.sort(np.concatenate(draws)) for draws in (first, second))
    both = np.concatenate([x, y])
    above = [1 - np.searchsorted(z, both, "right") / len(z) for z in (x, y)]
    shares = [len(z) / (dim * len(draws)) for z, draws in ((x, first), (y, second))]
    return float(np.max(np.abs(above[0] * shares[0] - above[1] * shares[1])))


def _jackknife(statistic: Any, samples: list[list[Values]]) -> tuple[float, float]:
    """Statistic of all draws, and its standard error by leaving out groups of them, the same of every sample."""
    groups = min(_GROUPS, len(samples[0]))
    if groups < 2:
        return statistic(samples), np.nan
    left = [
        statistic([[x for i, x in enumerate(draws) if i % groups != k] for draws in samples]) for k in range(groups)
    ]
    return statistic(samples), float(np.sqrt((groups - 1) * np.var(left)))


def _sem(values: Values) -> float:
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else np.nan


def report_wishart(eigenvalues: pd.DataFrame) -> str:
    """Lay out atoms and distances as plain text."""
    lines = [
        f"{'weights':10} {'n':>4} {'d':>5} {'draws':>6} {'atom':>19} {'1-n/d':>7} {'distance':>17} {'of one draw':>17} "
        f"{'X to copy':>17}"
    ]
    for row in wishart_distances(eigenvalues).to_dict("records"):
        cells = [
            f"{row[name]:.4f} ± {row[f'std_error{suffix}']:.4f}" if np.isfinite(row[name]) else "-"
            for name, suffix in (("distance", ""), ("distance_of_draw", "_of_draw"), ("distance_to_copy", "_to_copy"))
        ]
        atom = f"{row['atom']:.6f} ± {row['std_error_atom']:.6f}"
        sizes = f"{row['weights']:10} {row['n_samples']:4} {row['dim']:5} {row['draws']:6}"
        lines.append(f"{sizes} {atom:>19} {row['atom_law']:7.4f} " + " ".join(f"{cell:>17}" for cell in cells))
    legend = (
        "distance: Kolmogorov-Smirnov, of the mean spectrum over draws to its limiting law, atom included; of one\n"
        "draw: its mean over draws. X to copy: of the mean spectra with weights of X and of an independent copy."
    )
    return "\n".join([*lines, "", legend])


def plot_wishart(eigenvalues: pd.DataFrame) -> Figure:
    """Draw the figure from the experiment's table: histograms at the slides' size, and the distances."""
    shown = eigenvalues[(eigenvalues["dim"] == DIM) & (eigenvalues["n_samples"] == SAMPLES)]
    distances = wishart_distances(eigenvalues)
    colors = dict(zip(WEIGHTS, sns.color_palette("colorblind", len(WEIGHTS)), strict=True))
    with paper_style():
        figure = Figure(figsize=(10, 5.8), layout="constrained")
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.15, 1])[:, 0]
        for weights, ax in zip(WEIGHTS, upper.subplots(1, 3), strict=True):
            at_size = distances[(distances["weights"] == weights) & (distances["n_samples"] == SAMPLES)]
            _plot_histogram(ax, shown[shown["weights"] == weights], at_size.iloc[0], colors[weights])
        left, right = lower.subplots(1, 2, width_ratios=[1, 1.25])
        _plot_atom(left, shown, colors)
        _plot_distances(right, distances, colors)
        repeats = shown["draw"].nunique()
        figure.suptitle(
            rf"Eigenvalues of $A_n = X \Lambda X^T/n$, $n = {SAMPLES}$, $d = {DIM}$, {repeats} samples",
            fontsize="x-large",
        )
    return figure


def _plot_histogram(ax: Axes, rows: pd.DataFrame, line: pd.Series, color: Any) -> None:
    """Density of the non-zero eigenvalues, of mass n/d, and the law's; the atom in words."""
    x = rows["eigenvalue"].to_numpy()
    weights, n_classes = rows["weights"].iloc[0], int(rows["n_classes"].iloc[0])
    scale = _scale(weights, n_classes)
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
    told = f"{atom}\nKS distance\n{line['distance']:.4f} $\\pm$ {line['std_error']:.4f}"
    ax.set_ylim(0, 1.55 * density.max() / scale)
    ax.text(0.97, 0.96, told, transform=ax.transAxes, ha="right", va="top", fontsize="small")
    ax.legend(frameon=False, loc="upper left", fontsize="small")


def _plot_atom(ax: Axes, rows: pd.DataFrame, colors: dict[str, Any]) -> None:
    """Distribution functions, the atom in them."""
    for weights, color in colors.items():
        part = rows[rows["weights"] == weights]
        n_classes = int(part["n_classes"].iloc[0])
        x = np.sort(part["eigenvalue"].to_numpy())
        total = part["draw"].nunique() * DIM
        share = (total - len(x) + np.arange(len(x))) / total
        shown = np.unique(np.linspace(0, len(x) - 1, 4000).astype(int))
        below, reached = np.append([0, 0], x[shown]), np.append([0, share[0]], share[shown])
        ax.plot(below, reached, color=color, linewidth=2.5, alpha=0.6)
        if weights != "coupled":
            scale, law = _scale(weights, n_classes), wishart_law(weights, n_classes, DIM / SAMPLES)
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
    """Distances to the law of one draw and of the mean spectrum, and of the coupled to the copy, over n."""
    look: dict[str, Any] = {"linestyle": "", "capsize": 2.5, "elinewidth": 1, "markersize": 5}
    for k, (weights, color) in enumerate(colors.items()):
        part = distances[distances["weights"] == weights]
        x = part["n_samples"] * 1.04 ** (k - 1)
        own = look | {"marker": _MARKERS[k], "color": color}
        ax.errorbar(x, part["distance_of_draw"], part["std_error_of_draw"], **own, label=_TITLES[weights])
        ax.errorbar(x, part["distance"], part["std_error"], **own, mfc="none", label="_mean")
        if weights == "coupled":
            apart = look | {"marker": "x", "color": "k", "label": r"means of $\Lambda(X)$ and $\Lambda(\tilde X)$"}
            ax.errorbar(x * 1.12, part["distance_to_copy"], part["std_error_to_copy"], **apart)
    ax.errorbar([], [], [], color="0.4", marker="o", mfc="none", label="hollow: mean spectrum", **look)
    n = np.unique(distances["n_samples"]).astype(float)
    top = 1.5 * distances["distance_of_draw"].max()
    ax.plot(n, top * (n / n[0]) ** -0.5, ":", color="0.4", label=r"slope $n^{-1/2}$")
    ax.plot(n, top * n[0] / n, "-.", color="0.4", label=r"slope $n^{-1}$")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(distances["distance"].min() / 3, 40 * top)
    ax.set_xticks(n, [f"{size:.0f}" for size in n])
    ax.tick_params(axis="x", which="minor", length=0, labelbottom=False)
    ax.set_xlabel("number of samples $n$, $d = 6n$")
    ax.set_ylabel("KS distance to the law")
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="upper center")
