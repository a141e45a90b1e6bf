"""The picture of Figure 13: loss curves."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.parts import part
from rmtsim.figures.style import colors, paper_style
from rmtsim.figures.titles import LOSSES
from rmtsim.text.words import number_of

#: Losses that span more than this factor are drawn over their logarithm.
_WIDE = 10


def plot_losses(numbers: pd.DataFrame, answers: Mapping[str, str]) -> Figure:
    """Draw a panel for each loss: a line per draw, the loss of a constant answer, and what MSE cannot fall below.

    ``answers`` names the constant answer of each loss.
    """
    rows, ends = part(numbers, "curves"), part(numbers, "ends")
    kinds = [loss for loss in LOSSES if (rows["loss"] == loss).any()]
    with paper_style():
        figure = Figure(figsize=(1 + 4.2 * len(kinds), 3.6), layout="constrained")
        for loss, ax in zip(kinds, figure.subplots(1, len(kinds), squeeze=False)[0], strict=True):
            _plot(ax, rows[rows["loss"] == loss], ends[ends["loss"] == loss].iloc[0], answers[loss])
        one = rows.iloc[0]
        figure.suptitle(
            f"Loss through training: $C = {one.n_classes}$, $d = {one.dim}$, $N = {one.n_samples}$, $m = {one.hidden}$",
            fontsize="x-large",
        )
    return figure


def _plot(ax: Axes, rows: pd.DataFrame, end: pd.Series, answer: str) -> None:
    one = rows.iloc[0]
    for k, (_, of_draw) in enumerate(rows.groupby("draw")):
        label = number_of(rows["draw"].nunique(), "draw") if k == 0 else "_draw"
        ax.plot(of_draw["step"], of_draw["value"], color=colors()[0], linewidth=0.9, alpha=0.8, label=label)
    ax.axhline(end.answer, color="0.4", linestyle=":", linewidth=1.2, label=answer)
    if one.loss == "mse":
        ax.axhline(
            end.loss_floor, color="k", linestyle="--", linewidth=1.2, label=f"least that rank {one.hidden} allows"
        )
    if rows["value"].max() > _WIDE * rows["value"].min():
        ax.set_yscale("log")
        set_log_ticks(ax.yaxis)
    ax.set_xlim(0, one.steps)
    ax.set_xlabel("steps of Adam")
    ax.set_ylabel("loss")
    ax.set_title(f"{LOSSES[one.loss]}, learning rate from {one.learning_rate:g}")
    ax.legend(frameon=False)
