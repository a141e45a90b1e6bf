"""Figures 11 and 12: clustered data, with few classes and with many.

`networks` makes the tables, `ratios` finds the numbers, `drawing` and `report` show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from rmtsim.figures import Figure, register
from rmtsim.paper.clustered.networks import fig11, fig12
from rmtsim.paper.clustered.ratios import all_numbers
from rmtsim.paper.clustered.report import headline_clusters, report_clusters
from rmtsim.sweeps.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class _Clustered(Figure):
    """Maps of Hessians on clustered data, and what lies outside their diagonal blocks against clusters and classes."""

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return maps, shares and ratios, see `rmtsim.paper.clustered.ratios.all_numbers`."""
        return all_numbers(rows)

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw a column of maps for each C and K, and below ratios and shares against K."""
        from rmtsim.paper.clustered.drawing import plot_clusters

        return plot_clusters(numbers)

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the ratios and shares, and the verdicts, as text."""
        return report_clusters(numbers)

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return the verdicts in Markdown."""
        return headline_clusters(numbers)


@register
class Fig11(_Clustered):
    """Clustered data with few classes."""

    name = "fig11"
    title = "Clustered data, few classes"
    source = "Figure 11"
    sentence = "When # classes $C$ is small, the Hessian has no block-diagonal structure, regardless of # clusters $K$."
    place = 13

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, see `rmtsim.paper.clustered.networks.fig11`."""
        return fig11(full)


@register
class Fig12(_Clustered):
    """Clustered data with many classes."""

    name = "fig12"
    title = "Clustered data, many classes"
    source = "Figure 12"
    sentence = (
        "When $C$ is large, the block-diagonal pattern appears regardless of # clusters $K$. This suggests that large "
        "$C$ plays a more critical role than $K$ in the Hessian structure."
    )
    place = 14

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, see `rmtsim.paper.clustered.networks.fig12`."""
        return fig12(full)
