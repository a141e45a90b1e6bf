"""The picture of README: what a Hessian block is, and what becomes of the blocks as C grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import rmtsim
from rmtsim.figures.style import paper_style

#: Numbers of classes of the three Hessians, and their d and N.
CLASSES, DIM, SAMPLES = (3, 10, 50), 12, 6

#: What a colour stands for.
_LABEL = "|entry| over the r.m.s. entry\nof the diagonal blocks"


@dataclass(frozen=True)
class Panel:
    """One Hessian, and what its blocks hold.

    Parameters
    ----------
    hessian
        The matrix, of order C d.
    ratio
        Mean squared norm of the off-diagonal blocks over that of the diagonal ones.
    outside
        Share of the squared norm that lies outside the diagonal blocks.
    scale
        Root mean square entry of the diagonal blocks.
    """

    n_classes: int
    hessian: Any
    ratio: float
    outside: float
    scale: float


def panel(n_classes: int) -> Panel:
    """Return the Hessian of one draw of the linear model with cross-entropy, X and V as in Theorem 1."""
    rng = np.random.default_rng(n_classes)
    X, V = rng.normal(size=(SAMPLES, DIM)), rng.normal(size=(n_classes, DIM)) / DIM**0.5
    norms = rmtsim.block_norms(X, V, loss="ce")["linear"]
    diag, offdiag = float(norms.diag_sqfro), float(norms.offdiag_sqfro)
    outside = (n_classes - 1) * offdiag / (diag + (n_classes - 1) * offdiag)
    return Panel(n_classes, rmtsim.hessian(X, V, loss="ce"), offdiag / diag, outside, diag**0.5 / DIM)


def draw() -> Figure:
    """Draw the three Hessians side by side."""
    with paper_style():
        figure = Figure(figsize=(9.6, 3.7), layout="constrained")
        for ax, n_classes in zip(figure.subplots(1, len(CLASSES)), CLASSES, strict=True):
            image = _draw_panel(ax, panel(n_classes))
        figure.colorbar(image, ax=figure.axes, label=_LABEL, extend="max", ticks=[0, 1, 2], shrink=0.75, pad=0.015)
    return figure


def _draw_panel(ax: Axes, shown: Panel) -> Any:
    order = shown.n_classes * DIM
    image = ax.imshow(
        np.abs(shown.hessian) / shown.scale,
        cmap="Blues",
        vmin=0,
        vmax=2,
        extent=(0, order, order, 0),
        interpolation="nearest",
    )
    lines = np.arange(0, order + 1, DIM)
    width = 1.0 if shown.n_classes <= 3 else 0.5 if shown.n_classes <= 10 else 0.15
    ax.hlines(lines, 0, order, color="0.45", linewidth=width)
    ax.vlines(lines, 0, order, color="0.45", linewidth=width)
    ax.set_title(
        f"$C = {shown.n_classes}$ classes\n{100 * shown.outside:.2g} % outside the diagonal blocks", fontsize=10.5
    )
    ax.set_xticks([])
    ax.set_yticks([])
    if shown.n_classes == CLASSES[0]:
        _name_blocks(ax)
    return image


def _name_blocks(ax: Axes) -> None:
    middles = (np.arange(CLASSES[0]) + 0.5) * DIM
    names = [f"weights of\nclass {number + 1}" for number in range(CLASSES[0])]
    ax.set_xticks(middles, names, fontsize=8)
    ax.set_yticks(middles, names, fontsize=8)
    ax.tick_params(length=0)
    for row, y in enumerate(middles):
        for column, x in enumerate(middles):
            ax.text(
                x,
                y,
                f"$H_{{{row + 1}{column + 1}}}$",
                ha="center",
                va="center",
                fontsize=14,
                bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            )
