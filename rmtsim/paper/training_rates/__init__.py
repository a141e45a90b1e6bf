"""Rates through training: off-diagonal over diagonal norms against the number of classes, at every checkpoint.

`networks` makes the tables, `powers` finds the numbers, `drawing` and `report` show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from rmtsim.figures import Figure, register
from rmtsim.paper.training_rates.networks import training_rates
from rmtsim.paper.training_rates.powers import all_numbers
from rmtsim.paper.training_rates.report import headline_rates, report_rates
from rmtsim.sweeps.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@register
class TrainingRates(Figure):
    """Ratios of block norms against C through training, and their powers of C."""

    name = "training_rates"
    title = "Off-diagonal over diagonal against C, through training"
    source = "Appendix A, second question"
    sentence = (
        "Interestingly, we numerically find that the block-diagonal Hessian structure remains throughout the training "
        "process (see Figure 2 and 3). … It is possible to extend our theory to the whole training process, but it "
        "requires substantially new mathematical tools and we leave as a future direction."
    )
    place = 27

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, see `rmtsim.paper.training_rates.networks.training_rates`."""
        return training_rates(full)

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return ratios, their means and their powers, see `rmtsim.paper.training_rates.powers.all_numbers`."""
        return all_numbers(rows)

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the ratios against C at several checkpoints, and below their powers at all."""
        from rmtsim.paper.training_rates.drawing import plot_rates

        return plot_rates(numbers)

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the exponents at every checkpoint, with verdicts, and those at equal loss, as text."""
        return report_rates(numbers)

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return the exponents at the start and the end in Markdown."""
        return headline_rates(numbers)
