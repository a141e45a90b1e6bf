"""The spectra of diagonal blocks through training, beside the laws of initialisation and decoupled blocks.

`eigenvalues` makes the tables, `distances` and `numbers` find the numbers, `drawing` and `report` show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from rmtsim.figures import Figure, register
from rmtsim.paper.training_spectra.eigenvalues import training_spectra
from rmtsim.paper.training_spectra.numbers import all_numbers
from rmtsim.paper.training_spectra.report import headline_spectra, report_spectra
from rmtsim.sweeps.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@register
class TrainingSpectra(Figure):
    """Eigenvalues of diagonal blocks, and their distances from laws and from decoupled blocks."""

    name = "training_spectra"
    title = "The blocks' spectra through training"
    source = "Appendix A, fourth question"
    sentence = (
        "One future direction is to theoretically characterize the block-wise spectrum and provide guidance for "
        "optimizer design."
    )
    place = 29

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, see `rmtsim.paper.training_spectra.eigenvalues.training_spectra`."""
        return training_spectra(full)

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return means, densities and verdicts, see `rmtsim.paper.training_spectra.numbers.all_numbers`."""
        return all_numbers(rows)

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw densities, distances and edges, three panels a layer."""
        from rmtsim.paper.training_spectra.drawing import plot_spectra

        return plot_spectra(numbers)

    def text(self, numbers: pd.DataFrame) -> str:
        """Return how the spectra change through training, as text."""
        return report_spectra(numbers)

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return how far the spectra go from the laws of initialisation."""
        return headline_spectra(numbers)
