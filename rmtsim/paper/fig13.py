"""Figure 13: the loss through training, of the runs of Figures 2 and 3."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from rmtsim.figures import Figure, register
from rmtsim.figures.parts import join_parts, part
from rmtsim.paper.dynamic_force import loss_floor
from rmtsim.paper.fig2 import Fig2
from rmtsim.paper.fig3 import Fig3
from rmtsim.paper.hessian_pictures import PROGRESS
from rmtsim.paper.trained_networks import scheduled, standard_errors
from rmtsim.stats.quoted import quoted
from rmtsim.stats.verdict import FLAT
from rmtsim.sweeps.experiment import Experiment
from rmtsim.text.words import number_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

#: The last part of the steps, whose part of the fall of the loss says whether the curve is flat at the end.
_END = 0.1

#: Columns that identify a run, but for its draw.
_RUN = ["loss", "n_classes", "dim", "n_samples", "hidden", "steps", "learning_rate"]

#: The constant answer whose loss the curves are held against, by the loss.
ANSWERS = {"ce": "all classes alike, log C", "mse": "answer 0"}


@register
class Fig13(Figure):
    """Loss curves, and whether they are flat at the end."""

    name = "fig13"
    title = "Loss through training"
    source = "Figure 13"
    sentence = (
        "All the models are trained using Adam with lr = 1e-4 with cosine annealing schedule with lr_min = 0. We "
        "train the models until convergence."
    )
    place = 15

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the tables of Figures 2 and 3."""
        return Experiment("fig13", parts=[Fig2().tables(full), Fig3().tables(full)])

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the losses, their means and how flat the curves end, see `loss_numbers`."""
        return loss_numbers(rows)

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw a panel for each loss: a line per draw, the loss of a constant answer, and the least loss of MSE."""
        from rmtsim.paper.fig13_drawing import plot_losses

        return plot_losses(numbers, ANSWERS)

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the loss at the paper's checkpoints, and whether its curve is flat at the end."""
        legend = "A cosine schedule ends flat in any case: the run is over then, but the loss need not be the least."
        return "\n".join([*_lines(numbers), "", legend])

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return in Markdown from where to where the loss fell."""
        return "\n".join(f"- {line.strip()}" for line in _lines(numbers) if line.startswith("  from"))


def loss_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return all numbers of the figure, in the parts of `rmtsim.figures.parts.join_parts`.

    Parameters
    ----------
    table
        Tables of `rmtsim.training.trajectory.trajectory_task`, those of Figures 2 and 3 one below the other.

    Returns
    -------
    DataFrame
        The parts have the columns ``loss``, ``n_classes``, ``dim``, ``n_samples``, ``hidden``, ``steps`` and
        ``learning_rate``, and

        curves
            ``draw``, ``step``, ``progress`` and ``value``, one row per run and kept step.
        means
            ``progress``, of the paper's checkpoints, and ``value``, a mean over draws, with ``std_error``.
        ends
            ``draws``; ``last_fall``, the largest part of the fall of the loss, over draws, that the last tenth of the
            steps makes; ``verdict``, ``"flat"`` or ``"not flat"``; ``answer``, the loss of a constant answer; and with
            MSE ``loss_floor``.
    """
    curves = losses(table)
    means, ends = [], []
    for key, of_setting in curves.groupby(_RUN, sort=False):
        one: dict[str, Any] = dict(zip(_RUN, key, strict=True))
        draws = of_setting.groupby("draw")
        shown = of_setting[of_setting["progress"].isin(PROGRESS)].groupby("progress")["value"]
        of_line = pd.DataFrame({"value": shown.mean(), "std_error": standard_errors(shown)}).reset_index()
        means.append(of_line.assign(**one))
        last = draws["value"].last()
        before = of_setting[of_setting["progress"] <= 1 - _END].groupby("draw")["value"].last()
        fall = float(((before - last) / (draws["value"].first() - last)).abs().max())
        line = one | {"draws": len(draws), "last_fall": fall, "verdict": "flat" if fall < FLAT else "not flat"}
        line["answer"] = math.log(one["n_classes"]) if one["loss"] == "ce" else 1.0
        if one["loss"] == "mse":
            line["loss_floor"] = loss_floor(int(one["n_classes"]), int(one["n_samples"]), int(one["hidden"]))
        ends.append(line)
    return join_parts({"curves": curves, "means": pd.concat(means, ignore_index=True), "ends": pd.DataFrame(ends)})


def losses(table: pd.DataFrame) -> pd.DataFrame:
    """Return the losses of trained networks, one row per run and kept step.

    Parameters
    ----------
    table
        Tables of `rmtsim.training.trajectory.trajectory_task`, those of Figures 2 and 3 one below the other.

    Returns
    -------
    DataFrame
        ``loss``, ``n_classes``, ``dim``, ``n_samples``, ``hidden``, ``steps``, ``learning_rate``, ``draw``, ``step``,
        ``progress`` and ``value``.
    """
    rows = table[(table["quantity"] == "loss") & (table["steps"] > 0)]
    return rows.sort_values([*_RUN, "draw", "step"], ignore_index=True)[[*_RUN, "draw", "step", "progress", "value"]]


def _lines(numbers: pd.DataFrame) -> list[str]:
    """Return three lines for each setting: what it is, its means, and how it ends."""
    lines, means = [], part(numbers, "means")
    for _, one in part(numbers, "ends").iterrows():
        name = f"{one['loss'].upper()}, C = {one.n_classes}, d = {one.dim}, N = {one.n_samples}, m = {one.hidden}"
        lines.append(f"{name}: {scheduled(one)}, {number_of(one['draws'], 'draw')}")
        shown = means[(means[_RUN] == one[_RUN]).all(axis=1)]
        values = [quoted(*pair) for pair in zip(shown["value"], shown["std_error"], strict=True)]
        lines.append(
            "  " + ", ".join(f"{at:.0%}: {value}" for at, value in zip(shown["progress"], values, strict=True))
        )
        lines.append(
            f"  from {values[0]} to {values[-1]} ({ANSWERS[one['loss']]}: {one.answer:.3f}); the last {_END:.0%} of "
            f"the steps make {one.last_fall:.1e} of the fall: {one.verdict} ({name}; {scheduled(one)})"
        )
    return lines
