"""Deeper networks, and whether a layer's block structure is driven by its fan-out.

`networks` makes the tables, `powers` finds the numbers, `drawing` and `report` show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from rmtsim.figures import Figure, register
from rmtsim.paper.fan_out.networks import fan_out
from rmtsim.paper.fan_out.powers import all_numbers
from rmtsim.paper.fan_out.report import headline_fan_out, report_fan_out
from rmtsim.sweeps.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@register
class FanOut(Figure):
    """Powers of the sizes of a deep network that the ratio of a layer's block norms follows."""

    name = "fan_out"
    title = "Deeper networks: block structure against each layer's fan-out"
    source = "Appendix A, third question"
    sentence = (
        "For deeper models, we conjecture the block-diagonal structure will be primarily driven by the number of "
        "output neurons in each layer (a.k.a., the “fan-out dimension”)."
    )
    place = 28

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, see `rmtsim.paper.fan_out.networks.fan_out`."""
        return fan_out(full)

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return ratios, powers and predictors, see `rmtsim.paper.fan_out.powers.all_numbers`."""
        return all_numbers(rows)

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw ratios against sizes, and the powers before and after training."""
        from rmtsim.paper.fan_out.drawing import plot_fan_out

        return plot_fan_out(numbers)

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the powers, the sums of powers and the predictors as text."""
        return report_fan_out(numbers)

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return the verdict on the conjecture in a few lines."""
        return headline_fan_out(numbers)
