"""Limiting densities of block eigenvalues, as `rmtsim theory --spectrum --out` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.style import colors, paper_style, title
from rmtsim.figures.titles import BLOCKS, LOSSES

Values = npt.NDArray[np.float64]

#: What a law is of, mass of its atom at 0, points x and the density there.
Curve = tuple[dict[str, Any], float, Values, Values]

_STYLES = ("-", "--", ":", "-.")

#: Positive eigenvalues that span more than this factor are drawn over their logarithm.
_LOG_RANGE = 30


def plot_densities(curves: Sequence[Curve], model: str, loss: str) -> Figure:
    """Draw one panel per kind of block, with a curve for each law; those of the same C share a colour."""
    blocks = list(dict.fromkeys(case["block"] for case, *_ in curves))
    with paper_style():
        figure = Figure(figsize=(1 + 4.5 * len(blocks), 4), layout="constrained")
        for block, ax in zip(blocks, figure.subplots(1, len(blocks), squeeze=False)[0], strict=True):
            _plot(ax, [curve for curve in curves if curve[0]["block"] == block])
            ax.set_title(BLOCKS[block])
        name = {"linear": "linear model", "one_hidden": "hidden layer"}[model]
        title(figure, f"Limiting eigenvalue density, {name}, {LOSSES[loss]}")
    return figure


def _plot(ax: Axes, curves: Sequence[Curve]) -> None:
    in_log = _spans_decades([(x, density) for _, _, x, density in curves if len(x)])
    classes = sorted({case["n_classes"] for case, *_ in curves})
    palette = dict(zip(classes, colors(len(classes)), strict=True))
    count = dict.fromkeys(classes, 0)
    for case, atom, x, density in curves:
        C = case["n_classes"]
        style = _STYLES[count[C] % len(_STYLES)]
        count[C] += 1
        x, density = (x[x > 0], density[x > 0]) if in_log else (x, density)
        ax.plot(x, x * density if in_log else density, style, color=palette[C], label=_label(case, atom))
    sign = "-" if curves[0][0]["sign"] < 0 else ""
    block = {"diag": "H_{ii}", "offdiag": "H_{ij}"}[curves[0][0]["block"]]
    ax.set_xlabel(rf"eigenvalue $x$ of ${sign}{block}$")
    ax.set_ylabel(r"$x \times$ density" if in_log else "density")
    if in_log:
        ax.set_xscale("log")
        set_log_ticks(ax.xaxis)
    if not any(len(x) for _, _, x, _ in curves):
        ax.text(0.5, 0.5, "all eigenvalues are 0", transform=ax.transAxes, ha="center", va="center")
        ax.set_yticks([])
        return
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize="small")


def _spans_decades(laws: Sequence[tuple[Values, Values]]) -> bool:
    """Whether positive eigenvalues, of one law or of all, spread too far for a linear axis."""
    inner = []
    for x, density in laws:
        mass = np.concatenate([[0.0], np.cumsum(np.diff(x) * (density[1:] + density[:-1]) / 2)])
        inner.append(np.interp(np.array([0.05, 0.95]) * mass[-1], mass, x))
    low, high = np.array(inner or [(1.0, 1.0)]).T
    return bool(low.min() > 0 and high.max() > _LOG_RANGE * low.min())


def _label(case: dict[str, Any], atom: float) -> str:
    label = f"$C = {case['n_classes']}$, $d/N = {case['aspect_ratio']:g}$"
    label += "" if case["width"] is None else f", $m = {case['width']}$"
    return label + (f", atom {atom:.3g} at 0" if atom else "")
