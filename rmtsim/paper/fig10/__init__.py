"""Figure 10: one output and two classes, cross-entropy and squared loss.

`networks` makes the tables, `numbers` finds the numbers, `drawing` and `report` show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from rmtsim.figures import Figure, register
from rmtsim.paper.fig10.networks import fig10
from rmtsim.paper.fig10.numbers import all_numbers
from rmtsim.paper.fig10.report import headline_binary, report_binary
from rmtsim.sweeps.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@register
class Fig10(Figure):
    """Collobert's picture: the hidden layer of a binary classifier, with both losses, through training."""

    name = "fig10"
    title = "Binary classification, hidden weights, cross-entropy and squared loss"
    source = "Figure 10"
    sentence = (
        "Numerically, Collobert (2004) reported that CE loss brings the near-block-diagonal structure in $H_{ww}$, "
        "while MSE loss does not"
    )
    place = 12

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, see `rmtsim.paper.fig10.networks.fig10`."""
        return fig10(full)

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return maps, shares, ratios and verdicts, see `rmtsim.paper.fig10.numbers.all_numbers`."""
        return all_numbers(rows)

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw maps through training, and below shares, norms and initial ratios."""
        from rmtsim.paper.fig10.drawing import plot_binary

        return plot_binary(numbers)

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the shares at every checkpoint, the ratios at initialisation and the verdicts, as text."""
        return report_binary(numbers)

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return the verdicts in Markdown."""
        return headline_binary(numbers)
