"""Figure 13: the loss through training."""

from __future__ import annotations

import math

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmtsim.figures.style import paper_style
from rmtsim.paper.dynamic_force import loss_floor
from rmtsim.paper.hessian_pictures import PROGRESS
from rmtsim.paper.training import scheduled, standard_errors
from rmtsim.paper.training_figure import LOSSES
from rmtsim.stats.quoted import quoted
from rmtsim.text.words import number_of

#: Losses that span more than this factor are drawn over their logarithm.
_WIDE = 10

#: The last part of the steps, and the part of the fall of the loss that it may make where the curve is flat.
_END, _FLAT = 0.1, 0.01

_RUN = ["loss", "n_classes", "dim", "n_samples", "hidden", "steps", "learning_rate"]


def losses(table: pd.DataFrame) -> pd.DataFrame:
    """Return the losses of trained networks, one row per run and kept step.

    Parameters
    ----------
    table
        Tables of ``rmtsim.training.trajectory.trajectory_task``, those of Figures 2 and 3 one below the other.

    Returns
    -------
    DataFrame
        ``loss``, ``n_classes``, ``dim``, ``n_samples``, ``hidden``, ``steps``, ``learning_rate``, ``draw``, ``step``,
        ``progress`` and ``value``.
    """
    rows = table[(table["quantity"] == "loss") & (table["steps"] > 0)]
    return rows.sort_values([*_RUN, "draw", "step"], ignore_index=True)[[*_RUN, "draw", "step", "progress", "value"]]


def plot_loss_curves(table: pd.DataFrame) -> Figure:
    """Draw a panel for each loss: a line per draw, the loss of a constant answer, and what MSE cannot fall below."""
    rows = losses(table)
    kinds = [loss for loss in LOSSES if (rows["loss"] == loss).any()]
    with paper_style():
        figure = Figure(figsize=(1 + 4.2 * len(kinds), 3.6), layout="constrained")
        for loss, ax in zip(kinds, figure.subplots(1, len(kinds), squeeze=False)[0], strict=True):
            _plot(ax, rows[rows["loss"] == loss])
        one = rows.iloc[0]
        figure.suptitle(
            f"Loss through training: $C = {one.n_classes}$, $d = {one.dim}$, $N = {one.n_samples}$, $m = {one.hidden}$",
            fontsize="x-large",
        )
    return figure


def _plot(ax: Axes, rows: pd.DataFrame) -> None:
    one = rows.iloc[0]
    color = sns.color_palette("colorblind")[0]
    for k, (_, of_draw) in enumerate(rows.groupby("draw")):
        label = number_of(rows["draw"].nunique(), "draw") if k == 0 else "_draw"
        ax.plot(of_draw["step"], of_draw["value"], color=color, linewidth=0.9, alpha=0.8, label=label)
    answer, words = _constant_answer(one)
    ax.axhline(answer, color="0.4", linestyle=":", linewidth=1.2, label=words)
    if one.loss == "mse":
        floor = loss_floor(int(one.n_classes), int(one.n_samples), int(one.hidden))
        ax.axhline(floor, color="k", linestyle="--", linewidth=1.2, label=f"least that rank {one.hidden} allows")
    if rows["value"].max() > _WIDE * rows["value"].min():
        ax.set_yscale("log")
    ax.set_xlim(0, one.steps)
    ax.set_xlabel("steps of Adam")
    ax.set_ylabel("loss")
    ax.set_title(f"{LOSSES[one.loss]}, learning rate from {one.learning_rate:g}")
    ax.legend(frameon=False)


def report_loss_curves(table: pd.DataFrame) -> str:
    """Tell the loss at the paper's checkpoints, and whether its curve is flat at the end."""
    legend = "A cosine schedule ends flat in any case: the run is over then, but the loss need not be the least."
    return "\n".join([*_lines(losses(table)), "", legend])


def headline_loss_curves(table: pd.DataFrame) -> str:
    """Tell in Markdown from where to where the loss fell."""
    return "\n".join(f"- {line.strip()}" for line in _lines(losses(table)) if line.startswith("  from"))


def _lines(rows: pd.DataFrame) -> list[str]:
    lines = []
    for _, of_setting in rows.groupby(_RUN, sort=False):
        one, draws = of_setting.iloc[0], of_setting.groupby("draw")
        name = f"{one.loss.upper()}, C = {one.n_classes}, d = {one.dim}, N = {one.n_samples}, m = {one.hidden}"
        lines.append(f"{name}: {scheduled(one)}, {number_of(len(draws), 'draw')}")
        told = of_setting[of_setting["progress"].isin(PROGRESS)].groupby("progress")["value"]
        means, errors = told.mean(), standard_errors(told)
        lines.append("  " + ", ".join(f"{at:.0%}: {quoted(means[at], errors[at])}" for at in means.index))
        last = draws["value"].last()
        before = of_setting[of_setting["progress"] <= 1 - _END].groupby("draw")["value"].last()
        end = ((before - last) / (draws["value"].first() - last)).abs().max()
        answer, words = _constant_answer(one)
        lines.append(
            f"  from {quoted(means.iloc[0], errors.iloc[0])} to {quoted(means.iloc[-1], errors.iloc[-1])} ({words}: "
            f"{answer:.3f}); the last {_END:.0%} of the steps make {end:.1e} of the fall: "
            f"{'flat' if end < _FLAT else 'not flat'} ({name}; {scheduled(one)})"
        )
    return lines


def _constant_answer(one: pd.Series) -> tuple[float, str]:
    """Loss of a network that says nothing."""
    return (math.log(one.n_classes), "all classes alike, log C") if one.loss == "ce" else (1.0, "answer 0")
