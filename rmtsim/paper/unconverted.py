"""Figures whose numbers, pictures and texts are still functions of the rows: each moves to a module of its own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from rmtsim.figures.figure import Figure
from rmtsim.figures.registry import register
from rmtsim.paper.experiments import binary_pictures, clustered_data
from rmtsim.sweeps.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class _OfRows(Figure):
    """A figure whose numbers are its rows, drawn and put into words by functions of `rmtsim.paper`.

    ``functions`` names what draws, what writes the text, and what writes the headline, if anything does.
    """

    functions: ClassVar[tuple[str, str, str]]

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows."""
        return rows

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the rows."""
        drawing: Drawing = _function(self.functions[0])(numbers)
        return drawing

    def text(self, numbers: pd.DataFrame) -> str:
        """Return what the rows say."""
        return str(_function(self.functions[1])(numbers))

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return it in a few lines."""
        if not self.functions[2]:
            return super().headline(numbers)
        return str(_function(self.functions[2])(numbers))


def _function(path: str) -> Any:
    """Return a function of `rmtsim.paper`, whose module may import matplotlib."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(f"rmtsim.paper.{module}"), name)


@register
class Fig10(_OfRows):
    """Figure 10."""

    name = "fig10"
    title = "Binary classification, hidden weights, cross-entropy and squared loss"
    source = "Figure 10"
    sentence = (
        "Numerically, Collobert (2004) reported that CE loss brings the near-block-diagonal structure in "
        "$H_{ww}$, while MSE loss does not"
    )
    place = 12
    functions = ("binary_figure.plot_binary", "binary.report_binary", "binary.headline_binary")

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return its experiment."""
        return binary_pictures.fig10(full)


@register
class Fig11(_OfRows):
    """Figure 11."""

    name = "fig11"
    title = "Clustered data, few classes"
    source = "Figure 11"
    sentence = "When # classes $C$ is small, the Hessian has no block-diagonal structure, regardless of # clusters $K$."
    place = 13
    functions = ("cluster_figure.plot_clusters", "clusters.report_clusters", "clusters.headline_clusters")

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return its experiment."""
        return clustered_data.fig11(full)


@register
class Fig12(_OfRows):
    """Figure 12."""

    name = "fig12"
    title = "Clustered data, many classes"
    source = "Figure 12"
    sentence = (
        "When $C$ is large, the block-diagonal pattern appears regardless of # clusters $K$. This suggests "
        "that large $C$ plays a more critical role than $K$ in the Hessian structure."
    )
    place = 14
    functions = ("cluster_figure.plot_clusters", "clusters.report_clusters", "clusters.headline_clusters")

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return its experiment."""
        return clustered_data.fig12(full)
